//! A host that is not in a job looks for it.

use crate::TOOLS;
use dsm_lab::{Conditions, Corruption, Lab, Process, Stream, User};
use rustix::process::Signal;
use std::time::Duration;

#[test]
fn a_scan_from_another_host_receives_no_byte_of_a_job_that_waits() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let hosts = ["node1", "node2"];
    let job = lab.job(User::Ordinary, &hosts).options(&["--stdin", "1"]);
    let program = lab.program("rotation");
    let hold = "echo here; test $DSM_NODE_ID = 0 || read line; exec \"$0\" 1 3";
    let mut running = job.start_any(&["sh", "-c", hold, &program]);
    for rank in 0..2 {
        running.wait_for_output(&format!("[Proc {rank} : "));
    }
    for (host, name) in hosts.iter().enumerate() {
        let found = scan(&lab, 2, &lab.address(host));
        assert_eq!(found.len(), 2, "a rank and an sshd listen there: {found:?}");
        assert!(found[0].starts_with("port 22: ") && !found[0].ends_with(" 0 bytes"), "{found:?}");
        assert!(found[1].ends_with(": 0 bytes"), "{found:?}");
        println!("scanned all ports of {name}: {found:?}");
        // The rank is bound to the address at which its host is reached, and to no other.
        assert_eq!(scan(&lab, host, "127.0.0.1"), [""; 0], "at the loopback of {name}");
    }
    running.input(Some(b"go\n"));
    let ended = running.finish(Duration::from_secs(30));
    ended.expect_code(0);
    for rank in 0..2 {
        assert!(ended.rank(rank)[1].contains(" 0 wrong, "), "{}", ended.report());
    }
    let from = format!("from strangers, last from {}", lab.address(2));
    ended.expect_error(&["dsm: rank 0: turned away 1 connection ", &from]);
    lab.expect_no_processes(Duration::ZERO);
}

#[test]
fn a_scan_from_another_host_finds_nothing_of_a_job_that_runs() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let job = lab.job(User::Ordinary, &["node1", "node2"]);
    let mut running = job.start("endless", &[""]);
    for rank in 0..2 {
        running.wait_for_output(&format!("[Proc {rank} : "));
    }
    for host in 0..2 {
        let found = scan(&lab, 2, &lab.address(host));
        assert!(found.len() == 1 && found[0].starts_with("port 22: "), "{found:?}");
    }
    running.signal_dsmexec(Signal::INT);
    running.finish(Duration::from_secs(30)).expect_code(130);
    lab.expect_no_processes(Duration::ZERO);
}

#[test]
fn what_passes_between_hosts_cannot_be_read_on_the_way() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let listen = |options: &[&str]| {
        let mut command = lab.on_host(1);
        command.args(["python3", "-c", LISTEN]);
        let mut listener = Process::start(command);
        listener.wait_for("listener", Duration::from_secs(20), |line| line.text == "listening");
        // One MiB: the program says of each page of it which words it wrote.
        let job = lab.job(User::Ordinary, &["node1", "node2"]).options(options);
        let ended = job.run("rotation", &["1", "1"]);
        ended.expect_code(0);
        listener.input(None);
        let heard = listener.finish(Duration::from_secs(20));
        let heard: Vec<_> = heard.texts(Stream::Stdout).map(str::to_owned).collect();
        let number = |n: usize| heard[n].split(' ').next().unwrap().parse::<u64>().unwrap();
        let told = ended.texts(Stream::Stderr).find(|it| it.contains(": encryption ")).unwrap();
        println!("{told}; who listened: {heard:?}");
        (number(1), number(2), told.to_owned())
    };
    // The listener hears what it can understand.
    let (bytes, pages, told) = listen(&["-v", "--encrypt=never"]);
    assert!(bytes > 1 << 20 && pages > 200, "{pages} pages in {bytes} bytes");
    assert!(told.ends_with("encryption never: 0 of 1 connections between ranks are encrypted"));
    let (bytes, pages, told) = listen(&["-v"]);
    assert!(bytes > 1 << 20, "it heard {bytes} bytes of a job that moves a MiB");
    assert_eq!(pages, 0, "pages were readable");
    assert!(told.ends_with("encryption auto: 1 of 1 connections between ranks are encrypted"));
}

#[test]
fn who_changes_what_passes_between_hosts_is_found_out() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    // dsmexec and its ssh are on another line.
    let job = lab.job(User::Ordinary, &["node2", "node3"]);
    let mut running = job.start("endless", &[""]);
    for rank in 0..2 {
        running.wait_for_output(&format!("[Proc {rank} : "));
    }
    let (corrupt_ppm, corruption) = (10_000, Corruption::Delivered);
    let changed = Conditions { corrupt_ppm, corruption, ..Conditions::default() };
    lab.network().set(1, 2, &changed);
    lab.network().set(2, 1, &changed);
    let ended = running.finish(Duration::from_secs(30));
    println!("{}", ended.report());
    ended.expect_code(76);
    ended.expect_error(&["dsmexec: rank ", " (node", ": rank ", " sent "]);
    lab.expect_no_processes(Duration::from_secs(3));
}

/// Connects to every port of `address` from a host, and says what each open one sent within five seconds.
fn scan(lab: &Lab, from: usize, address: &str) -> Vec<String> {
    let mut command = lab.on_host(from);
    command.args(["python3", "-c", SCAN, address]);
    lab.run(command).texts(Stream::Stdout).map(str::to_owned).collect()
}

/// Listens to all that passes at a host until its standard input ends; then says how many bytes that was, and how many of
/// the last words that `rotation 1 1` writes into pages it has seen.
const LISTEN: &str = r#"
import select, socket, struct, sys
everything = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
SO_RCVBUFFORCE = 33
everything.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
print("listening", flush=True)
heard, done = [], False
while not done:
    ready = select.select([everything, sys.stdin], [], [])[0]
    if everything in ready:
        heard.append(everything.recv(1 << 17))
    else:
        done = True
everything = b"".join(heard)
words = [struct.pack("<Q", ~(page * 1000003 + 1) & (1 << 64) - 1) for page in range(256)]
print(len(everything), "bytes")
print(sum(word in everything for word in words), "pages")
"#;

const SCAN: &str = r#"
import select, socket, sys, time
found = {}
for port in range(1, 65536):
    try:
        connection = socket.create_connection((sys.argv[1], port), 2)
        # The kernel may choose the port that is tried for this end: then it is connected to itself.
        if connection.getsockname() != connection.getpeername():
            found[port] = connection
    except ConnectionRefusedError:
        pass
until, got = time.monotonic() + 5, dict.fromkeys(found, 0)
ports = {connection.fileno(): port for port, connection in found.items()}
while ports:
    ready = select.select(list(ports), [], [], max(0, until - time.monotonic()))[0]
    if not ready:
        break
    for fd in ready:
        try:
            count = len(found[ports[fd]].recv(4096))
        except ConnectionResetError:
            count = 0
        got[ports[fd]] += count
        if not count:
            del ports[fd]
for port in sorted(got):
    print(f"port {port}: {got[port]} bytes")
"#;
