//! Several real processes wait for each other.

#![allow(clippy::unwrap_used, clippy::exit, reason = "a test fails by panicking, and a rank ends")]

mod job;

use dsm::{BarrierRole, Node, SyncError};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const MUTEX: usize = 0;
const COND: usize = 8;
const SEMAPHORE: usize = 16;
const BARRIER: usize = 24;
const RWLOCK: usize = 32;
/// Words beside the objects, on a page of their own.
const WORDS: usize = 4096;

fn word(node: &Node, at: usize) -> &AtomicU64 {
    &node.words::<AtomicU64>(WORDS + 8 * at, 1).unwrap()[0]
}

/// The counter is not atomic: only the mutex keeps two threads from reading the same value.
fn counted_under_a_mutex(nodes: u16, fault: &str) {
    const EACH: u64 = 300;
    job::run(nodes, &[("DSM_FAULT", fault)], |node| {
        let mutex = node.base() + MUTEX;
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        node.mutex_lock(mutex).unwrap();
                        let counter = word(node, 0);
                        counter.store(counter.load(Relaxed) + 1, Relaxed);
                        node.mutex_unlock(mutex).unwrap();
                    }
                });
            }
        });
        node.barrier().unwrap();
        assert_eq!(word(node, 0).load(Relaxed), 3 * EACH * u64::from(node.nodes()));
    });
}

#[test]
fn four_ranks_count_under_a_mutex_uffd() {
    counted_under_a_mutex(4, "uffd");
}

#[test]
fn two_ranks_count_under_a_mutex_sigsegv() {
    counted_under_a_mutex(2, "sigsegv");
}

#[test]
fn a_mutex_tells_misuse() {
    job::run(2, &[], |node| {
        let mutex = node.base() + MUTEX;
        if node.rank() == 0 {
            node.mutex_lock(mutex).unwrap();
            assert_eq!(node.mutex_lock(mutex), Err(SyncError::Deadlock));
        }
        node.barrier().unwrap();
        if node.rank() == 1 {
            assert_eq!(node.mutex_unlock(mutex), Err(SyncError::NotHolder));
            assert_eq!(node.mutex_try_lock(mutex), Err(SyncError::Busy));
            assert_eq!(node.mutex_destroy(mutex), Err(SyncError::Busy));
            let deadline = Instant::now() + Duration::from_millis(20);
            assert_eq!(node.mutex_lock_until(mutex, deadline), Err(SyncError::TimedOut));
            assert!(Instant::now() >= deadline);
        }
        node.barrier().unwrap();
        if node.rank() == 0 {
            node.mutex_unlock(mutex).unwrap();
        }
        node.barrier().unwrap();
        if node.rank() == 1 {
            node.mutex_try_lock(mutex).unwrap();
            node.mutex_unlock(mutex).unwrap();
        }
        let address = 4096;
        assert_eq!(node.mutex_lock(address), Err(SyncError::NotShared { address }));
        let address = node.base() + 4;
        assert_eq!(node.mutex_lock(address), Err(SyncError::Unaligned { address }));
    });
}

/// Each rank waits for its number to come up: a wake-up lost ends the test by its deadline, and one too
/// many finds another number.
#[test]
fn waiters_are_woken_by_what_they_wait_for() {
    const ROUNDS: u64 = 200;
    job::run(3, &[], |node| {
        let (mutex, cond) = (node.base() + MUTEX, node.base() + COND);
        let (rank, nodes) = (u64::from(node.rank()), u64::from(node.nodes()));
        for round in 0..ROUNDS {
            node.mutex_lock(mutex).unwrap();
            while word(node, 0).load(Relaxed) != round * nodes + rank {
                node.cond_wait(cond, mutex).unwrap();
            }
            word(node, 0).fetch_add(1, Relaxed);
            node.cond_broadcast(cond).unwrap();
            node.mutex_unlock(mutex).unwrap();
        }
        node.mutex_lock(mutex).unwrap();
        let deadline = Instant::now() + Duration::from_millis(10);
        // Nobody signals this one.
        let other = node.base() + 64;
        assert_eq!(node.cond_wait_until(other, mutex, deadline), Err(SyncError::TimedOut));
        node.mutex_unlock(mutex).unwrap();
        assert_eq!(node.cond_wait(cond, mutex), Err(SyncError::NotHolder));
    });
}

