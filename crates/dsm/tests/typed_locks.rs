//! The locks of the typed interface, on real ranks with several threads each.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod job;

use dsm::{
    Barrier, BarrierRole, Condvar, Mutex, Once, OnceLock, RwLock, Semaphore, Shareable, SyncError,
    Vec, Wake,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// Runs `body` in `threads` threads of this rank, with their numbers among all ranks' threads.
fn in_threads(node: &dsm::Node, threads: u64, body: impl Fn(u64) + Sync) {
    thread::scope(|scope| {
        for thread in 0..threads {
            let (body, number) = (&body, u64::from(node.rank()) * threads + thread);
            scope.spawn(move || body(number));
        }
    });
}

fn message(panicked: Box<dyn std::any::Any + Send>) -> String {
    match panicked.downcast::<String>() {
        Ok(message) => *message,
        Err(other) => (*other.downcast::<&str>().unwrap()).to_owned(),
    }
}

fn counted_under_a_mutex(nodes: u16) {
    const EACH: u64 = 400;
    job::run(nodes, &[], |node| {
        let pair = node.named::<Mutex<(u64, u64)>>("pair").unwrap();
        in_threads(node, 3, |_| {
            for _ in 0..EACH {
                let mut pair = pair.lock();
                pair.0 += 1;
                let sum = pair.0;
                pair.1 += sum;
            }
        });
        node.barrier().unwrap();
        let all = 3 * EACH * u64::from(nodes);
        assert_eq!(*pair.lock(), (all, all * (all + 1) / 2));
    });
}

#[test]
fn two_ranks_count_under_a_mutex() {
    counted_under_a_mutex(2);
}

#[test]
fn three_ranks_count_under_a_mutex() {
    counted_under_a_mutex(3);
}

#[test]
fn four_ranks_count_under_a_mutex() {
    counted_under_a_mutex(4);
}

#[test]
fn a_mutex_that_is_held_is_busy_times_out_and_deadlocks() {
    job::run(2, &[], |node| {
        let mutex = node.named::<Mutex<u64>>("mutex").unwrap();
        let soon = || Instant::now() + Duration::from_millis(20);
        if node.rank() == 0 {
            let held = mutex.lock();
            node.barrier().unwrap();
            assert!(matches!(mutex.try_lock(), Err(SyncError::Busy)));
            assert!(matches!(mutex.lock_until(soon()), Err(SyncError::Deadlock)));
            let panicked = catch_unwind(AssertUnwindSafe(|| drop(mutex.lock()))).unwrap_err();
            let message = message(panicked);
            assert!(message.contains("cannot lock the mutex at 0x"), "{message}");
            assert!(message.contains("this thread has the lock already"), "{message}");
            node.barrier().unwrap();
            drop(held);
            node.barrier().unwrap();
        } else {
            node.barrier().unwrap();
            assert!(matches!(mutex.try_lock(), Err(SyncError::Busy)));
            assert!(matches!(mutex.lock_until(soon()), Err(SyncError::TimedOut)));
            node.barrier().unwrap();
            node.barrier().unwrap();
            *mutex.try_lock().unwrap() += 1;
            *mutex.lock_until(soon() + Duration::from_secs(10)).unwrap() += 1;
            assert_eq!(*mutex.lock(), 2);
        }
        node.barrier().unwrap();
    });
}

/// There is no poisoning: the next thread, of any rank, gets what the panic left.
#[test]
fn a_panic_unlocks() {
    job::run(3, &[], |node| {
        let mutex = node.named::<Mutex<u64>>("mutex").unwrap();
        let rwlock = node.named::<RwLock<u64>>("rwlock").unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let (mut value, mut other) = (mutex.lock(), rwlock.write());
            *value += 1;
            *other += 1;
            panic!("in the middle");
        }));
        assert_eq!(message(panicked.unwrap_err()), "in the middle");
        let thread = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let mut value = mutex.lock();
                let _read = rwlock.read();
                *value += 1;
                panic!("at the end of a thread");
            });
            thread.join()
        });
        assert_eq!(message(thread.unwrap_err()), "at the end of a thread");
        node.barrier().unwrap();
        assert_eq!((*mutex.lock(), *rwlock.read()), (6, 3));
    });
}

#[test]
fn what_is_not_in_shared_memory_is_no_lock() {
    job::run(2, &[], |_| {
        let private = Mutex::new(5_u64);
        assert!(matches!(private.try_lock(), Err(SyncError::NotShared { .. })));
        let panicked = catch_unwind(AssertUnwindSafe(|| drop(private.lock()))).unwrap_err();
        let message = message(panicked);
        assert!(message.contains("is not in shared memory"), "{message}");
        assert_eq!(private.into_inner(), 5);
        assert!(matches!(Semaphore::new().init(1), Err(SyncError::NotShared { .. })));
    });
}

