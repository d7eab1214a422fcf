//! Every thread gets on, however many want the same pages.

use super::{Bench, Findings, TestError, exchange};
use dsm_sim::rng::Rng;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// So many threads a rank load, store and add on the same few pages for so long. Before, they do the same on
/// private memory for a quarter of the time: how long they wait there is what scarce processors cost. On
/// shared memory none may wait longer for one access than that and the limit.
///
/// # Errors
/// If the ranks cannot go on together.
pub fn progress(
    bench: &mut Bench,
    time: Duration,
    threads: usize,
    limit: Duration,
) -> Result<Findings, TestError> {
    let page_words = bench.node.page_bytes() / 8;
    let private: Vec<AtomicU64> = (0..PAGES * page_words).map(|_| AtomicU64::new(0)).collect();
    let alone = crowd(bench, &private, time / 4, threads)?;
    let shared = bench.node.words::<AtomicU64>(bench.node.page_bytes(), PAGES * page_words)?;
    let together = crowd(bench, shared, time, threads)?;
    let mut findings = Findings::default();
    findings.figures.push(format!("progress: {together}, on private memory {:.1?}", alone.longest));
    if bench.node.rank() == 0 {
        judge(alone.longest, together.longest, limit, &mut findings);
    }
    Ok(findings.gathered(bench.hub)?)
}

fn judge(alone: Duration, together: Duration, limit: Duration, findings: &mut Findings) {
    if together > alone + limit {
        findings.fail(format!(
            "a thread waited {together:.1?} for an access: over the limit of {limit:?} and {alone:.1?} on private memory"
        ));
    }
}

/// Runs the threads of all ranks at once.
fn crowd(
    bench: &mut Bench,
    words: &[AtomicU64],
    time: Duration,
    threads: usize,
) -> Result<Crowd, TestError> {
    let rank = usize::from(bench.node.rank());
    bench.hub.meet_again()?;
    let until = Instant::now() + time;
    let gone: Vec<Gone> = thread::scope(|scope| {
        let start = |thread: usize| {
            let rng = Rng::new(bench.seed ^ (rank * threads + thread) as u64);
            scope.spawn(move || go(words, rng, until))
        };
        let running: Vec<_> = (0..threads).map(start).collect();
        let join =
            |thread: thread::ScopedJoinHandle<_>| thread.join().expect("accesses do not panic");
        running.into_iter().map(join).collect()
    });
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let mine: Vec<u64> = gone.iter().flat_map(|gone| [gone.accesses, ns(gone.longest)]).collect();
    let all = exchange(bench.hub, &mine)?;
    let gone = all.iter().flat_map(|rank| rank.chunks_exact(2));
    let mut accesses: Vec<u64> = gone.clone().map(|gone| gone[0]).collect();
    accesses.sort_unstable();
    let longest = gone.map(|gone| Duration::from_nanos(gone[1])).max();
    Ok(Crowd { accesses, longest: longest.unwrap_or_default() })
}

/// How the threads of all ranks got on.
#[derive(Clone, Debug)]
struct Crowd {
    /// Of each thread, sorted.
    accesses: Vec<u64>,
    longest: Duration,
}

/// How a thread got on.
#[derive(Clone, Copy, Debug)]
struct Gone {
    accesses: u64,
    /// From the end of one access to the end of the next.
    longest: Duration,
}

fn go(words: &[AtomicU64], mut rng: Rng, until: Instant) -> Gone {
    let mut gone = Gone { accesses: 0, longest: Duration::ZERO };
    let mut last = Instant::now();
    while last < until {
        let word = &words[rng.place(words.len())];
        match rng.below(3) {
            0 => _ = word.load(Relaxed),
            1 => word.store(1, Relaxed),
            _ => _ = word.fetch_add(1, SeqCst),
        }
        let now = Instant::now();
        gone.accesses += 1;
        gone.longest = gone.longest.max(now - last);
        last = now;
    }
    gone
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accesses, longest } = self;
        let at = |place: usize| accesses.get(place).unwrap_or(&0);
        let count = accesses.len();
        let (least, median, most) = (at(0), at(count / 2), at(count.saturating_sub(1)));
        write!(f, "{count} threads, {least} to {most} accesses each (median {median})")?;
        // One unit always: scripts read this.
        write!(f, ", longest wait {:.1} ms", longest.as_secs_f64() * 1e3)
    }
}

const PAGES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_over_the_limit_is_reported() {
        let check = |alone, together, failures: &[&str]| {
            let mut findings = Findings::default();
            let [alone, together, limit] = [alone, together, 1000].map(Duration::from_millis);
            judge(alone, together, limit, &mut findings);
            assert_eq!(findings.failures, failures);
        };
        check(0, 1000, &[]);
        check(500, 1400, &[]);
        check(
            500,
            1600,
            &[
                "a thread waited 1.6s for an access: over the limit of 1s and 500.0ms on private memory",
            ],
        );
    }
}
