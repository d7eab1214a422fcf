//! Threads that wait for each other's locks, as far as the ranks have told.

use super::Waits;
use super::inquiry::Inquiry;
use dsm_net::launch::Awaited;
use std::collections::{BTreeMap, BTreeSet};

type Thread = (u16, u32);

impl Waits {
    /// A line for each cycle of threads that wait for each other.
    pub(super) fn deadlocks(&self, inquiry: &Inquiry) -> Vec<String> {
        let awaits = lock_waits(inquiry);
        let mut done = BTreeSet::new();
        let mut lines = Vec::new();
        for first in awaits.keys() {
            if let Some(cycle) = cycle_of(*first, &awaits, &mut done) {
                lines.push(self.tell_cycle(&cycle, &awaits));
            }
        }
        lines
    }

    fn tell_cycle(&self, cycle: &[Thread], awaits: &BTreeMap<Thread, (u64, Thread)>) -> String {
        let before = cycle.iter().cycle().skip(cycle.len() - 1);
        let links = cycle.iter().zip(before).map(|(thread, before)| {
            let (has, awaited) = (awaits[before].0, awaits[thread].0);
            let (rank, number) = *thread;
            let name = self.name(rank);
            format!("{name} thread {number} has lock {has:#x} and waits for {awaited:#x}")
        });
        format!("deadlock: {}", links.collect::<Vec<_>>().join("; "))
    }
}

/// For each thread that waits for a lock: the lock, and a thread that has it.
fn lock_waits(inquiry: &Inquiry) -> BTreeMap<Thread, (u64, Thread)> {
    let mut awaits = BTreeMap::new();
    for (rank, waits) in &inquiry.waits {
        for wait in &waits.waits {
            let Awaited::Lock { address, holder } = wait.awaited else { continue };
            let told = || inquiry.held.get(&(*rank, address)).copied().flatten();
            if let Some(holder) = holder.or_else(told) {
                awaits.insert((*rank, wait.thread), (address, (holder.rank, holder.thread)));
            }
        }
    }
    awaits
}

/// The cycle that this thread's waits lead to, unless they lead to what was looked at before.
fn cycle_of(
    first: Thread,
    awaits: &BTreeMap<Thread, (u64, Thread)>,
    done: &mut BTreeSet<Thread>,
) -> Option<Vec<Thread>> {
    let mut path: Vec<Thread> = Vec::new();
    let mut next = first;
    while done.insert(next) {
        path.push(next);
        next = awaits.get(&next)?.1;
    }
    let begin = path.iter().position(|thread| *thread == next)?;
    Some(path.split_off(begin))
}
