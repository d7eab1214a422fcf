//! Row: a rank is killed, crashes, aborts or exits early: in compute, fault, lock, barrier, init, finalize.

use crate::case::{ENGINES, Failure, Place, program, side_by_side};
use std::time::Duration;

#[test]
fn in_compute() {
    check("compute");
}

#[test]
fn in_a_fault() {
    check("fault");
}

#[test]
fn in_a_lock() {
    check("lock");
}

#[test]
fn in_a_barrier() {
    check("barrier");
}

#[test]
fn in_init() {
    check("init");
}

#[test]
fn in_finalize() {
    check("finalize");
}

/// Rank 1 of three fails in this state in every way, with both engines.
fn check(state: &str) {
    // Where it says that it is in dsm_init, it may not have come far enough to be known to be.
    let missed = if state == "init" { "dsm_init" } else { "without dsm_finalize" };
    let ways = [
        ("kill", 137, "was killed by signal 9 (SIGKILL)"),
        ("crash", 139, "was killed by signal 11 (SIGSEGV)"),
        ("abort", 134, "was killed by signal 6 (SIGABRT)"),
        ("exit 3", 3, "exited with code 3"),
        ("leave", 76, "exited with code 0 "),
    ];
    let cases: Vec<_> = ENGINES.iter().flat_map(|engine| ways.map(|way| (*engine, way))).collect();
    side_by_side(&cases, |(engine, (way, code, cause))| {
        let place = Place::local(3);
        let mut job = place.start(&["--fault", engine], &[&program("fail_rank"), state, way]);
        let line = job.wait_for("[Proc 1 : localhost : stdout] failing ");
        let pid = line.text.rsplit(' ').next().unwrap().to_owned();
        let over = job.finish();
        let missed = if *way == "leave" { missed } else { "" };
        let words = ["rank 1 (localhost) ", &format!("pid {pid} "), cause, missed];
        let failure = Failure { at: line.at, told_within: WITHIN, code: *code, words: &words };
        let times = over.expect_failure(failure);
        // What it wrote before comes out, and in order.
        let said = over.rank(1);
        let expected: Vec<_> = (1..=1000).map(|n| format!("last words {n}")).collect();
        assert_eq!(said[..1000], expected, "{}", over.report());
        format!("{way:7} in {state:8} {engine:8} {times}")
    });
}

const WITHIN: Duration = Duration::from_secs(1);
