//! Threads that wait for each other's locks, and would for ever.

use super::thread::Thread;
use super::{Holder, Locks};
use dsm_core::{Access, Answer, Call, ObjectId, Rank};
use std::fmt;

/// A cycle of threads, each of which has the lock that the one before waits for.
///
/// Found by following the waits from one of its threads ("edge chasing": Chandy, Misra, Haas, "Distributed
/// Deadlock Detection", TOCS 1(2), 1983). Each thread of it was seen to wait while it had the lock before;
/// none can go on, so what was seen one after the other is true at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cycle {
    base: usize,
    links: Vec<Link>,
}

/// A thread that has one lock and waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    rank: Rank,
    /// Its number on its host.
    thread: u32,
    has: ObjectId,
    waits_for: ObjectId,
}

impl Locks {
    /// The cycle that this thread is in, which waits for a lock. Of all its threads one finds it.
    pub(super) fn cycle(&self, waits_for: ObjectId) -> Option<Cycle> {
        let mut links: Vec<Link> = Vec::new();
        let mut next = waits_for;
        while links.len() < LONGEST {
            let has = next;
            let (rank, Holder { thread, waits_for }) = self.holder(has)?;
            next = waits_for?;
            links.push(Link { rank, thread, has, waits_for: next });
            if (rank, thread) == (self.rank, Thread::current().on_host()) {
                let is_first =
                    links.iter().min_by_key(|link| (link.rank, link.thread)) == links.last();
                return is_first.then_some(Cycle { base: self.base, links });
            }
        }
        // It leads to a cycle that this thread is not in, whose threads will find it.
        None
    }

    /// A thread of any rank that has a lock, one that waits itself if there are several.
    fn holder(&self, object: ObjectId) -> Option<(Rank, Holder)> {
        if let Some(holder) = self.inspect(object, Access::Write) {
            return Some((self.rank, holder));
        }
        let call = Call::Probe { object, access: Access::Write };
        match self.calls.as_ref()?.call(call) {
            Ok(Answer::Held { rank, thread, waits_for }) => {
                Some((rank, Holder { thread, waits_for }))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadlock:")?;
        let address = |object: ObjectId| {
            usize::try_from(object.0).map_or(usize::MAX, |word| self.base + word * size_of::<u64>())
        };
        for (number, link) in self.links.iter().enumerate() {
            let separator = if number == 0 { "" } else { ";" };
            let Link { rank, thread, has, waits_for } = *link;
            let (has, waits_for) = (address(has), address(waits_for));
            write!(
                f,
                "{separator} rank {rank} thread {thread} has lock {has:#x} and waits for {waits_for:#x}"
            )?;
        }
        Ok(())
    }
}

/// Longer cycles are not looked for.
const LONGEST: usize = 64;
