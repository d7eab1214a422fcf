//! Who shares hosts with a job: other jobs of the same user or another, and users who look at it.

use crate::TOOLS;
use dsm_lab::{Lab, Running, Stream, User};
use rustix::process::Signal;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

#[test]
fn jobs_on_the_same_hosts_do_not_disturb_each_other() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let start = |user| {
        let mut job = lab.job(user, &HOSTS).start("fail_work", &[]);
        for rank in 0..HOSTS.len() {
            job.wait_for_output(&format!("[Proc {rank} : "));
        }
        job
    };
    let right = |mut job: Running| {
        job.input(None);
        let ended = job.finish(LIMIT);
        ended.expect_code(0);
        for rank in 0..HOSTS.len() {
            assert_eq!(ended.rank(rank).last(), Some(&"fail_work: right"), "{}", ended.report());
        }
        // Neither has met ranks of the other.
        let told: Vec<_> = ended.texts(Stream::Stderr).collect();
        assert!(told.is_empty(), "{told:?}");
    };
    let first = start(User::Ordinary);
    let same_user = start(User::Ordinary);
    let other_user = start(User::Root);
    // One is ended from outside, one comes and goes, and one ends by itself, while others work.
    same_user.signal_dsmexec(Signal::INT);
    same_user.finish(LIMIT).expect_code(130);
    let job = lab.job(User::Ordinary, &HOSTS).start("rotation", &["1", "2"]);
    job.finish(LIMIT).expect_code(0);
    right(other_user);
    right(first);
    lab.expect_no_processes(Duration::ZERO);
}

#[test]
fn another_user_of_a_host_learns_nothing_of_a_job() {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let job = lab.job(User::Ordinary, &HOSTS).options(&["--stdin", "1"]);
    let (directory, program) = (job.directory(), lab.program("rotation"));
    let owner = directory.metadata().unwrap().uid();
    let hold = "echo here; test $DSM_NODE_ID = 0 || read line; exec \"$0\" 1 3";
    let mut running = job.start_any(&["sh", "-c", hold, &program]);
    for rank in 0..HOSTS.len() {
        running.wait_for_output(&format!("[Proc {rank} : "));
    }
    let look = |user: u32| {
        let mut command = lab.on_host(0);
        let (user, owner, log) = (user.to_string(), owner.to_string(), directory.join(LOG));
        command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
        command.args(["env", "PATH=/usr/bin:/bin", "python3", "-c", LOOK, &owner, &program]);
        command.arg(log).arg(lab.address(0));
        let looked = lab.run(command);
        let found: Vec<_> = looked.texts(Stream::Stdout).map(str::to_owned).collect();
        println!("user {user} on the host of user {owner}: {found:?}");
        found
    };
    let can = |found: &[String], what: &str| {
        let count = |word: &str| found.iter().filter(|it| **it == format!("{word} {what}")).count();
        (count("can"), count("cannot"))
    };
    let (own, others) = (look(owner), look(STRANGER));
    // What is there to be seen is seen by its owner, and what is nobody's secret by both.
    for what in ["read the log", "read environ", "see descriptors"] {
        assert!(can(&own, what).0 > 0, "the owner cannot {what}");
        let (seen, kept) = can(&others, what);
        assert!(seen == 0 && kept > 0, "{seen} times another user can {what}");
    }
    assert_eq!(can(&others, "see that there is a log"), (1, 0));
    for what in ["read memory", "trace", "signal"] {
        let (seen, kept) = can(&others, what);
        assert!(seen == 0 && kept > 0, "{seen} times another user can {what}");
    }
    assert!(others.contains(&"0 bytes of 1 ports".to_owned()), "where rank 0 listens: {others:?}");
    running.input(Some(b"go\n"));
    let ended = running.finish(LIMIT);
    ended.expect_code(0);
    for rank in 0..HOSTS.len() {
        assert!(ended.rank(rank)[1].contains(" 0 wrong, "), "{}", ended.report());
    }
    lab.expect_no_processes(Duration::ZERO);
}

/// What a user can do with the processes that have a word in their command line, with their log, and with the sockets at which
/// a user listens. Arguments: the user, the word, the log, the address.
const LOOK: &str = r#"
import ctypes, glob, os, socket, sys
owner, word, log, address = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
def see(what, act):
    try:
        act()
        print("can", what)
    except PermissionError:
        print("cannot", what)
def trace(pid):
    PTRACE_SEIZE = 0x4206
    if libc.ptrace(PTRACE_SEIZE, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
see("read the log", lambda: open(log).read())
see("see that there is a log", lambda: os.stat(log))
for process in glob.glob("/proc/[0-9]*"):
    pid = int(process[6:])
    try:
        is_theirs = pid != os.getpid() and word.encode() in open(process + "/cmdline", "rb").read()
        is_theirs = is_theirs and f"\nUid:\t{owner}\t" in open(process + "/status").read()
    except OSError:
        continue
    if is_theirs:
        see("read environ", lambda: open(process + "/environ", "rb").read())
        see("see descriptors", lambda: os.listdir(process + "/fd"))
        see("read memory", lambda: open(process + "/mem", "rb").close())
        see("signal", lambda: os.kill(pid, 0))
        # The owner may, and would end it with a mistake.
        if int(owner) != os.getuid():
            see("trace", lambda: trace(pid))
got, ports = 0, 0
for line in open("/proc/net/tcp").read().splitlines()[1:]:
    fields = line.split()
    if fields[3] == "0A" and fields[7] == owner and int(owner) != os.getuid():
        stranger = socket.create_connection((address, int(fields[1].split(":")[1], 16)), 5)
        stranger.settimeout(20)
        stranger.sendall(b"dsm\0" + bytes(60))
        ports += 1
        try:
            got += len(stranger.recv(4096))
        except ConnectionResetError:
            pass
print(got, "bytes of", ports, "ports")
"#;
const HOSTS: [&str; 2] = ["node1", "node2"];
const LOG: &str = "logs/dsm_output.log";
/// Of nobody, on most machines; of no job here.
const STRANGER: u32 = 65_534;
const LIMIT: Duration = Duration::from_secs(40);
