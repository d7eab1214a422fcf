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
    assert!(all / PAGES + 2 < page_words, "all threads have words");
    // Neighbours are of different ranks: thread t of rank r has number t * nodes + r.
    let own = |number: usize| &words[number % PAGES * page_words + 1 + number / PAGES];
    let owned: Vec<&AtomicU64> = (0..all).map(own).collect();
    bench.hub.meet_again()?;
    let until = Instant::now() + time;
    let counters = (0..threads).map(|thread| Counter {
        own: thread * nodes + rank,
        words: &owned,
        sum: &words[0],
        seen: vec![0; all],
        rng: Rng::new(bench.seed ^ (rank * threads + thread) as u64),
        findings: Findings::default(),
    });
    let done: Vec<(u64, u64, Findings)> = thread::scope(|scope| {
        let start = |mut counter: Counter<'_>| {
            let (stored, added) = counter.run(until);
            (stored, added, counter.findings)
        };
        let running = counters.map(|counter| scope.spawn(move || start(counter)));
        let running: Vec<_> = running.collect();
        let join =
            |thread: thread::ScopedJoinHandle<_>| thread.join().expect("stores do not panic");
        running.into_iter().map(join).collect()
    });
    let mut mine: Vec<u64> = done.iter().map(|(stored, ..)| *stored).collect();
    mine.push(done.iter().map(|(_, added, _)| added).sum());
    let mut findings = Findings::default();
    done.into_iter().flat_map(|(.., found)| found.failures).for_each(|found| findings.fail(found));
    let ranks = exchange(bench.hub, &mine)?;
    compare(&owned, &words[0], &ranks, &mut findings);
    let stored: u64 = ranks.iter().flat_map(|rank| &rank[..threads]).sum();
    let added: u64 = ranks.iter().map(|rank| rank[threads]).sum();
    findings.figures.push(format!(
        "lost stores: {stored} stores and {added} additions by {all} threads on {PAGES} pages"
    ));
    Ok(findings.gathered(bench.hub)?)
}

/// Compares what is there in the end with what each rank's threads stored and, as the last number, added.
fn compare(owned: &[&AtomicU64], sum: &AtomicU64, ranks: &[Vec<u64>], findings: &mut Findings) {
    for (number, word) in owned.iter().enumerate() {
        let (thread, rank) = (number / ranks.len(), number % ranks.len());
        let (found, stored) = (word.load(SeqCst), ranks[rank][thread]);
        if found != stored {
            findings.fail(format!(
                "lost store: the word of thread {thread} of rank {rank} is {found} in the end, not {stored}"
            ));
        }
    }
    let (found, added) = (sum.load(SeqCst), ranks.iter().filter_map(|rank| rank.last()).sum());
    if found != added {
        findings.fail(format!("lost addition: the sum is {found}, not {added}"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_reported() {
        let words = [5, 7, 6, 8, 3].map(AtomicU64::new);
        let owned: Vec<&AtomicU64> = words[..4].iter().collect();
        let check = |ranks: [[u64; 3]; 2], failures: &[&str]| {
            let mut findings = Findings::default();
            let ranks = ranks.map(|rank| rank.to_vec());
            compare(&owned, &words[4], &ranks, &mut findings);
            assert_eq!(findings.failures, failures);
        };
        check([[5, 6, 1], [7, 8, 2]], &[]);
        check(
            [[5, 9, 1], [7, 8, 3]],
            &[
                "lost store: the word of thread 1 of rank 0 is 6 in the end, not 9",
                "lost addition: the sum is 3, not 4",
            ],
        );
    }
}
