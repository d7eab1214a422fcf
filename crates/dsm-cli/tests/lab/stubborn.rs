//! Programs that do not want to end, on hosts that cannot be told to end them.

use crate::TOOLS;
use dsm_lab::{Conditions, Lab, User};
use std::time::{Duration, Instant};

#[test]
fn who_ignores_sigterm_where_nothing_is_heard_is_gone_within_the_lease() {
    check(|_, to| to == 1);
}

#[test]
fn who_ignores_sigterm_where_nobody_hears_is_gone_within_the_lease() {
    check(|from, _| from == 1);
}

/// Jobs with both engines on two hosts; the lines of the second are cut where `is_cut` says.
fn check(is_cut: impl Fn(usize, usize) -> bool) {
    let Some(lab) = Lab::three_hosts(TOOLS) else { return };
    let program = lab.program("fail_work");
    let jobs = ["uffd", "sigsegv"].map(|engine| {
        let job = lab.job(User::Ordinary, &["node1", "node2"]).options(&["--fault", engine]);
        // What is ignored stays so when another program is executed.
        let script = "trap '' TERM HUP INT; exec \"$0\" endless";
        let mut job = job.start_any(&["sh", "-c", script, &program]);
        for rank in 0..2 {
            job.wait_for_output(&format!("[Proc {rank} : "));
        }
        job
    });
    let cut_at = Instant::now();
    lab.network().set_where(&Conditions::cut(), is_cut);
    for job in jobs {
        let ended = job.finish(LIMIT);
        ended.expect_code(75);
        ended.expect_error(&["rank 1 (node2) pid "]);
    }
    lab.expect_no_processes(LEASE.saturating_sub(cut_at.elapsed()));
    println!("both sides gone {:.3} s after the cut", cut_at.elapsed().as_secs_f64());
}

/// From the cut until nothing is left on the other side of it.
const LEASE: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(30);
