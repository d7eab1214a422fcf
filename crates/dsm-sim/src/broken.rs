use std::fmt;

/// A promise that a run broke, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which promise.
    pub promise: Promise,
    /// What was seen, in words.
    pub how: String,
}

/// What the monitors watch, after each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// A page is writable on one rank and readable on no other, or readable on any number.
    SingleWriter,
    /// Whatever rank may read a page finds the latest store to it there.
    NewestCopy,
    /// The latest store to each page is somewhere: in a copy that is held, or on its way.
    ContentKept,
    /// A page granted for a minimum time is not taken earlier.
    HoldTime,
    /// Engine and memory agree about a rank's access whenever no output is left to carry out.
    AccessAgrees,
    /// Outputs ask only for what a driver can do.
    DriverCan,
    /// Among honest ranks no engine ends the job.
    NoFailure,
    /// No assertion of an engine fails.
    NoPanic,
    /// Nobody passes a barrier before all arrived.
    Barrier,
    /// A lock has one thread of all ranks that writes, or any number that read.
    Exclusion,
    /// What all ranks together have of a lock's token is one right to write, or any number to read.
    OneToken,
    /// A token goes to the ranks in the order in which they asked, but for readers among each other.
    Turns,
    /// Pages that are kept for who has a lock go when the lock is given up.
    Pins,
    /// A thread hears whether somebody has a lock, as it was when it asked or after.
    Probes,
    /// Each signal wakes the thread that has waited longest, each broadcast all, and nothing else does.
    Wakeups,
    /// As many take one of a semaphore as there are, in the order in which they came.
    Semaphores,
    /// Threads pass a barrier of a count when so many have come, one of them as the one.
    Gatherings,
    /// An operation on a word takes effect once, where the page may be written.
    Operations,
    /// Runs of the heap do not overlap, are zero, and are refused only if there is none.
    Runs,
    /// When a rank is gone, every other one ends the job.
    EndsTogether,
    /// Something can happen as long as a thread is not done.
    NoDeadlock,
    /// From every state a state in which all threads are done can be reached.
    NoLivelock,
    /// Under a fair schedule each operation ends within a bounded number of steps.
    Progress,
    /// After the last operation every rank can still load from and store to every page.
    Sweep,
}

impl Broken {
    pub(crate) fn new(promise: Promise, how: impl Into<String>) -> Self {
        Self { promise, how: how.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} broken: {}", self.promise, self.how)
    }
}

impl std::error::Error for Broken {}
