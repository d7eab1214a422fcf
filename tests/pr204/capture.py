#!/usr/bin/env python3
"""capture.py FORM NODES FILE: what the launcher's --capture says of rank 0 is what the description of the bytes says.

The expected bytes are packed here by the fields of the description; only pids and ports are taken from the capture.
"""
import struct
import sys

HOST = b"127.0.0.1"
RECORD = struct.Struct("<i1024siii")


def read_capture(path):
    """The bytes of both directions, by their sign."""
    said = {"<": bytearray(), ">": bytearray()}
    for line in open(path, encoding="ascii"):
        sign, offset, *octets = line.split()
        if sign == "#":
            continue
        assert int(offset, 16) == len(said[sign]), f"offset {offset} after {len(said[sign])} bytes"
        said[sign] += bytes.fromhex("".join(octets))
    return bytes(said["<"]), bytes(said[">"])


def main(form, nodes, path):
    heard, told = read_capture(path)
    head = {"ete7": b"", "rank": struct.pack("<i", nodes)}.get(form, struct.pack("<ii", nodes, 0))
    ports = [RECORD.unpack_from(told, len(head) + RECORD.size * rank)[2] for rank in range(nodes)]
    records = [RECORD.pack(rank, HOST, port, 0, 0) for rank, port in enumerate(ports)]
    assert all(0 < port < 65536 for port in ports) and len(set(ports)) == nodes, ports
    assert told == head + b"".join(records), "told"

    if form == "bare":
        expected = b""
    elif form == "ref":
        pid = struct.unpack_from("<i", heard, 4 + len(HOST) + 1)[0]
        expected = struct.pack("<i", len(HOST) + 1) + HOST + b"\0" + struct.pack("<iiii", pid, ports[0], 3, 1000)
        assert pid > 1, pid
    elif form == "seed":
        pid = struct.unpack_from("<i", heard, 1024)[0]
        expected = struct.pack("<1024sii", HOST, pid, ports[0])
        assert pid > 1, pid
    elif form == "rank":
        expected = records[0]
    else:
        expected = struct.pack("<iQ", 0, RECORD.size) + records[0]
    assert heard == expected, "heard"


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    except (AssertionError, IndexError, ValueError, struct.error) as wrong:
        sys.exit(f"{' '.join(sys.argv[1:])}: {wrong}")
