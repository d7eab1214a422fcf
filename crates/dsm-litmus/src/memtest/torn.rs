//! No page is ever seen half installed.
//!
//! One rank fills a page again and again, from the first word to the last, with the number of the pass.
//! At any instant, then, the page is some words of one pass followed by words of the pass before. Others
//! read it in both directions, and so see:
//!
//! - from the last word to the first, never a smaller number than before;
//! - from the first to the last, never one that is smaller by more than 1;
//! - in no word ever a smaller number than they saw there before.
//!
//! Each reader also counts in a word of its own on the page, so that the page changes its owner.

use super::{Bench, Findings, TestError, exchange};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, compiler_fence};
use std::thread;
use std::time::{Duration, Instant};

/// Runs the test for so long, with each rank as the writer in turn.
///
/// # Errors
/// If the ranks cannot go on together.
pub fn torn(bench: &mut Bench, time: Duration) -> Result<Findings, TestError> {
    let nodes = bench.node.nodes();
    let mut findings = Findings::default();
    let (mut passes, mut scans, mut mixed) = (0, 0, 0);
    for writer in 0..nodes {
        let page = bench.node.page_bytes() * (1 + usize::from(writer));
        let words = bench.node.words::<AtomicU64>(page, bench.node.page_bytes() / 8)?;
        let (counters, body) = words.split_at(READERS * usize::from(nodes));
        if bench.node.rank() == writer {
            words.iter().for_each(|word| word.store(0, SeqCst));
        }
        bench.hub.meet_again()?;
        let until = Instant::now() + time / nodes.into();
        let own = READERS * usize::from(bench.node.rank());
        let done = match bench.node.rank() == writer {
            true => [fill(body, until), 0, 0],
            false => read_all(body, &counters[own..own + READERS], until, &mut findings),
        };
        let all = exchange(bench.hub, &done)?;
        let pass = all[usize::from(writer)][0];
        if let Some(at) = body.iter().position(|word| word.load(SeqCst) != pass) {
            let found = body[at].load(SeqCst);
            findings.fail(format!("word {at} of the page is {found} in the end, not {pass}"));
        }
        let counted: u64 = counters.iter().map(|word| word.load(SeqCst)).sum();
        let counts: u64 = all.iter().map(|rank| rank[1]).sum();
        if counted != counts {
            findings.fail(format!("readers stored {counts} counts, the page has {counted}"));
        }
        (passes, scans) = (passes + pass, scans + counts);
        mixed += all.iter().map(|rank| rank[2]).sum::<u64>();
        // Nobody begins with the next page before all have looked at this one.
        bench.hub.meet_again()?;
    }
    findings.figures.push(format!(
        "torn pages: {scans} scans by readers, {mixed} of them across the border of two passes, {passes} passes"
    ));
    Ok(findings.gathered(bench.hub)?)
}

/// Fills the page until the time is over; returns the last pass.
fn fill(body: &[AtomicU64], until: Instant) -> u64 {
    let mut pass = 0;
    while Instant::now() < until {
        pass += 1;
        for word in body {
            word.store(pass, Relaxed);
            compiler_fence(SeqCst);
        }
        // Lets this rank's page server run, where processors are scarce; so do the readers.
        thread::yield_now();
    }
    pass
}

/// Reads with one thread in each direction. Returns 0, the number of scans, and how many saw two passes.
fn read_all(
    body: &[AtomicU64],
    counters: &[AtomicU64],
    until: Instant,
    findings: &mut Findings,
) -> [u64; 3] {
    let readers = [Reader::new(body, Direction::Up), Reader::new(body, Direction::Down)];
    let readers: Vec<(u64, u64, Findings)> = thread::scope(|scope| {
        let mut threads = Vec::new();
        for (mut reader, counter) in readers.into_iter().zip(counters) {
            threads.push(scope.spawn(move || {
                reader.run(counter, until);
                (reader.scans, reader.mixed, reader.findings)
            }));
        }
        let join = |thread: thread::ScopedJoinHandle<_>| thread.join().expect("loads do not panic");
        threads.into_iter().map(join).collect()
    });
    let mut sums = [0; 3];
    for (scans, mixed, found) in readers {
        sums = [0, sums[1] + scans, sums[2] + mixed];
        found.failures.into_iter().for_each(|failure| findings.fail(failure));
    }
    sums
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// From the first word to the last, as the writer.
    Up,
    /// Against it.
    Down,
}

