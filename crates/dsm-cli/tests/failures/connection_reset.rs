//! Row: a connection is reset: it is resumed without loss or duplication, or the job ends cleanly.

use crate::TOOLS;
use crate::case::{ENGINES, GONE};
use dsm_lab::{Conditions, Ended, Lab, Resets, Stream, User};
use std::time::{Duration, Instant};

/// Between two ranks that work, one after the other; each checks at the end that nothing was lost or counted twice.
#[test]
fn is_resumed_without_loss_or_the_job_ends() {
    let Some(lab) = Lab::on_hosts(3, 1, TOOLS) else { return };
    for engine in ENGINES {
        let job = lab.job(User::Ordinary, &lab.machines(3)).options(&["--fault", engine]);
        let mut job = job.start("fail_work", &[]);
        for rank in 0..3 {
            job.wait_for_output(&format!("[Proc {rank} : "));
        }
        let at = job.elapsed();
        reset(&lab);
        job.input(None);
        let ended = job.finish(Duration::from_secs(30));
        lab.expect_no_processes(GONE);
        let what =
            if ended.code == 0 { expect_resumed(&ended, at) } else { expect_end(&ended, at) };
        println!("connection reset {engine:8} {what}");
    }
}

/// Makes what hosts 1 and 2 send each other arrive as resets, until each has had one.
fn reset(lab: &Lab) {
    let pairs = [(1, 2), (2, 1)];
    let network = lab.network();
    let resets = || pairs.map(|(from, to)| network.counts(from, to).reset);
    let before = resets();
    let reset = Conditions { resets: Resets::Ranks, ..Conditions::default() };
    network.set_where(&reset, |from, to| pairs.contains(&(from, to)));
    let deadline = Instant::now() + Duration::from_secs(2);
    // One end may have nothing to send any more once it has had its reset.
    while resets() == before && Instant::now() < deadline {}
    network.set_where(&Conditions::default(), |_, _| true);
    assert_ne!(resets(), before, "nothing was sent");
}

fn expect_resumed(ended: &Ended, at: Duration) -> String {
    for rank in 0..3 {
        assert_eq!(ended.rank(rank).last(), Some(&"fail_work: right"), "{}", ended.report());
    }
    let took = ended.took.saturating_sub(at);
    assert!(took <= WITHIN, "went on after {took:?}\n{}", ended.report());
    format!("resumed, right {:.3} s after it", took.as_secs_f64())
}

/// Both ranks are named.
fn expect_end(ended: &Ended, at: Duration) -> String {
    ended.expect_code(75);
    let mut errors = ended.lines.iter().filter(|line| line.stream == Stream::Stderr);
    let line = errors.find(|line| line.text.starts_with("dsmexec: ")).unwrap();
    for words in ["rank 1 (node2) pid ", "rank 2 (node3) pid "] {
        assert!(line.text.contains(words), "no {words:?}\n{}", ended.report());
    }
    let told = line.at.saturating_sub(at);
    assert!(told <= WITHIN, "told after {told:?}\n{}", ended.report());
    format!("a clean end, told after {:.3} s: {}", told.as_secs_f64(), line.text)
}

const WITHIN: Duration = Duration::from_secs(5);
