//! Row: ssh does not know the host, is refused, has the wrong key; the program is not there or cannot be executed, the dsmwrap
//! is of another version: one line per host before any rank is started.

use crate::TOOLS;
use dsm_lab::{Lab, Stream, User};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

#[test]
fn the_host_is_unknown() {
    let hosts = ["no-such-host.invalid", "no-such-host.invalid", "nor-this.invalid"];
    check(Refusal { hosts, ..refusal(68, "Could not resolve hostname") });
}

#[test]
fn the_connection_is_refused() {
    check(Refusal { ssh_options: "-p 1", ..refusal(69, "Connection refused") });
}

#[test]
fn the_key_is_wrong() {
    let ssh_options = "-o PubkeyAuthentication=no";
    check(Refusal { ssh_options, ..refusal(69, "Permission denied") });
    let ssh_options = "-o HostKeyAlias=stranger";
    check(Refusal { ssh_options, ..refusal(69, "Host key verification failed") });
}

#[test]
fn the_program_is_not_there() {
    let words = "cannot find program ./nothing: no such file or directory";
    check(Refusal { program: "./nothing", ..refusal(78, words) });
}

#[test]
fn the_program_cannot_be_executed() {
    let words = "cannot execute ./plain: permission denied";
    check(Refusal { program: "./plain", ..refusal(77, words) });
}

#[test]
fn dsmwrap_is_of_another_version() {
    let words = "dsmwrap 9.9 there speaks launch protocol 99, dsmexec ";
    check(Refusal { dsmwrap: Dsmwrap::Other, ..refusal(78, words) });
}

/// A job that cannot start.
struct Refusal {
    hosts: [&'static str; 3],
    ssh_options: &'static str,
    program: &'static str,
    dsmwrap: Dsmwrap,
    code: i32,
    words: &'static str,
}

#[derive(PartialEq, Eq)]
enum Dsmwrap {
    Ours,
    Other,
}

/// Of two ranks on one host and one on another, which are both this machine.
fn refusal(code: i32, words: &'static str) -> Refusal {
    Refusal {
        hosts: ["localhost", "localhost", "127.0.0.1"],
        ssh_options: "",
        program: "touch",
        dsmwrap: Dsmwrap::Ours,
        code,
        words,
    }
}

#[track_caller]
fn check(refusal: Refusal) {
    let Some(lab) = Lab::loopback(TOOLS) else { return };
    let Refusal { hosts, ssh_options, program, dsmwrap, code, words } = refusal;
    let mut job = lab.job(User::Ordinary, &hosts).ssh_options(ssh_options);
    let directory = job.directory();
    fs::write(directory.join("plain"), "").unwrap();
    if dsmwrap == Dsmwrap::Other {
        write_other_dsmwrap(&directory);
        job = job.under(&["env", &format!("DSM_BIN={}", directory.display())]);
    }
    let ended = job.start_any(&[program, "started"]).finish(Duration::from_secs(30));
    ended.expect_code(code);
    let errors: Vec<_> = ended.texts(Stream::Stderr).collect();
    let (verdict, lines) = errors.split_last().unwrap();
    assert!(verdict.contains(": no rank was started: rank 0 ("), "{}", ended.report());
    let names: BTreeSet<_> = hosts.into_iter().collect();
    assert_eq!(lines.len(), names.len(), "a line for each host\n{}", ended.report());
    for (line, rank) in lines.iter().zip([0, 2]) {
        let begin = format!("dsmexec: rank {rank} ({})", hosts[rank]);
        assert!(line.starts_with(&begin) && line.contains(words), "{line}\n{}", ended.report());
    }
    assert!(ended.lines[0].at <= WITHIN, "{}", ended.report());
    assert!(!directory.join("started").exists(), "{}", ended.report());
    lab.expect_no_processes(Duration::ZERO);
    println!("{:.3} s: {}", ended.lines[0].at.as_secs_f64(), lines[0]);
}

/// It greets with launch protocol 99.
fn write_other_dsmwrap(directory: &Path) {
    let hello = "\\0dsmwrap\\013\\000\\000\\000\\000\\143\\0039.9\\001x\\001\\000\\000";
    let path = directory.join("dsmwrap");
    fs::write(&path, format!("#!/bin/sh\nprintf '{hello}'; exec tail -f /dev/null\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

const WITHIN: Duration = Duration::from_secs(10);
