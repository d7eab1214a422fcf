//! quicksort: sorts whole numbers with a queue of work.
//!
//! ```text
//! dsmexec machine_file quicksort-rs [KEYS] [SMALL]
//! ```
//! The queue holds ranges of the array that are yet to be sorted. A rank takes one, splits it, puts one half back for
//! whoever is idle, and goes on with the other, until what it has is no longer than SMALL, and is sorted on the spot.
//!
//! Worth a look: a mutex around what it protects, and a condition variable beside it. All of it is shared memory,
//! which is zero at first, and zero is an idle mutex around an empty vector: nothing needs to be set up. The array is a
//! `Slice`, which needs no lock: a range is in the queue, or with one rank.
//!
//! Rank 0 then sorts the same numbers alone, and compares. Exit code 0; 1 if the job cannot be joined or the result
//! is wrong; 64 for wrong arguments.
#![forbid(unsafe_code)]

mod common;

use common::{Arguments, Run, scramble};
use dsm::{Condvar, Mutex, Shareable, Slice};
use std::error::Error;
use std::ops::Range;
use std::process::ExitCode;

#[derive(Shareable)]
struct Queue {
    work: Mutex<Work>,
    /// There is a range, or all is sorted.
    changed: Condvar,
}

#[derive(Shareable)]
struct Work {
    /// Numbers that are not at their place yet.
    left: usize,
    /// First and end of what waits. The newest is taken first: it may still be where it was split.
    ranges: dsm::Vec<(usize, usize)>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = Arguments::new("quicksort", "Sorts whole numbers with a queue of work.");
    let count = arguments.number("KEYS", "how many", 1..=1 << 28, 1 << 18);
    let small = arguments.number("SMALL", "do not split so few", 2..=1 << 28, 1 << 13);
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = dsm::Node::join()?;
    let keys = node.named_slice::<u64>("keys", count)?;
    let queue = node.named::<Queue>("queue")?;
    let (rank, nodes) = (usize::from(node.rank()), usize::from(node.nodes()));
    for at in count * rank / nodes..count * (rank + 1) / nodes {
        keys.set(at, scramble(at as u64));
    }
    if rank == 0 {
        queue.work.lock().left = count;
        queue.put(0..count);
    }

    let mut run = Run::begin("quicksort", &node)?;
    while let Some(range) = queue.take() {
        let sorted = sort(queue, keys, range, small);
        queue.settle(sorted);
    }
    run.end()?;

    if rank == 0 {
        let mut expected: Vec<u64> = (0..count as u64).map(scramble).collect();
        run.alone(|| expected.sort_unstable());
        let result: Vec<u64> = keys.iter().collect();
        run.compare(&result, &expected, |at| format!("number {at}"));
    }
    let code = run.report(format_args!("{count} numbers, ranges over {small} split"));
    node.finalize()?;
    Ok(code)
}

impl Queue {
    fn put(&self, range: Range<usize>) {
        self.work.lock().ranges.push((range.start, range.end));
        self.changed.notify_one();
    }

    /// Waits for a range. There is none when all is sorted.
    fn take(&self) -> Option<Range<usize>> {
        let is_idle = |work: &mut Work| work.ranges.is_empty() && work.left > 0;
        let mut work = self.changed.wait_while(self.work.lock(), is_idle);
        work.ranges.pop().map(|(first, end)| first..end)
    }

    /// So many numbers are at their place.
    fn settle(&self, count: usize) {
        let mut work = self.work.lock();
        work.left -= count;
        if work.left == 0 {
            self.changed.notify_all();
        }
    }
}

/// Splits a range, putting back halves, until what remains is small and is sorted; gives how many these are.
fn sort(queue: &Queue, keys: Slice<u64>, mut range: Range<usize>, small: usize) -> usize {
    while range.len() > small {
        let middle = range.start + split(keys.slice(range.clone()));
        queue.put(range.start..middle);
        range.start = middle;
    }
    // In private memory, where it can be sorted as a slice.
    let keys = keys.slice(range);
    let mut sorted: Vec<u64> = keys.iter().collect();
    sorted.sort_unstable();
    keys.write_from(&sorted);
    sorted.len()
}

/// Orders so that none of the first k is larger than any of the others; gives k, 0 < k < length, which is at least 3.
fn split(keys: Slice<u64>) -> usize {
    let mut three = [0, (keys.len() - 1) / 2, keys.len() - 1].map(|at| keys.get(at));
    three.sort_unstable();
    let pivot = three[1];
    let (mut low, mut high) = (0, keys.len() - 1);
    loop {
        while keys.get(low) < pivot {
            low += 1;
        }
        while keys.get(high) > pivot {
            high -= 1;
        }
        if low >= high {
            return high + 1;
        }
        let kept = keys.get(low);
        keys.set(low, keys.get(high));
        keys.set(high, kept);
        (low, high) = (low + 1, high - 1);
    }
}
