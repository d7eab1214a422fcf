//! What happens to a job between whose ranks a connection is lost and made again, while others try to use it.

use crate::TOOLS;
use dsm_lab::{Conditions, Lab, Process, Resets, Running, Stream, User};
use std::thread;
use std::time::{Duration, Instant};

/// A rank listens for a moment only: its port is known beforehand, and tried without a pause.
#[test]
fn a_scan_from_another_host_while_a_connection_is_made_again_receives_no_byte() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    for engine in ["uffd", "sigsegv"] {
        let options = ["-v", "--fault", engine];
        let job = lab.job(User::Ordinary, &["node1", "node2"]).options(&options);
        let mut job = job.start("fail_work", &[]);
        for rank in 0..2 {
            job.wait_for_output(&format!("[Proc {rank} : "));
        }
        let mut command = lab.on_host(0);
        command.args(["python3", "-c", PORT, &lab.address(0), &lab.address(1)]);
        let port = lab.run(command).texts(Stream::Stdout).collect::<String>();
        let mut command = lab.on_host(2);
        command.args(["python3", "-c", SCAN, &lab.address(0), &port]);
        let mut scanner = Process::start(command);
        scanner.wait_for("scanner", LIMIT, |line| line.text == "scanning");
        let network = lab.network();
        // Rank 0 is reset with the next word of rank 1, and listens for it, which learns of that when it is let through.
        network.set(1, 0, &Conditions { resets: Resets::Ranks, ..Conditions::default() });
        let found = scanner.seek(LIMIT, |line| line.text.starts_with("open "));
        assert!(found.is_some(), "port {port} is never open\n{}", job.report());
        network.set_all(&Conditions::default());
        await_talk(&lab, &mut job);
        job.input(None);
        let ended = job.finish(LIMIT);
        ended.expect_code(0);
        for rank in 0..2 {
            assert_eq!(ended.rank(rank).last(), Some(&"fail_work: right"), "{}", ended.report());
        }
        ended.expect_error(&[" was reset and resumed after "]);
        let scanned = scanner.finish(LIMIT);
        let heard: Vec<_> = scanned.texts(Stream::Stdout).collect();
        println!("{engine}: {heard:?}");
        // The second found port would be another service's.
        assert_eq!(heard[1..], [format!("open {port}").as_str(), "0 bytes"], "{}", ended.report());
        lab.expect_no_processes(Duration::ZERO);
    }
}

/// Waits until the ranks have exchanged more than it takes to connect.
fn await_talk(lab: &Lab, job: &mut Running) {
    let delivered = || [(0, 1), (1, 0)].map(|(from, to)| lab.network().counts(from, to).delivered);
    let (before, deadline) = (delivered(), Instant::now() + LIMIT);
    while delivered().iter().zip(before).any(|(now, then)| *now < then + TALK) {
        assert!(Instant::now() < deadline, "nothing is sent any more\n{}", job.report());
        thread::yield_now();
    }
}

/// At which port the connection between ranks ends here; it is where the lower rank listens. Arguments: this host, the other.
const PORT: &str = r#"
import socket, sys
def number(address):
    return socket.inet_aton(address)[::-1].hex().upper()
here, there = map(number, sys.argv[1:])
for line in open("/proc/net/tcp").read().splitlines()[1:]:
    (own, port), (other, theirs) = (it.split(":") for it in line.split()[1:3])
    established, ssh = line.split()[3] == "01", "0016"
    if own == here and other == there and established and ssh not in (port, theirs):
        print(int(port, 16))
"#;

/// Tries a port and those around it until one is open, says a byte each 100 ms there until it is closed, and tells
/// how many bytes came.
const SCAN: &str = r#"
import socket, sys
address, port = sys.argv[1], int(sys.argv[2])
def scan():
    while True:
        for near in range(port - 4, port + 5):
            try:
                return near, socket.create_connection((address, near), 2)
            except OSError:
                pass
print("scanning", flush=True)
found, connection = scan()
print("open", found, flush=True)
connection.settimeout(0.1)
got = 0
while True:
    try:
        connection.send(b"d")
        piece = connection.recv(4096)
    except TimeoutError:
        continue
    except OSError:
        break
    if not piece:
        break
    got += len(piece)
print(got, "bytes")
"#;
const TALK: u64 = 60;
const LIMIT: Duration = Duration::from_secs(30);
