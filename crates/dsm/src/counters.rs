use crate::locks::Taken;
use dsm_net::launch::Counts;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a rank's runtime has done since it joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stats {
    /// Threads stopped to read a page that was not here.
    pub read_faults: u64,
    /// Threads stopped to write a page that was not here.
    pub write_faults: u64,
    /// Threads stopped to write a page that was here for reading.
    pub upgrades: u64,
    /// Copies given up because another rank writes.
    pub invalidations: u64,
    /// Pages whose content came from another rank.
    pub pages_in: u64,
    /// Pages whose content went to another rank.
    pub pages_out: u64,
    /// Messages sent to other ranks.
    pub messages_sent: u64,
    /// Bytes of them, with the pages.
    pub bytes_sent: u64,
    /// Locks taken without a message.
    pub lock_local: u64,
    /// Locks taken from another rank.
    pub lock_remote: u64,
    /// Barriers passed.
    pub barriers: u64,
    /// Nanoseconds during which at least one thread waited for a page, summed over the pages.
    pub fault_ns: u64,
}

/// The counts as the driver keeps them: it alone writes, anybody reads.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) read_faults: Counter,
    pub(crate) write_faults: Counter,
    pub(crate) upgrades: Counter,
    pub(crate) invalidations: Counter,
    pub(crate) pages_in: Counter,
    pub(crate) pages_out: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) barriers: Counter,
    pub(crate) fault_ns: Counter,
}

impl From<Stats> for Counts {
    /// What the launcher is told; invalidations are misses of other ranks.
    fn from(stats: Stats) -> Self {
        Self {
            read_faults: stats.read_faults,
            write_faults: stats.write_faults,
            upgrades: stats.upgrades,
            pages_in: stats.pages_in,
            pages_out: stats.pages_out,
            messages_sent: stats.messages_sent,
            bytes_sent: stats.bytes_sent,
            lock_local: stats.lock_local,
            lock_remote: stats.lock_remote,
            barriers: stats.barriers,
            fault_ns: stats.fault_ns,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// The counts, with those of locks, which their table keeps.
    pub(crate) fn stats(&self, locks: Taken) -> Stats {
        Stats {
            read_faults: self.read_faults.load(),
            write_faults: self.write_faults.load(),
            upgrades: self.upgrades.load(),
            invalidations: self.invalidations.load(),
            pages_in: self.pages_in.load(),
            pages_out: self.pages_out.load(),
            messages_sent: self.messages_sent.load(),
            bytes_sent: self.bytes_sent.load(),
            lock_local: locks.local,
            lock_remote: locks.remote,
            barriers: self.barriers.load(),
            fault_ns: self.fault_ns.load(),
        }
    }
}
