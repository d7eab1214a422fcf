"""Stands between a launcher and who speaks to it, and writes down what each of them says.

    relay.py DIRECTORY wrap DSMWRAP HOST PORT ARGUMENT...
    relay.py DIRECTORY ete7 PROGRAM ARGUMENT...

Starts the wrapper or program with an address of its own in place of the launcher's. The file it leaves in DIRECTORY has the
first two of a wrapper's arguments in its first line, then a line for each turn: whose it is, and bytes in hexadecimal. Ends with
the code of what it started.
"""

import os
import select
import socket
import subprocess
import sys

directory, kind, *command = sys.argv[1:]
ours = socket.create_server(("127.0.0.1", 0))
ours.settimeout(20)
port = ours.getsockname()[1]
if kind == "wrap":
    launcher = socket.create_connection((command[1], int(command[2])))
    command[2] = str(port)
else:
    host, real = os.environ["DSMEXEC_HOSTNAME"], int(os.environ["DSMEXEC_PORTNUM"])
    launcher = socket.create_connection((host, real))
    os.environ["DSMEXEC_PORTNUM"] = str(port)

# Descriptors that the launcher has left for the program are the program's.
child = subprocess.Popen(command, close_fds=False)
guest, _ = ours.accept()
turns = []
speaking = {launcher: ("launcher", guest), guest: ("guest", launcher)}
while guest in speaking:
    ready, _, _ = select.select(list(speaking), [], [], 20)
    if not ready:
        sys.exit("relay.py: nobody says anything")
    for socket_ in ready:
        name, other = speaking[socket_]
        try:
            said = socket_.recv(65536)
            other.sendall(said)
        except ConnectionError:
            said = b""
        if not said:
            del speaking[socket_]
            if socket_ is launcher:
                guest.shutdown(socket.SHUT_WR)
        elif turns and turns[-1][0] == name:
            turns[-1][1] += said
        else:
            turns.append([name, said])
launcher.close()
code = child.wait()
with open(os.path.join(directory, f"relayed {os.getpid()}"), "w") as file:
    print(*command[3:5], file=file)
    for name, said in turns:
        print(name, said.hex(), file=file)
sys.exit(code if code >= 0 else 128 - code)