struct Reader<'a> {
    body: &'a [AtomicU64],
    direction: Direction,
    /// The newest number seen in each word.
    newest: Vec<u64>,
    scans: u64,
    mixed: u64,
    findings: Findings,
}

impl<'a> Reader<'a> {
    fn new(body: &'a [AtomicU64], direction: Direction) -> Self {
        let newest = vec![0; body.len()];
        Self { body, direction, newest, scans: 0, mixed: 0, findings: Findings::default() }
    }

    fn run(&mut self, counter: &AtomicU64, until: Instant) {
        while Instant::now() < until {
            let mut seen = Vec::with_capacity(self.body.len());
            for step in 0..self.body.len() {
                let at = match self.direction {
                    Direction::Up => step,
                    Direction::Down => self.body.len() - 1 - step,
                };
                seen.push((at, self.body[at].load(Relaxed)));
                compiler_fence(SeqCst);
            }
            self.judge(&seen);
            self.scans += 1;
            counter.store(self.scans, Relaxed);
            thread::yield_now();
        }
    }

    fn judge(&mut self, seen: &[(usize, u64)]) {
        let mut largest = 0;
        for &(at, number) in seen {
            let least = match self.direction {
                Direction::Up => u64::saturating_sub(largest, 1),
                Direction::Down => largest,
            };
            if number < least {
                let direction = self.direction;
                self.findings.fail(format!(
                    "torn page: word {at} is {number}, but at least {least} by what was read before it ({direction:?})"
                ));
            }
            if number < self.newest[at] {
                let before = self.newest[at];
                self.findings.fail(format!("word {at} went back from {before} to {number}"));
            }
            self.newest[at] = number.max(self.newest[at]);
            largest = largest.max(number);
        }
        self.mixed += u64::from(seen.iter().any(|(_, number)| *number != largest));
    }
}

/// Threads that read, of each rank but the writer.
const READERS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(direction: Direction, seen: &[u64], failures: usize) {
        let body: Vec<_> = seen.iter().map(|_| AtomicU64::new(0)).collect();
        let mut reader = Reader::new(&body, direction);
        let places: Vec<usize> = match direction {
            Direction::Up => (0..seen.len()).collect(),
            Direction::Down => (0..seen.len()).rev().collect(),
        };
        let seen: Vec<_> = places.into_iter().zip(seen.iter().copied()).collect();
        reader.judge(&seen);
        assert_eq!(reader.findings.failures.len(), failures, "{:?}", reader.findings);
    }

    #[test]
    fn what_a_reader_may_see() {
        check(Direction::Up, &[5, 5, 4, 4, 4], 0);
        check(Direction::Up, &[5, 5, 7, 7, 6], 0);
        check(Direction::Down, &[4, 4, 5, 5, 9], 0);
    }

    #[test]
    fn a_torn_page_is_reported() {
        check(Direction::Up, &[5, 5, 3, 4, 4], 1);
        check(Direction::Up, &[5, 0, 5, 5, 5], 1);
        check(Direction::Down, &[5, 5, 4, 5, 5], 1);
    }

    #[test]
    fn a_word_that_goes_back_is_reported() {
        let body = [AtomicU64::new(0)];
        let mut reader = Reader::new(&body, Direction::Up);
        reader.judge(&[(0, 2)]);
        reader.judge(&[(0, 1)]);
        assert_eq!(reader.findings.failures, ["word 0 went back from 2 to 1"]);
    }
}
