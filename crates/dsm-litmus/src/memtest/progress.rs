//! Every thread gets on, however many want the same pages.

use super::{Bench, Findings, TestError, exchange};
use dsm_sim::rng::Rng;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// So many threads a rank load, store and add on the same few pages for so long; none may wait longer than
/// the limit for one access.
///
/// # Errors
/// If the ranks cannot go on together.
pub fn progress(
    bench: &mut Bench,
    time: Duration,
    threads: usize,
    limit: Duration,
) -> Result<Findings, TestError> {
    let rank = usize::from(bench.node.rank());
    let page_words = bench.node.page_bytes() / 8;
    let words = bench.node.words::<AtomicU64>(bench.node.page_bytes(), PAGES * page_words)?;
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
    let threads = all.iter().flat_map(|rank| rank.chunks_exact(2)).map(|gone| (gone[0], gone[1]));
    let mut accesses: Vec<u64> = threads.clone().map(|(accesses, _)| accesses).collect();
    let mut waits: Vec<Duration> = threads.map(|(_, ns)| Duration::from_nanos(ns)).collect();
    accesses.sort_unstable();
    waits.sort_unstable();
    let (count, longest) = (accesses.len(), waits.last().copied().unwrap_or_default());
    let mut findings = Findings::default();
    findings.figures.push(format!(
        "progress: {count} threads, {} to {} accesses each (median {}), longest wait {longest:.1?}, median of the threads' longest {:.1?}",
        accesses.first().unwrap_or(&0),
        accesses.last().unwrap_or(&0),
        accesses.get(count / 2).unwrap_or(&0),
        waits.get(count / 2).unwrap_or(&Duration::ZERO)
    ));
    if longest > limit && rank == 0 {
        findings
            .fail(format!("a thread waited {longest:.1?} for an access, the limit is {limit:?}"));
    }
    Ok(findings.gathered(bench.hub)?)
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

const PAGES: usize = 2;
