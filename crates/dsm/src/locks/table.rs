use super::entry::Entry;
use dsm_core::ObjectId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard};

/// The locks that this rank has to do with, spread so that threads rarely meet at two different ones.
#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Shard]>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(Mutex<Locked>);

/// One shard, locked. The driver waits for it too: nobody touches shared memory or sleeps with it.
#[derive(Debug, Default)]
pub(super) struct Locked {
    pub(super) entries: HashMap<ObjectId, Entry, BuildHasherDefault<Spread>>,
    /// Locks taken here with a token that was here.
    pub(super) local: u64,
    /// Locks taken here with a token that came from another rank.
    pub(super) remote: u64,
    pub(super) is_closed: bool,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    pub(super) fn lock(&self, object: ObjectId) -> MutexGuard<'_, Locked> {
        self.shard(object).lock()
    }

    fn shard(&self, object: ObjectId) -> &Shard {
        // The map inside uses the lowest and the highest bits.
        &self.shards[usize::from(spread(object.0).to_le_bytes()[5])]
    }

    /// For the driver, which must not wait for a thread of the program: the thread may be in a signal
    /// handler that waits for the driver. `None` if the shard does not become free at once.
    pub(super) fn try_lock(&self, object: ObjectId) -> Option<MutexGuard<'_, Locked>> {
        let shard = self.shard(object);
        (0..TRIES).find_map(|_| {
            std::hint::spin_loop();
            shard.0.try_lock().ok()
        })
    }

    /// All shards, one after the other.
    pub(super) fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Locked>> {
        self.shards.iter().map(Shard::lock)
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.0.lock().expect("no thread panics with a lock's entry locked")
    }
}

/// Words of shared memory are no secret and nobody's attack, so a multiplication spreads them well enough.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write_u64(&mut self, number: u64) {
        self.0 = spread(number);
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("objects are numbers of 64 bits");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Every bit depends on all bits of the number.
fn spread(number: u64) -> u64 {
    let wide = u128::from(number ^ ODD.rotate_left(32)) * u128::from(ODD);
    let (low, high) = (wide & u128::from(u64::MAX), wide >> 64);
    u64::try_from(low ^ high).expect("both halves have 64 bits")
}

/// 2^64 divided by the golden ratio.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
/// A thread has a shard for some tens of nanoseconds, unless it is interrupted.
const TRIES: usize = 1000;
/// As many as a byte selects.
const SHARDS: usize = 256;
