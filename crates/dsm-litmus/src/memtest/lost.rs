//! No store is lost, however close to others it is made.
//!
//! Each thread of each rank has a word of its own on pages that all share, and stores the numbers from 1
//! on to it. It must always find there what it stored last, and in the words of others never less than it
//! saw before. In the end everyone must find the last number of everyone; and as many additions to one word
//! as all threads made.

use super::{Bench, Findings, TestError, exchange};
use dsm_sim::rng::Rng;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, compiler_fence};
use std::thread;
use std::time::{Duration, Instant};

/// Runs the test for so long with so many threads a rank.
///
/// # Errors
/// If the ranks cannot go on together.
pub fn lost(bench: &mut Bench, time: Duration, threads: usize) -> Result<Findings, TestError> {
    let (rank, nodes) = (usize::from(bench.node.rank()), usize::from(bench.node.nodes()));
    let page_words = bench.node.page_bytes() / 8;
    let all = threads * nodes;
    let words = bench.node.words::<AtomicU64>(bench.node.page_bytes(), PAGES * page_words)?;
    if rank == 0 {
        words.iter().for_each(|word| word.store(0, SeqCst));
    }
    // Thread by thread over the pages, so that neighbours are of different ranks.
    let word = |thread: usize, rank: usize| {
        let at = thread * nodes + rank;
        &words[at % PAGES * page_words + 1 + at / PAGES]
    };
    assert!(all / PAGES + 2 < page_words, "all threads have words");
    let owned: Vec<&AtomicU64> =
        (0..threads).flat_map(|thread| (0..nodes).map(move |r| word(thread, r))).collect();
    bench.hub.meet_again()?;
    let until = Instant::now() + time;
    let mut findings = Findings::default();
    let done: Vec<(u64, u64, Findings)> = thread::scope(|scope| {
        let start = |thread: usize| {
            let mut counter = Counter {
                own: thread * nodes + rank,
                words: &owned,
                sum: &words[0],
                seen: vec![0; all],
                rng: Rng::new(bench.seed ^ (rank * threads + thread) as u64),
                findings: Findings::default(),
            };
            scope.spawn(move || {
                let (stored, added) = counter.run(until);
                (stored, added, counter.findings)
            })
        };
        let running: Vec<_> = (0..threads).map(start).collect();
        let join =
            |thread: thread::ScopedJoinHandle<_>| thread.join().expect("stores do not panic");
        running.into_iter().map(join).collect()
    });
    let mut mine: Vec<u64> = done.iter().map(|(stored, ..)| *stored).collect();
    mine.push(done.iter().map(|(_, added, _)| added).sum());
    done.into_iter().flat_map(|(.., found)| found.failures).for_each(|found| findings.fail(found));
    let ranks = exchange(bench.hub, &mine)?;
    for (thread, (other, counts)) in
        (0..threads).flat_map(|t| ranks.iter().enumerate().map(move |r| (t, r)))
    {
        let (found, stored) = (word(thread, other).load(SeqCst), counts[thread]);
        if found != stored {
            findings.fail(format!(
                "lost store: the word of thread {thread} of rank {other} is {found} in the end, not {stored}"
            ));
        }
    }
    let (found, added) = (words[0].load(SeqCst), ranks.iter().map(|rank| rank[threads]).sum());
    if found != added {
        findings.fail(format!("lost addition: the sum is {found}, not {added}"));
    }
    let stored: u64 = ranks.iter().flat_map(|rank| &rank[..threads]).sum();
    findings.figures.push(format!(
        "lost stores: {stored} stores and {added} additions by {all} threads on {PAGES} pages"
    ));
    Ok(findings.gathered(bench.hub)?)
}

struct Counter<'a> {
    own: usize,
    words: &'a [&'a AtomicU64],
    sum: &'a AtomicU64,
    seen: Vec<u64>,
    rng: Rng,
    findings: Findings,
}

impl Counter<'_> {
    /// How many numbers were stored and how many additions made.
    fn run(&mut self, until: Instant) -> (u64, u64) {
        let mut added = 0;
        for number in 1.. {
            self.words[self.own].store(number, Relaxed);
            compiler_fence(SeqCst);
            let found = self.words[self.own].load(Relaxed);
            compiler_fence(SeqCst);
            if found != number {
                self.findings.fail(format!("lost store: {found} found where {number} was stored"));
            }
            if self.rng.one_in(8) {
                self.look();
            }
            if self.rng.one_in(16) {
                // Lets this rank's page server run, where processors are scarce.
                thread::yield_now();
            }
            if self.rng.one_in(64) {
                self.sum.fetch_add(1, SeqCst);
                added += 1;
            }
            if Instant::now() >= until {
                return (number, added);
            }
        }
        unreachable!("nobody counts to 2^64")
    }

    /// Looks at the word of some other thread.
    fn look(&mut self) {
        let other = self.rng.place(self.words.len());
        let found = self.words[other].load(Relaxed);
        let before = std::mem::replace(&mut self.seen[other], found);
        if found < before {
            self.findings.fail(format!("word {other} went back from {before} to {found}"));
        }
    }
}

const PAGES: usize = 2;
