use super::{Apart, LOCK, Rank, acquire, got, lend, recall, soon, surrender};
use crate::locks::{LockError, Mode, Patience, Recalled};
use dsm_core::Access;

#[test]
fn readers_are_there_together_and_writers_alone() {
    let rank = Rank::with(Access::Write);
    let readers: Vec<Apart> = (0..4).map(|_| rank.lock_apart(Mode::Read)).collect();
    assert_eq!(rank.locks.waits(), []);
    assert_eq!(rank.locks.lock(LOCK, Mode::Write, Patience::Never), Err(LockError::Busy));
    assert_eq!(rank.locks.lock(LOCK, Mode::Read, Patience::Never), Ok(()));
    let writer = rank.lock_behind(Mode::Write);
    readers.into_iter().for_each(Apart::unlock);
    rank.until_waiting(1);
    rank.locks.unlock(LOCK).unwrap();
    assert_eq!(got(&writer), Ok(()));
    assert_eq!(rank.locks.lock(LOCK, Mode::Read, Patience::Never), Err(LockError::Busy));
}

#[test]
fn readers_in_front_are_admitted_together() {
    let rank = Rank::with(Access::Write);
    rank.locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
    let readers = [rank.lock_apart(Mode::Read), rank.lock_apart(Mode::Read)];
    let writer = rank.lock_behind(Mode::Write);
    let behind = rank.lock_behind(Mode::Read);
    rank.locks.unlock(LOCK).unwrap();
    rank.until_waiting(2);
    readers.into_iter().for_each(Apart::unlock);
    assert_eq!(got(&writer), Ok(()));
    rank.until_waiting(1);
    drop(behind);
}

#[test]
fn a_reader_does_not_overtake_a_writer_that_waits() {
    let rank = Rank::with(Access::Write);
    let reader = rank.lock_apart(Mode::Read);
    let writer = rank.lock_behind(Mode::Write);
    assert_eq!(rank.locks.lock(LOCK, Mode::Read, Patience::Never), Err(LockError::Busy));
    assert_eq!(rank.locks.lock(LOCK, Mode::Read, soon()), Err(LockError::TimedOut));
    reader.unlock();
    assert_eq!(got(&writer), Ok(()));
}

#[test]
fn a_reader_may_read_again_whoever_waits() {
    let rank = Rank::with(Access::Read);
    rank.locks.lock(LOCK, Mode::Read, Patience::Forever).unwrap();
    let writer = rank.lock_behind(Mode::Write);
    assert_eq!(rank.asked(), [acquire(Access::Write)]);
    assert_eq!(recall(&rank.locks, LOCK, Access::None), Recalled::Kept);
    for _ in 0..40 {
        rank.locks.lock(LOCK, Mode::Read, Patience::Forever).unwrap();
    }
    assert_eq!(
        rank.locks.lock(LOCK, Mode::Write, Patience::Forever),
        Err(LockError::Deadlock),
        "it would wait for itself"
    );
    for _ in 0..40 {
        rank.locks.unlock(LOCK).unwrap();
    }
    rank.asks_nothing();
    assert_eq!(rank.locks.holds(LOCK), Some(Mode::Read));
    rank.locks.unlock(LOCK).unwrap();
    assert_eq!(rank.locks.unlock(LOCK), Err(LockError::NotHolder));
    // What the writer needs is under way since before.
    assert_eq!(rank.asked(), [surrender()]);
    lend(&rank.locks, LOCK, Access::Write);
    assert_eq!(got(&writer), Ok(()));
}

#[test]
fn a_lesser_right_lets_readers_in_and_asks_for_the_writer_behind() {
    let rank = Rank::new();
    let reader = rank.lock_apart(Mode::Read);
    let writer = rank.lock_behind(Mode::Write);
    assert_eq!(rank.asked(), [acquire(Access::Read)]);
    lend(&rank.locks, LOCK, Access::Read);
    rank.until_waiting(1);
    assert_eq!(rank.asked(), [acquire(Access::Write)]);
    reader.unlock();
    rank.until_waiting(1);
    lend(&rank.locks, LOCK, Access::Write);
    assert_eq!(got(&writer), Ok(()));
}

#[test]
fn an_upgrade_waits_for_the_readers_of_this_rank() {
    let rank = Rank::with(Access::Read);
    let reader = rank.lock_apart(Mode::Read);
    let writer = rank.lock_behind(Mode::Write);
    assert_eq!(rank.asked(), [acquire(Access::Write)]);
    lend(&rank.locks, LOCK, Access::Write);
    rank.until_waiting(1);
    reader.unlock();
    assert_eq!(got(&writer), Ok(()));
    assert_eq!(rank.locks.taken().remote, 2, "both came from another rank");
}

#[test]
fn readers_stay_when_another_rank_only_reads() {
    let rank = Rank::with(Access::Write);
    let reader = rank.lock_apart(Mode::Read);
    assert_eq!(recall(&rank.locks, LOCK, Access::Read), Recalled::Surrendered);
    assert_eq!(rank.locks.inspect(LOCK, Access::Read), None);
    assert!(rank.locks.inspect(LOCK, Access::Write).is_some());
    let second = rank.lock_apart(Mode::Read);
    assert_eq!(rank.locks.waits(), []);
    rank.asks_nothing();
    assert_eq!(recall(&rank.locks, LOCK, Access::None), Recalled::Kept);
    reader.unlock();
    rank.asks_nothing();
    second.unlock();
    assert_eq!(rank.asked(), [surrender()]);
}

#[test]
fn a_reader_of_this_rank_waits_for_the_reader_of_the_other() {
    let rank = Rank::with(Access::Write);
    let writer = rank.lock_apart(Mode::Write);
    assert_eq!(recall(&rank.locks, LOCK, Access::Read), Recalled::Kept);
    let reader = rank.lock_behind(Mode::Read);
    writer.unlock();
    // The other rank's reader is not kept out by this one, which enters when the rest of the token is lent.
    assert_eq!(rank.asked(), [surrender(), acquire(Access::Read)]);
    lend(&rank.locks, LOCK, Access::Read);
    assert_eq!(got(&reader), Ok(()));
}
