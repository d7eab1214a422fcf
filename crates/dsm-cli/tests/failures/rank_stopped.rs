//! Row: a rank is stopped, as by SIGSTOP: told, not killed, and it goes on.

use crate::case::{ENGINES, Place, program, side_by_side};
use rustix::process::{Signal, kill_process, test_kill_process};
use std::time::Duration;

#[test]
fn is_told_not_killed_and_goes_on() {
    side_by_side(&ENGINES, |engine| {
        let place = Place::local(3);
        let mut job = place.start(&["--fault", engine], &[&program("fail_work")]);
        let pid = job.wait_for_pids("working ", 3)[1];
        let at = job.elapsed();
        kill_process(pid, Signal::STOP).unwrap();
        let words = format!(
            "rank 1 (localhost) pid {pid} is stopped by SIGSTOP",
            pid = pid.as_raw_nonzero()
        );
        let told = job.wait_for(&words).at.saturating_sub(at);
        assert!(told <= WITHIN, "told after {told:?}\n{}", job.report());
        assert!(test_kill_process(pid).is_ok(), "it is there\n{}", job.report());
        kill_process(pid, Signal::CONT).unwrap();
        job.wait_for(" goes on after ");
        job.input(None);
        let over = job.finish();
        over.expect_success().expect_from_all(3, "fail_work: right");
        format!("stopped {engine:8} told after {:.3} s", told.as_secs_f64())
    });
}

const WITHIN: Duration = Duration::from_secs(10);
