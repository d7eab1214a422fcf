use super::{LOCK, Rank, lend};
use crate::locks::entry::Entry;
use crate::locks::{Mode, Patience};
use dsm_core::{Access, ObjectId};
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

#[test]
fn many_idle_locks_are_small() {
    const LOCKS: u64 = 100_000;
    let rank = Rank::new();
    for number in 0..LOCKS {
        // Embedded in structures of three lines of the cache.
        lend(&rank.locks, ObjectId(number * 24), Access::Write);
        rank.locks.lock(ObjectId(number * 24), Mode::Write, Patience::Never).unwrap();
    }
    for number in 0..LOCKS {
        rank.locks.unlock(ObjectId(number * 24)).unwrap();
    }
    let (mut entries, mut room, mut most) = (0, 0, 0);
    for shard in rank.locks.table.all() {
        entries += shard.entries.len();
        most = most.max(shard.entries.len());
        // A map keeps one eighth free, and has one byte of its own for each place.
        room += (shard.entries.capacity() * 8 / 7).next_power_of_two();
    }
    let bytes = room * (size_of::<(ObjectId, Entry)>() + 1);
    let each = bytes / entries;
    println!("{entries} idle locks: {each} bytes each, at most {most} in one of 256 shards");
    assert_eq!(entries as u64, LOCKS);
    assert!(each <= 128, "{each} bytes");
    assert!(most < 2 * entries / 256, "the shards are alike");
}

#[test]
fn a_cached_lock_is_cheap() {
    const TURNS: u32 = 200_000;
    let rank = Rank::with(Access::Write);
    for number in 0..1000 {
        lend(&rank.locks, ObjectId(number * 24), Access::Write);
    }
    let ns = |turn: &dyn Fn(u64)| {
        let start = Instant::now();
        for at in 0..TURNS {
            turn(u64::from(at));
        }
        start.elapsed().as_nanos() / u128::from(TURNS)
    };
    let lock = |object, mode| {
        rank.locks.lock(object, mode, Patience::Forever).unwrap();
        rank.locks.unlock(object).unwrap();
    };
    let one = ns(&|_| lock(black_box(LOCK), Mode::Write));
    let many = ns(&|at| lock(ObjectId(at % 1000 * 24), Mode::Write));
    let read = ns(&|_| lock(black_box(LOCK), Mode::Read));
    let mutex = Mutex::new(0_u64);
    let std = ns(&|at| *black_box(&mutex).lock().unwrap() += at);
    println!(
        "lock and unlock of a cached token: {one} ns, one of 1000: {many} ns, to read: {read} ns; \
         of a std mutex: {std} ns"
    );
    rank.asks_nothing();
}
