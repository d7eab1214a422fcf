//! Row: a connection is reset: it is resumed without loss or duplication.

use crate::TOOLS;
use crate::case::ENGINES;
use dsm_lab::{Conditions, Lab, Resets, Running, User};
use std::thread;
use std::time::{Duration, Instant};

/// Between two ranks that work, one time after the other; each checks at the end that nothing was lost or counted twice.
#[test]
fn is_resumed_without_loss() {
    let Some(lab) = Lab::on_hosts(3, 1, TOOLS) else { return };
    for engine in ENGINES {
        let options = ["-v", "--fault", engine];
        let job = lab.job(User::Ordinary, &lab.machines(3)).options(&options);
        let mut job = job.start("fail_work", &[]);
        for rank in 0..3 {
            job.wait_for_output(&format!("[Proc {rank} : "));
        }
        let slowest = (0..RESETS).map(|_| reset(&lab, &mut job)).max().unwrap_or_default();
        job.input(None);
        let ended = job.finish(Duration::from_secs(30));
        ended.expect_code(0);
        for rank in 0..3 {
            assert_eq!(ended.rank(rank).last(), Some(&"fail_work: right"), "{}", ended.report());
        }
        lab.expect_no_processes(Duration::ZERO);
        println!("{RESETS} resets {engine:8} slowest resumption {:.3} s", slowest.as_secs_f64());
    }
}

/// Makes what hosts 1 and 2 send each other arrive as resets, until one has had one; gives the time until it is told that
/// the connection is resumed.
fn reset(lab: &Lab, job: &mut Running) -> Duration {
    let pairs = [(1, 2), (2, 1)];
    let network = lab.network();
    let resets = || pairs.map(|(from, to)| network.counts(from, to).reset);
    let before = resets();
    let at = job.elapsed();
    let reset = Conditions { resets: Resets::Ranks, ..Conditions::default() };
    network.set_where(&reset, |from, to| pairs.contains(&(from, to)));
    let deadline = Instant::now() + WITHIN;
    while resets() == before {
        assert!(Instant::now() < deadline, "nothing is sent\n{}", job.report());
        thread::yield_now();
    }
    network.set_all(&Conditions::default());
    let told = job.wait_for("resumption", WITHIN, |line| {
        line.at >= at && line.text.contains(" was reset and resumed after ")
    });
    for name in ["rank 1 (node2)", "rank 2 (node3)"] {
        assert!(told.text.contains(name), "no {name} in {told:?}\n{}", job.report());
    }
    told.at.saturating_sub(at)
}

const WITHIN: Duration = Duration::from_secs(5);
const RESETS: usize = 5;
