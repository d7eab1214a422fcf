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
        // One that only met what was left of the connection before is none.
        let told = ended.lines.iter().filter(|line| line.text.contains(RESUMED)).count();
        assert!((1..=RESETS).contains(&told), "{told} resumptions\n{}", ended.report());
        let slowest = slowest.as_secs_f64();
        println!("{RESETS} resets {engine:8} {told} resumptions, slowest {slowest:.3} s");
    }
}

/// Makes what hosts 1 and 2 send each other arrive as resets, until one has had one; gives the time until they talk again.
fn reset(lab: &Lab, job: &mut Running) -> Duration {
    let network = lab.network();
    let counts = || PAIRS.map(|(from, to)| network.counts(from, to));
    let before = counts();
    let reset = Conditions { resets: Resets::Ranks, ..Conditions::default() };
    network.set_where(&reset, |from, to| PAIRS.contains(&(from, to)));
    await_that(job, || counts().iter().zip(&before).any(|(now, then)| now.reset > then.reset));
    network.set_all(&Conditions::default());
    let (began, before) = (Instant::now(), counts());
    await_that(job, || {
        counts().iter().zip(&before).all(|(now, then)| now.delivered > then.delivered + TALK)
    });
    began.elapsed()
}

fn await_that(job: &mut Running, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "nothing is sent any more\n{}", job.report());
        thread::yield_now();
    }
}

const PAIRS: [(usize, usize); 2] = [(1, 2), (2, 1)];
/// More frames than it takes to connect again.
const TALK: u64 = 60;
const RESUMED: &str = " was reset and resumed after ";
/// Only a connection that is not resumed takes so long.
const LIMIT: Duration = Duration::from_secs(15);
const RESETS: usize = 5;
