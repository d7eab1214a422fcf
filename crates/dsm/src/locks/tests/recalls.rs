use super::{Apart, LOCK, Rank, acquire, eventually, got, lend, recall, surrender};
use crate::locks::entry::LOCAL_HANDOVERS;
use crate::locks::{Mode, Patience, Recalled};
use dsm_core::Access;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

#[test]
fn an_idle_token_goes_at_once_and_leaves_nothing() {
    let rank = Rank::with(Access::Write);
    rank.locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
    rank.locks.unlock(LOCK).unwrap();
    assert_eq!(recall(&rank.locks, LOCK, Access::None), Recalled::Surrendered);
    rank.asks_nothing();
    assert_eq!(rank.locks.table.all().map(|shard| shard.entries.len()).sum::<usize>(), 0);
    let next = rank.lock_behind(Mode::Write);
    assert_eq!(rank.asked(), [acquire(Access::Write)]);
    drop(next);
}

#[test]
fn a_token_in_use_goes_when_it_is_unlocked() {
    let rank = Rank::with(Access::Write);
    rank.locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
    assert_eq!(recall(&rank.locks, LOCK, Access::None), Recalled::Kept);
    assert_eq!(recall(&rank.locks, LOCK, Access::None), Recalled::Kept);
    rank.asks_nothing();
    rank.locks.unlock(LOCK).unwrap();
    // The engine has not heard of it yet, and may recall what it believes to be lent.
    assert_eq!(recall(&rank.locks, LOCK, Access::None), Recalled::Kept);
    assert_eq!(rank.asked(), [surrender()]);
    assert_eq!(rank.locks.table.all().map(|shard| shard.entries.len()).sum::<usize>(), 0);
}

#[test]
fn who_waits_for_a_token_that_went_asks_behind_it() {
    let rank = Rank::with(Access::Write);
    let mut threads: VecDeque<_> =
        (0..LOCAL_HANDOVERS + 3).map(|_| rank.lock_apart(Mode::Write)).collect();
    for _ in 0..LOCAL_HANDOVERS {
        // The engine says so again whenever another demand comes.
        assert_eq!(recall(&rank.locks, LOCK, Access::None), Recalled::Kept);
        threads.pop_front().unwrap().unlock();
        rank.asks_nothing();
    }
    rank.until_waiting(2);
    threads.pop_front().unwrap().unlock();
    assert_eq!(rank.asked(), [surrender(), acquire(Access::Write)]);
    rank.until_waiting(2);
    // The bound is for each time the token is here.
    lend(&rank.locks, LOCK, Access::Write);
    threads.into_iter().for_each(Apart::unlock);
    rank.asks_nothing();
}

#[test]
fn a_stream_of_writers_lets_the_token_go_in_time() {
    handovers_under_recall(Mode::Write);
}

#[test]
fn a_stream_of_readers_lets_the_token_go_in_time() {
    handovers_under_recall(Mode::Read);
}

/// Threads lock and unlock without pause; whenever the token comes, another rank wants it at once.
fn handovers_under_recall(mode: Mode) {
    const ROUNDS: usize = 200;
    let rank = Rank::new();
    let (taken, end) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (taken, end) = (Arc::clone(&taken), Arc::clone(&end));
            rank.on_thread(move |locks| {
                while !end.load(SeqCst) {
                    if locks.lock(LOCK, mode, Patience::Forever).is_ok() {
                        taken.fetch_add(1, SeqCst);
                        // An unlock too late for the engine meets a rank that has left.
                        let _ = locks.unlock(LOCK);
                    }
                }
            })
        })
        .collect();
    let mut most = 0;
    for _ in 0..ROUNDS {
        // The token is not here: who wants it has asked, or will.
        let mut asked = rank.asked();
        asked.retain(|call| *call != surrender());
        assert!(asked.len() <= 1, "the engine is asked once: {asked:?}");
        if asked.is_empty() {
            assert_eq!(rank.asked(), [acquire(mode.access())]);
        }
        lend(&rank.locks, LOCK, Access::Write);
        let recalled = recall(&rank.locks, LOCK, Access::None);
        let before = taken.load(SeqCst);
        if recalled == Recalled::Kept {
            eventually("the token goes", || rank.locks.inspect(LOCK, Access::Write).is_none());
        }
        most = most.max(taken.load(SeqCst) - before);
    }
    end.store(true, SeqCst);
    rank.locks.close();
    threads.iter().for_each(got);
    println!("at most {most} {mode:?} locks after a recall");
    // Those that had it already count late.
    assert!(most <= u64::from(LOCAL_HANDOVERS) + 4, "{most} locks");
}