/// A queue of bounded length, between producers and consumers of all ranks.
#[derive(Shareable)]
struct Queue {
    items: Mutex<Vec<u64>>,
    filled: Condvar,
    emptied: Condvar,
    eaten: AtomicU64,
    sum: AtomicU64,
}

impl Queue {
    const ROOM: usize = 4;

    fn put(&self, item: u64) {
        let items = self.items.lock();
        let mut items = self.emptied.wait_while(items, |items| items.len() == Self::ROOM);
        items.push(item);
        assert!(items.len() <= Self::ROOM);
        self.filled.notify_one();
    }

    /// Without a loop: nothing wakes that has not been signalled, and here every signal has its item.
    fn take(&self) -> u64 {
        let items = self.items.lock();
        let mut items = self.filled.wait_while(items, |items| items.is_empty());
        let item = items.remove(0);
        self.emptied.notify_one();
        item
    }
}

fn passed_through_a_bounded_queue(nodes: u16) {
    const EACH: u64 = 150;
    job::run(nodes, &[], |node| {
        let queue = node.named::<Queue>("queue").unwrap();
        let all = EACH * 2 * u64::from(nodes);
        in_threads(node, 4, |number| {
            for at in 0..EACH {
                if number % 2 == 0 {
                    queue.put(number / 2 * EACH + at);
                } else {
                    queue.sum.fetch_add(queue.take(), SeqCst);
                    queue.eaten.fetch_add(1, SeqCst);
                }
            }
        });
        node.barrier().unwrap();
        assert_eq!(queue.eaten.load(SeqCst), all);
        assert_eq!(queue.sum.load(SeqCst), all * (all - 1) / 2);
        assert!(queue.items.lock().is_empty());
    });
}

#[test]
fn two_ranks_pass_through_a_bounded_queue() {
    passed_through_a_bounded_queue(2);
}

#[test]
fn three_ranks_pass_through_a_bounded_queue() {
    passed_through_a_bounded_queue(3);
}

#[test]
fn four_ranks_pass_through_a_bounded_queue() {
    passed_through_a_bounded_queue(4);
}

#[test]
fn a_wait_ends_by_a_signal_or_at_its_deadline() {
    job::run(2, &[], |node| {
        let (step, stepped) = node.named::<(Mutex<u64>, Condvar)>("step").unwrap();
        let (guard, wake) = stepped.wait_until(step.lock(), Instant::now());
        assert_eq!((*guard, wake), (0, Wake::TimedOut));
        drop(guard);
        node.barrier().unwrap();
        if node.rank() == 0 {
            let far = Instant::now() + Duration::from_secs(40);
            let mut guard = step.lock();
            *guard = 1;
            stepped.notify_all();
            let (guard, wake) = stepped.wait_until(guard, far);
            assert_eq!((*guard, wake), (2, Wake::Signalled));
        } else {
            let mut guard = stepped.wait_while(step.lock(), |step| *step != 1);
            *guard = 2;
            stepped.notify_one();
        }
        node.barrier().unwrap();
    });
}

fn read_and_written(nodes: u16) {
    const WORDS: usize = 600;
    job::run(nodes, &[], |node| {
        let table = node.named::<RwLock<[u64; WORDS]>>("table").unwrap();
        in_threads(node, 3, |number| {
            for round in 0..60 {
                if number % 3 == 0 {
                    table.write().iter_mut().for_each(|word| *word += 1);
                } else {
                    let table = table.read();
                    assert!(table.iter().all(|word| *word == table[0]), "in round {round}");
                }
            }
        });
        node.barrier().unwrap();
        assert_eq!(table.read()[WORDS - 1], 60 * u64::from(nodes));
        let (first, second) = (table.try_read().unwrap(), table.read());
        assert!(matches!(table.try_write(), Err(SyncError::Busy)));
        assert_eq!(first[0], second[0]);
        drop((first, second));
        node.barrier().unwrap();
        if node.rank() == 0 {
            let held = table.try_write().unwrap();
            assert!(matches!(table.try_read(), Err(SyncError::Busy)));
            drop(held);
        }
        node.barrier().unwrap();
    });
}

#[test]
fn two_ranks_read_and_write() {
    read_and_written(2);
}

#[test]
fn four_ranks_read_and_write() {
    read_and_written(4);
}

