//! Our own launcher, where it has to do with those of the family.

use super::launcher::{Said, built};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_job_with_a_key_speaks_natively_or_not_at_all() {
    for peer in ["seed8", "bcast"] {
        let said = dsmexec(&["-x", &format!("DSM_PEER={peer}")], &[&built("test/launched")]);
        assert_eq!(said.code, Some(78), "{said:?}");
        // The rank itself may be ended before it has said so.
        let cause = format!("DSM_PEER is {peer:?}, expected native: this job has a key");
        assert!(said.err.contains(&cause), "{said:?}");
    }
    let said = dsmexec(&["-x", "DSM_PEER=native"], &[&built("test/launched")]);
    assert_eq!((said.code, &said.err[..]), (Some(0), ""), "{said:?}");
}

#[test]
fn what_is_there_for_others_is_not_used_and_not_passed_on() {
    let said = dsmexec(&["--launch=pr204"], &[&built("test/launched"), "3", "4"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let mut lines: Vec<_> = said.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["rank 0 of 2: right", "rank 1 of 2: right"]);
    assert!(!said.err.contains("dsm: launch profile"), "the job has its key: {said:?}");
}

/// Runs a job of two ranks here.
fn dsmexec(options: &[&str], program: &[&str]) -> Said {
    let dir = tempfile::tempdir().unwrap();
    let machines: &Path = &dir.path().join("machines");
    fs::write(machines, "localhost slots=2\n").unwrap();
    let mut command = Command::new("/usr/bin/timeout");
    command.args(["--signal=KILL", "30", &built("dsmexec"), "--log=none", "--tag=none"]);
    Said::of(command.args(options).arg(machines).args(program).output().unwrap())
}
