//! What is said of mistakes, and how programs end.

use crate::built::Built;
use crate::harness::{Place, text};

#[test]
fn mistakes_are_told_with_file_and_line() {
    let Some(built) = Built::of(&["mistake.C"], &[], &["-Wno-return-type"]) else { return };
    for (what, code, words) in [
        (
            "twice",
            1,
            &["mistake.C:34: LOCK: cannot lock the mutex at 0x", "has the lock already"][..],
        ),
        ("variable twice", 1, &["mistake.C:38: LOCK: the variable at 0x", "has the lock already"]),
        ("unheld", 1, &["mistake.C:41: UNLOCK: cannot unlock", "does not have the lock"]),
        (
            "stack",
            1,
            &["mistake.C:44: LOCK: 0x", " is neither in shared memory nor in a global variable"],
        ),
        ("no count", 1, &["mistake.C:47: BARRIER: neither it nor BARINIT was given a count"]),
        ("nested", 1, &["1: cannot CREATE: only the process that runs main can, not an instance"]),
        ("early lock", 1, &["mistake.C:77: LOCK: MAIN_INITENV comes first"]),
        ("early CREATE", 1, &["0: cannot CREATE: MAIN_INITENV comes first"]),
        ("too much", 9, &["cannot allocate 1125899906842624 bytes with G_MALLOC: "]),
    ] {
        let ended = built.job(3, "auto", &[what]);
        ended.assert_code(code).assert_stderr(&[&["dsm: rank "], words].concat());
    }
}

#[test]
fn instances_and_main_end_a_job_as_processes_do() {
    let Some(built) = Built::of(&["mistake.C"], &[], &["-Wno-return-type"]) else { return };
    for (what, code, words) in [
        ("exit 3", 3, &["dsmexec: rank 1 ", " exited with code 3; ending the other ranks"][..]),
        ("exit 0", 76, &["dsmexec: rank 1 ", " exited with code 0 without dsm_finalize"]),
        ("abort", 134, &["dsmexec: rank 1 ", " was killed by signal 6 (SIGABRT)"]),
        ("early exit", 5, &["dsmexec: rank 0 ", " exited with code 5; ending the other ranks"]),
    ] {
        built.job(3, "auto", &[what]).assert_code(code).assert_stderr(words);
    }
    for what in ["", "pthread_exit", "no WAIT_FOR_END"] {
        let ended = built.job(3, "auto", &[what]);
        assert_eq!(ended.assert_code(0).stderr, "", "{what}: {ended}");
    }
}

/// It has standard input to itself, and may end before the others have heard of it.
#[test]
fn main_runs_on_rank_0_alone() {
    let Some(built) = Built::of(&["mistake.C"], &[], &["-Wno-return-type"]) else { return };
    let place = Place::local(3);
    let mut running = place.start(&["--tag", "none"], &[text(&built.program), "input"]);
    running.feed(vec![1; 10_000]);
    let ended = running.wait();
    assert_eq!(ended.assert_code(0).stdout, "mistake: input adds up to 10000\n", "{ended}");
}
