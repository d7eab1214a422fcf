//! Row: a rank never calls `dsm_init`, or leaves without `dsm_finalize` while others wait: told which.

use crate::case::{ENGINES, Failure, Place, program, side_by_side};
use std::time::Duration;

/// Rank 2 does something else.
#[test]
fn never_calls_dsm_init() {
    side_by_side(&ENGINES, |engine| {
        let place = Place::local(3);
        let script = "test $DSM_NODE_ID = 2 && exec tail -f /dev/null; exec \"$0\" endless";
        let options = ["--fault", engine];
        let mut job = place.start(&options, &["sh", "-c", script, &program("fail_work")]);
        let line = job.wait_for(" in dsm_init for rank 2 (localhost)");
        assert!(line.text.starts_with("dsmexec: rank "), "{}", job.report());
        assert!(line.at <= NEVER, "told after {:?}\n{}", line.at, job.report());
        // It is no error: the rank may yet call it.
        assert_eq!(place.processes_of("fail_work").len(), 2, "{}", job.report());
        format!("no dsm_init {engine:8} told after {:.1} s: {}", line.at.as_secs_f64(), line.text)
    });
}

#[test]
fn exits_without_dsm_init() {
    let script = "test $DSM_NODE_ID = 2 && echo failing $$ && exit 0; exec \"$0\" endless";
    let words = ["rank 2 (localhost) ", "exited with code 0 without dsm_init, which other ranks"];
    check("sh", &["-c", script, &program("fail_work")], &words);
}

#[test]
fn leaves_without_dsm_finalize() {
    let words = ["rank 1 (localhost) ", "exited with code 0 without dsm_finalize"];
    check(&program("fail_rank"), &["compute", "leave"], &words);
    check(&program("fail_rank"), &["barrier", "leave"], &words);
}

/// A rank says "failing" and its process number, and exits with 0.
fn check(command: &str, arguments: &[&str], words: &[&str]) {
    side_by_side(&ENGINES, |engine| {
        let place = Place::local(3);
        let program = [&[command], arguments].concat();
        let mut job = place.start(&["--fault", engine], &program);
        let line = job.wait_for("] failing ");
        let pid = format!("pid {} ", line.text.rsplit(' ').next().unwrap());
        let words = [words, &[&pid]].concat();
        let failure = Failure { at: line.at, told_within: LEFT, code: 76, words: &words };
        let times = job.finish().expect_failure(failure);
        format!("left {engine:8} {times}")
    });
}

const NEVER: Duration = Duration::from_secs(30);
const LEFT: Duration = Duration::from_secs(1);