#[test]
fn a_semaphore_lets_as_many_in_as_it_holds() {
    job::run(3, &[], |node| {
        let semaphore = node.base() + SEMAPHORE;
        if node.rank() == 0 {
            node.semaphore_init(semaphore, 2).unwrap();
        }
        node.barrier().unwrap();
        for _ in 0..100 {
            node.semaphore_wait(semaphore).unwrap();
            let inside = node.fetch_add(node.base() + WORDS, 1).unwrap();
            assert!(inside < 2, "{inside} others are inside");
            node.fetch_add(node.base() + WORDS, u64::MAX).unwrap();
            node.semaphore_post(semaphore).unwrap();
        }
        node.barrier().unwrap();
        if node.rank() == 1 {
            node.semaphore_wait(semaphore).unwrap();
            node.semaphore_try_wait(semaphore).unwrap();
            assert_eq!(node.semaphore_try_wait(semaphore), Err(SyncError::WouldBlock));
            node.semaphore_init(semaphore, u32::MAX).unwrap();
            assert_eq!(node.semaphore_post(semaphore), Err(SyncError::Overflow));
        }
    });
}

#[test]
fn threads_of_all_ranks_meet_at_a_barrier() {
    const ROUNDS: u64 = 200;
    job::run(3, &[], |node| {
        let barrier = node.base() + BARRIER;
        let count = u32::from(node.nodes()) * 2;
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for round in 1..=ROUNDS {
                        node.fetch_add(node.base() + WORDS, 1).unwrap();
                        let role = node.barrier_wait(barrier, count).unwrap();
                        let arrived = node.fetch_add(node.base() + WORDS, 0).unwrap();
                        assert!(arrived >= round * u64::from(count), "{arrived} in {round}");
                        if role == BarrierRole::Serial {
                            node.fetch_add(node.base() + WORDS + 8, 1).unwrap();
                        }
                        node.barrier_wait(barrier, count).unwrap();
                    }
                });
            }
        });
        node.barrier().unwrap();
        assert_eq!(word(node, 1).load(Relaxed), ROUNDS);
        assert_eq!(node.barrier_wait(barrier, 0), Err(SyncError::CountMismatch { count: 0 }));
    });
}

#[test]
fn readers_of_two_ranks_are_inside_together() {
    job::run(2, &[], |node| {
        let rwlock = node.base() + RWLOCK;
        if node.rank() == 0 {
            node.rwlock_write(rwlock).unwrap();
            node.rwlock_unlock(rwlock).unwrap();
        }
        node.barrier().unwrap();
        node.rwlock_read(rwlock).unwrap();
        // Neither leaves before both are inside.
        node.barrier().unwrap();
        node.rwlock_try_read(rwlock).unwrap();
        assert_eq!(node.rwlock_try_write(rwlock), Err(SyncError::Busy));
        node.rwlock_unlock(rwlock).unwrap();
        node.rwlock_unlock(rwlock).unwrap();
        assert_eq!(node.rwlock_unlock(rwlock), Err(SyncError::NotHolder));
    });
}

#[test]
fn a_counter_is_added_to_where_it_is() {
    const EACH: u64 = 200;
    job::run(3, &[], |node| {
        let counter = node.base() + WORDS;
        if node.rank() == 2 {
            word(node, 0).store(5, Relaxed);
        }
        node.barrier().unwrap();
        for _ in 0..EACH {
            node.fetch_add(counter, 1).unwrap();
        }
        let mut now = node.fetch_add(counter, 0).unwrap();
        while let Err(other) = node.compare_exchange(counter, now, now + 1000).unwrap() {
            now = other;
        }
        node.barrier().unwrap();
        let nodes = u64::from(node.nodes());
        assert_eq!(node.fetch_add(counter, 0).unwrap(), 5 + nodes * (EACH + 1000));
        // The page stayed with the rank that wrote it.
        assert_eq!(node.stats().pages_in, 0);
    });
}

/// Three ranks take a lock each, and then that of the next: nobody gets it, and one of them says why.
#[test]
fn a_cycle_of_waiting_ranks_is_told() {
    if !job::is_rank() {
        let (_, text) = job::outcome(3, &[]);
        let cycles = text.matches("dsm: deadlock: rank ").count();
        assert_eq!(cycles, 1, "{text}");
        return;
    }
    let node = Node::join().unwrap();
    let lock = |rank: u16| node.base() + 8 * usize::from(rank % node.nodes());
    thread::scope(|scope| {
        scope.spawn(|| {
            node.mutex_lock(lock(node.rank())).unwrap();
            node.barrier().unwrap();
            node.mutex_lock(lock(node.rank() + 1)).unwrap();
        });
        // Nobody wakes this thread: it ends the rank when the cycle must have been told.
        let (mutex, condvar) = (std::sync::Mutex::new(()), std::sync::Condvar::new());
        let asleep = mutex.lock().unwrap();
        drop(condvar.wait_timeout(asleep, Duration::from_secs(5)).unwrap());
        std::process::exit(0);
    });
}
