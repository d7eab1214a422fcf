//! What the threads of a rank wait for, as its runtime tells when it is asked.

use serde::{Deserialize, Serialize};

/// The most waits that one answer holds.
pub const MAX_WAITS: usize = 32;

/// The most pages that one question or answer is about.
pub const MAX_PAGES: usize = 64;

/// From dsmwrap to the runtime of a rank that has joined and not left. A runtime that has not said
/// [`Status::Explains`](super::Status::Explains) knows the first alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// What the rank's threads wait for.
    Waits,
    /// Who is in the way of those that wait for these pages, as far as the rank knows; at most
    /// [`MAX_PAGES`], by any address in them.
    Pages(Vec<u64>),
    /// To say [`Status::Inquire`](super::Status::Inquire) whenever a thread has waited so long, and from
    /// time to time as long as it waits on.
    TellLong {
        /// How long is long; 0 is for ever.
        after_ms: u32,
    },
    /// Which ranks do not answer it, once it has read everything that has come. Only for who has said
    /// [`Status::Unheard`](super::Status::Unheard), and its peers.
    Unheard,
}

/// Why a rank wants people to be told who waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Occasion {
    /// A thread has waited long.
    LongWait,
    /// Somebody asked the rank, by a signal.
    Asked,
}

/// What one rank knows about who keeps a page from those that wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// As in [`Question::Pages`].
    pub address: u64,
    /// As its home: who owns it, or will when what was granted has arrived.
    pub owner: Option<u16>,
    /// As its home: the ranks whose copies must go before a writer gets it; at most [`MAX_WAITS`].
    pub awaited: Vec<u16>,
    /// As a rank that was told to give its copy up and has not yet: why.
    pub keeps: Option<Keeps>,
}

/// Why a rank keeps a copy that it was told to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keeps {
    /// The copy is still on its way to it.
    UntilItComes,
    /// Its threads got it a moment ago.
    InUse,
}

/// What a dsmwrap knows of its rank's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its state as in `/proc/PID/stat`, such as `S`, `D` or `T`, and `R` if one of its threads runs that
    /// is not dsm's; none if it cannot be read.
    pub state: Option<char>,
    /// The signal that has stopped it.
    pub stopped_by: Option<i32>,
    /// Whether its runtime was asked and will answer if it can.
    pub is_asked: bool,
}

/// What threads of a rank wait for, those first that have waited longest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// At most [`MAX_WAITS`].
    pub waits: Vec<Wait>,
    /// How many there are besides.
    pub more: u32,
}

/// A thread that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Its number on its host.
    pub thread: u32,
    /// For how long it has.
    pub ms: u64,
    /// For what.
    pub awaited: Awaited,
}

/// What a thread can wait for. Addresses are those of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Awaited {
    /// A page that it has touched.
    Page {
        /// Where the page begins.
        address: u64,
        /// The rank that keeps its directory entry, if that is known.
        home: Option<u16>,
    },
    /// A mutex or read-write lock.
    Lock {
        /// Where it is.
        address: u64,
        /// A thread of the same rank that has it; else [`Status::Held`](super::Status::Held) follows.
        holder: Option<Holder>,
    },
    /// A condition variable.
    Condition {
        /// Where it is.
        address: u64,
    },
    /// A semaphore.
    Semaphore {
        /// Where it is.
        address: u64,
    },
    /// A barrier of some threads.
    BarrierOf {
        /// Where it is.
        address: u64,
        /// How many threads it takes.
        count: u32,
    },
    /// The barrier of all ranks.
    Barrier,
    /// The end of the job in `dsm_finalize`.
    Finalize,
    /// What another rank is to do.
    Answer {
        /// The rank.
        of: u16,
    },
}

/// A thread that has a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holder {
    /// Its rank.
    pub rank: u16,
    /// Its number on its host.
    pub thread: u32,
    /// The lock that it waits for in turn.
    pub waits_for: Option<u64>,
}

impl Waits {
    /// Keeps the waits that have lasted longest.
    #[must_use]
    pub fn longest(mut waits: Vec<Wait>) -> Self {
        waits.sort_by_key(|wait| std::cmp::Reverse(wait.ms));
        let more = waits.len().saturating_sub(MAX_WAITS);
        waits.truncate(MAX_WAITS);
        Self { waits, more: u32::try_from(more).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_waits_are_kept() {
        let wait = |ms| Wait { thread: 1, ms, awaited: Awaited::Barrier };
        let Waits { waits, more } = Waits::longest((0..40).map(wait).collect());
        assert_eq!((waits.len(), more), (32, 8));
        assert_eq!((waits[0].ms, waits[31].ms), (39, 8));
    }
}
