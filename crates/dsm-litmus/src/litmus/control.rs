//! The positive control: two threads of one rank must be seen to reorder.

use super::outcome::Outcome;
use super::shape::Shape;
use crate::clock;
use dsm::{Node, WordsError};
use std::hint;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};
use std::thread;
use std::time::{Duration, Instant};

/// How often two threads of one rank saw the outcome of store buffering that sequential consistency rules out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// How many instances were run.
    pub instances: u64,
    /// How many of them ended with neither thread seeing the other's store.
    pub reordered: u64,
}

/// Runs store buffering on two threads of this rank, with plain accesses to shared memory, until the
/// reordering was seen often enough or the time is over.
///
/// # Errors
/// If the shared area has less than three pages.
pub fn control(node: &Node) -> Result<Control, WordsError> {
    let words = node.words::<AtomicU64>(0, 3 * node.page_bytes() / 8)?;
    let variables = [&words[node.page_bytes() / 8], &words[2 * node.page_bytes() / 8]];
    let shape = Shape::store_buffering();
    let until = Instant::now() + AT_MOST;
    let mut control = Control { instances: 0, reordered: 0 };
    while control.reordered < ENOUGH && Instant::now() < until {
        // Values of this time that no earlier instance stored.
        let first = clock::now_ns();
        let arrived = [AtomicU64::new(0), AtomicU64::new(0)];
        let block = Block { variables, arrived: &arrived, first, until };
        let (ours, theirs) = thread::scope(|scope| {
            let other = scope.spawn(|| block.run(1));
            (block.run(0), other.join().expect("loads and stores do not panic"))
        });
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            let values = [ours, theirs, 1, 1].into_iter().enumerate();
            let outcome = values.fold(Outcome::default(), |o, (place, value)| o.with(place, value));
            control.instances += 1;
            control.reordered += u64::from(!shape.allowed.contains(&outcome));
        }
    }
    Ok(control)
}

/// Some instances, one after another, each with its own rendezvous.
#[derive(Clone, Copy, Debug)]
struct Block<'a> {
    variables: [&'a AtomicU64; 2],
    arrived: &'a [AtomicU64; 2],
    first: u64,
    until: Instant,
}

impl Block<'_> {
    /// For each instance, what this thread saw of the other's store: 0 or 1.
    fn run(&self, me: usize) -> Vec<u8> {
        let other = 1 - me;
        let mut saw = Vec::with_capacity(BLOCK);
        for (instance, value) in (1..).zip(self.first..).take(BLOCK) {
            self.arrived[me].store(instance, Ordering::SeqCst);
            if !self.await_other(other, instance) {
                break;
            }
            // Both leave the rendezvous a little apart, each time by another amount.
            for _ in 0..(instance * (3 + 4 * me as u64)) % DELAYS {
                hint::spin_loop();
            }
            self.variables[me].store(value, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            let found = self.variables[other].load(Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
            saw.push(u8::from(found >= value));
        }
        saw
    }

    /// Spins until the other thread is at the instance too; false if it does not come in time.
    fn await_other(&self, other: usize, instance: u64) -> bool {
        loop {
            for _ in 0..SPINS {
                if self.arrived[other].load(Ordering::SeqCst) >= instance {
                    return true;
                }
                hint::spin_loop();
            }
            if Instant::now() > self.until {
                return false;
            }
            thread::yield_now();
        }
    }
}

const BLOCK: usize = 20_000;
/// Reorderings that prove that they can be seen.
const ENOUGH: u64 = 100;
const AT_MOST: Duration = Duration::from_secs(60);
/// Rounds of the longest delay after a rendezvous.
const DELAYS: u64 = 5;
const SPINS: u32 = 1000;
