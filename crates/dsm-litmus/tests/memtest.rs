//! Random programs on real ranks, for a small budget: every history is consistent, no page is torn, no store
//! lost, and everyone gets on.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod job;

use std::path::Path;

fn check(nodes: u16, fault: &str, args: &[&str]) -> String {
    let traces = tempfile::tempdir().unwrap();
    let ended = job::run(env!("CARGO_BIN_EXE_dsm-memtest"), nodes, fault, args, traces.path());
    assert!(ended.iter().all(|rank| rank.code == Some(0)), "{ended:#?}");
    println!("{}{}", ended[0].stderr, ended[0].stdout);
    ended[0].stdout.clone()
}

fn histories(nodes: u16, fault: &str) {
    let args = ["--tests", "histories", "--ops", "100000", "--round", "20000", "--threads", "3"];
    let printed = check(nodes, fault, &args);
    assert!(printed.contains("checked by program order and time, 0 undecided"), "{printed}");
}

#[test]
fn histories_of_two_ranks_uffd() {
    histories(2, "uffd");
}

#[test]
fn histories_of_two_ranks_sigsegv() {
    histories(2, "sigsegv");
}

#[test]
fn histories_of_four_ranks_uffd() {
    histories(4, "uffd");
}

#[test]
fn histories_of_four_ranks_sigsegv() {
    histories(4, "sigsegv");
}

#[test]
fn a_wrong_history_is_reported_and_kept() {
    let traces = tempfile::tempdir().unwrap();
    let args =
        ["--tests", "histories", "--seed", "5", "--ops", "5000", "--round", "1000", "--spoil"];
    let program = env!("CARGO_BIN_EXE_dsm-memtest");
    let ended = job::run(program, 2, "uffd", &args, traces.path());
    assert_eq!(ended[0].code, Some(1), "{ended:#?}");
    let told = &ended[0].stderr;
    for part in [
        "not consistent: round 0: Ordered",
        "no order of these operations is possible:",
        "all operations are in ./dsm-memtest.5.0.trace",
        "repeat: --tests histories --seed 5 --first-round 0",
    ] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    let trace = std::fs::read_to_string(traces.path().join("dsm-memtest.5.0.trace")).unwrap();
    // As many as there are for each thread of 1000 in all, and a line about the round.
    assert!((900..=1001).contains(&trace.lines().count()), "{trace}");
}

/// The limit on a wait is generous: the tests share the machine with others.
fn promises(nodes: u16, fault: &str) {
    let args = ["--tests", "torn,lost,progress", "--seconds", "1.5", "--progress-limit", "20000"];
    let printed = check(nodes, fault, &args);
    for name in ["torn pages: ", "lost stores: ", "progress: "] {
        assert!(printed.lines().any(|line| line.starts_with(name)), "{printed}");
    }
}

#[test]
fn pages_stores_and_threads_of_three_ranks_uffd() {
    promises(3, "uffd");
}

#[test]
fn pages_stores_and_threads_of_two_ranks_sigsegv() {
    promises(2, "sigsegv");
}

#[test]
fn a_job_of_one_rank_is_refused() {
    let ended = job::run(env!("CARGO_BIN_EXE_dsm-memtest"), 1, "uffd", &[], Path::new("."));
    assert!(ended[0].stderr.contains("cannot test 1 ranks"), "{ended:#?}");
    assert_eq!(ended[0].code, Some(70));
}