#[test]
fn a_semaphore_lets_so_many_in() {
    job::run(3, &[], |node| {
        let seats = node.named::<Semaphore>("seats").unwrap();
        let (inside, most) = node.named::<(AtomicU64, AtomicU64)>("inside").unwrap();
        assert_eq!(seats.try_wait(), Err(SyncError::WouldBlock));
        node.barrier().unwrap();
        if node.rank() == 1 {
            seats.init(2).unwrap();
        }
        node.barrier().unwrap();
        in_threads(node, 3, |_| {
            for _ in 0..50 {
                seats.wait();
                most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                inside.fetch_sub(1, SeqCst);
                seats.post();
            }
        });
        node.barrier().unwrap();
        assert!((1..=2).contains(&most.load(SeqCst)), "{most:?}");
        if node.rank() == 0 {
            assert_eq!((seats.try_wait(), seats.try_wait()), (Ok(()), Ok(())));
            assert_eq!(seats.try_wait(), Err(SyncError::WouldBlock));
        }
        node.barrier().unwrap();
    });
}

#[test]
fn a_dropped_semaphore_forgets_its_permits() {
    job::run(2, &[], |_| {
        let seats = dsm::Box::<Semaphore>::zeroed();
        seats.init(7).unwrap();
        let address = std::ptr::from_ref(&*seats).addr();
        drop(seats);
        let others: Vec<Option<dsm::Box<Semaphore>>> =
            (0..4).map(|_| Some(dsm::Box::zeroed())).collect();
        let mut seats = others.iter().flatten();
        let reused = seats.find(|seats| std::ptr::from_ref(&***seats).addr() == address);
        assert_eq!(reused.unwrap().try_wait(), Err(SyncError::WouldBlock));
    });
}

#[test]
fn a_barrier_takes_threads_of_any_ranks() {
    job::run(4, &[], |node| {
        let barriers = node.named::<[Barrier; 2]>("barriers").unwrap();
        let serial = node.named::<[AtomicU64; 2]>("serial").unwrap();
        let half = usize::from(node.rank() % 2);
        in_threads(node, 3, |_| {
            for _ in 0..40 {
                if barriers[half].wait(6) == BarrierRole::Serial {
                    serial[half].fetch_add(1, SeqCst);
                }
            }
        });
        node.barrier().unwrap();
        assert_eq!(serial.each_ref().map(|count| count.load(SeqCst)), [40, 40]);
        let panicked = catch_unwind(AssertUnwindSafe(|| barriers[0].wait(0))).unwrap_err();
        assert!(message(panicked).contains("cannot wait at the barrier"));
    });
}

fn happened_once(nodes: u16) {
    job::run(nodes, &[], |node| {
        let once = node.named::<Once>("once").unwrap();
        let count = node.named::<[AtomicU64; 2]>("count").unwrap();
        let cell = node.named::<OnceLock<Vec<u64>>>("cell").unwrap();
        let addresses = node.named::<Mutex<Vec<usize>>>("addresses").unwrap();
        in_threads(node, 4, |number| {
            once.call_once(|| _ = count[0].fetch_add(1, SeqCst));
            assert!(once.is_completed());
            assert_eq!(count[0].load(SeqCst), 1);
            let values = cell.get_or_init(|| {
                count[1].fetch_add(1, SeqCst);
                (0..100 + number).collect()
            });
            addresses.lock().push(values.as_ptr().addr());
        });
        node.barrier().unwrap();
        assert_eq!(count[1].load(SeqCst), 1);
        let addresses = addresses.lock();
        assert_eq!(addresses.len(), 4 * usize::from(nodes));
        assert!(addresses.iter().all(|address| *address == addresses[0]));
        assert!(cell.get().unwrap().starts_with(&[0, 1, 2]));
        let refused = cell.set(Vec::new()).unwrap_err();
        assert!(refused.is_empty());
    });
}

#[test]
fn a_thing_happens_once_on_two_ranks() {
    happened_once(2);
}

#[test]
fn a_thing_happens_once_on_four_ranks() {
    happened_once(4);
}

#[test]
fn what_panics_has_not_happened() {
    job::run(2, &[], |node| {
        let cell = node.named::<OnceLock<u64>>("cell").unwrap();
        let tries = node.named::<AtomicU64>("tries").unwrap();
        let attempt = || {
            *cell.get_or_init(|| {
                assert!(tries.fetch_add(1, SeqCst) > 0, "the first one fails");
                7
            })
        };
        let first = catch_unwind(AssertUnwindSafe(attempt));
        node.barrier().unwrap();
        assert_eq!(attempt(), 7);
        assert_eq!(cell.get(), Some(&7));
        node.barrier().unwrap();
        assert_eq!(tries.load(SeqCst), 2);
        assert!(first.is_err() || first.unwrap() == 7);
        let again = dsm::Box::new(OnceLock::<u64>::new());
        let inner =
            catch_unwind(AssertUnwindSafe(|| again.get_or_init(|| *again.get_or_init(|| 1))));
        assert!(message(inner.unwrap_err()).contains("has the lock already"));
        assert_eq!(again.set(3), Ok(()));
        assert_eq!((again.get(), again.set(4)), (Some(&3), Err(4)));
    });
}
