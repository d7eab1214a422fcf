//! What threads of one rank see, with a test in the place of the driver and its engine.

mod cost;
mod ranks;
mod readers;
mod recalls;

use super::{Holder, LockError, Locks, Mode, Patience, Recalled, Taken};
use crate::calls::Calls;
use dsm_core::{Access, Answer, Call, CallId, ObjectId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A rank whose driver is the test.
#[derive(Clone)]
struct Rank {
    calls: Arc<Calls>,
    locks: Arc<Locks>,
}

impl Rank {
    fn new() -> Self {
        let calls = Arc::new(Calls::new().unwrap());
        Self { locks: Arc::new(Locks::new(Some(Arc::clone(&calls)))), calls }
    }

    /// A rank that has the lock's token already.
    fn with(access: Access) -> Self {
        let rank = Self::new();
        lend(&rank.locks, LOCK, access);
        rank
    }

    /// Runs something on another thread; what it gives comes here.
    fn on_thread<R: Send + 'static>(
        &self,
        body: impl FnOnce(&Locks) -> R + Send + 'static,
    ) -> Receiver<R> {
        let (locks, (sender, receiver)) = (Arc::clone(&self.locks), channel());
        thread::spawn(move || sender.send(body(&locks)));
        receiver
    }

    /// Lets another thread lock, and waits until it is in the queue.
    fn lock_behind(&self, mode: Mode) -> Receiver<Result<(), LockError>> {
        let before = self.locks.waits().len();
        let told = self.on_thread(move |locks| locks.lock(LOCK, mode, Patience::Forever));
        self.until_waiting(before + 1);
        told
    }

    /// Lets another thread lock, and unlock when it is told to with the sender.
    fn lock_apart(&self, mode: Mode) -> Apart {
        let (release, released) = channel::<()>();
        let (sender, got) = channel();
        let before = self.locks.waits().len();
        let result = self.on_thread(move |locks| {
            locks.lock(LOCK, mode, Patience::Forever).unwrap();
            sender.send(()).unwrap();
            let _ = released.recv();
            locks.unlock(LOCK).unwrap();
        });
        let apart = Apart { got, release, result };
        eventually("it waits or has the lock", || {
            self.locks.waits().len() > before || apart.has_locked()
        });
        apart
    }

    fn until_waiting(&self, threads: usize) {
        eventually("threads wait", || self.locks.waits().len() == threads);
    }

    /// What was asked of the driver, which sleeps until something is.
    fn asked(&self) -> Vec<Call> {
        self.asked_by().into_iter().map(|(_, call)| call).collect()
    }

    fn asked_by(&self) -> Vec<(CallId, Call)> {
        loop {
            assert!(self.rings_within(DEADLINE), "nothing is asked of the driver");
            let asked = self.take();
            if !asked.is_empty() {
                return asked;
            }
        }
    }

    /// The calls asked since the last time; a bell that is heard rings again for later ones.
    fn take(&self) -> Vec<(CallId, Call)> {
        let _ = rustix::io::read(self.calls.as_fd(), &mut [0; 8]);
        self.calls.take()
    }

    #[track_caller]
    fn asks_nothing(&self) {
        assert_eq!(self.take(), []);
    }

    fn rings_within(&self, time: Duration) -> bool {
        let mut event = [PollFd::from_borrowed_fd(self.calls.as_fd(), PollFlags::IN)];
        let timeout = Timespec::try_from(time).unwrap();
        poll(&mut event, Some(&timeout)).unwrap() == 1
    }
}

/// Another thread that locks.
struct Apart {
    got: Receiver<()>,
    release: std::sync::mpsc::Sender<()>,
    result: Receiver<()>,
}

impl Apart {
    fn has_locked(&self) -> bool {
        self.got.try_recv().is_ok()
    }

    fn unlock(self) {
        self.release.send(()).unwrap();
        got(&self.result);
    }
}

/// What another thread gives, in time.
#[track_caller]
fn got<R>(receiver: &Receiver<R>) -> R {
    receiver.recv_timeout(DEADLINE).expect("a thread gets on")
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::yield_now();
    }
}

fn acquire(access: Access) -> Call {
    Call::Acquire { object: LOCK, access }
}

fn surrender() -> Call {
    Call::Surrender { object: LOCK, keep: Access::None }
}

fn soon() -> Patience {
    Patience::Until(Instant::now() + Duration::from_millis(20))
}

#[test]
fn a_token_that_is_here_is_locked_without_the_driver() {
    let rank = Rank::with(Access::Write);
    for _ in 0..1000 {
        rank.locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
        rank.locks.unlock(LOCK).unwrap();
    }
    rank.asks_nothing();
    assert_eq!(rank.locks.taken(), Taken { local: 999, remote: 1 });
}

#[test]
fn the_first_asks_the_engine_and_the_others_queue_up() {
    let rank = Rank::new();
    let first = rank.lock_behind(Mode::Write);
    let second = rank.on_thread(|locks| {
        locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
        locks.holds(LOCK)
    });
    rank.until_waiting(2);
    assert_eq!(rank.asked(), [acquire(Access::Write)]);
    lend(&rank.locks, LOCK, Access::Write);
    assert_eq!(got(&first), Ok(()));
    rank.asks_nothing();
    rank.until_waiting(1);
    drop(second);
}

#[test]
fn a_job_of_one_rank_has_every_token() {
    let locks = Locks::new(None);
    locks.lock(LOCK, Mode::Write, Patience::Never).unwrap();
    assert_eq!(locks.lock(LOCK, Mode::Write, Patience::Never), Err(LockError::Busy));
    assert_eq!(locks.holds(LOCK), Some(Mode::Write));
    locks.unlock(LOCK).unwrap();
    assert_eq!(locks.holds(LOCK), None);
    assert_eq!(locks.destroy(LOCK), Ok(()));
}

#[test]
fn threads_get_the_lock_in_the_order_they_came() {
    let rank = Rank::with(Access::Write);
    rank.locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
    let (sender, order) = channel();
    for number in 0..10 {
        let sender = sender.clone();
        rank.on_thread(move |locks| {
            locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
            sender.send(number).unwrap();
            locks.unlock(LOCK).unwrap();
        });
        rank.until_waiting(number + 1);
    }
    rank.locks.unlock(LOCK).unwrap();
    let order: Vec<usize> = (0..10).map(|_| got(&order)).collect();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
}

#[test]
fn nobody_overtakes_who_was_given_the_lock() {
    let rank = Rank::with(Access::Write);
    rank.locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
    let next = rank.lock_behind(Mode::Write);
    rank.locks.unlock(LOCK).unwrap();
    // It has the lock, whether it runs already or not.
    assert_eq!(rank.locks.lock(LOCK, Mode::Write, Patience::Never), Err(LockError::Busy));
    assert_eq!(got(&next), Ok(()));
}

#[test]
fn eight_threads_exclude_each_other() {
    const EACH: u64 = 20_000;
    let rank = Rank::with(Access::Write);
    let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let count = Arc::clone(&count);
            rank.on_thread(move |locks| {
                for _ in 0..EACH {
                    locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
                    // Two steps, so that two threads at once are noticed.
                    let before = count.load(std::sync::atomic::Ordering::Relaxed);
                    count.store(before + 1, std::sync::atomic::Ordering::Relaxed);
                    locks.unlock(LOCK).unwrap();
                }
            })
        })
        .collect();
    threads.iter().for_each(got);
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 8 * EACH);
    let Taken { local, remote } = rank.locks.taken();
    assert_eq!((local + remote, remote), (8 * EACH, 1));
}

#[test]
fn a_thread_cannot_lock_twice() {
    let rank = Rank::with(Access::Write);
    rank.locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
    for mode in [Mode::Read, Mode::Write] {
        assert_eq!(rank.locks.lock(LOCK, mode, Patience::Forever), Err(LockError::Deadlock));
        assert_eq!(rank.locks.lock(LOCK, mode, soon()), Err(LockError::Deadlock));
        assert_eq!(rank.locks.lock(LOCK, mode, Patience::Never), Err(LockError::Busy));
    }
    rank.locks.unlock(LOCK).unwrap();
}

#[test]
fn only_the_holder_unlocks() {
    let rank = Rank::with(Access::Write);
    assert_eq!(rank.locks.unlock(LOCK), Err(LockError::NotHolder));
    assert_eq!(rank.locks.unlock(ObjectId(8)), Err(LockError::NotHolder));
    rank.locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
    let other = rank.on_thread(|locks| (locks.unlock(LOCK), locks.holds(LOCK)));
    assert_eq!(got(&other), (Err(LockError::NotHolder), None));
    assert_eq!(rank.locks.holds(LOCK), Some(Mode::Write));
}

#[test]
fn a_wait_ends_in_time() {
    let rank = Rank::with(Access::Write);
    let holder = rank.lock_apart(Mode::Write);
    let deadline = Instant::now() + Duration::from_millis(20);
    let told = rank.locks.lock(LOCK, Mode::Write, Patience::Until(deadline));
    assert_eq!(told, Err(LockError::TimedOut));
    assert!(Instant::now() >= deadline);
    assert_eq!(rank.locks.waits(), []);
    holder.unlock();
    // The time is not looked at when the lock is free.
    assert_eq!(rank.locks.lock(LOCK, Mode::Write, Patience::Until(deadline)), Ok(()));
}

#[test]
fn who_gives_up_lets_the_next_in() {
    let rank = Rank::with(Access::Write);
    let reader = rank.lock_apart(Mode::Read);
    let writer = rank.on_thread(|locks| locks.lock(LOCK, Mode::Write, soon()));
    rank.until_waiting(1);
    let next = rank.on_thread(|locks| locks.lock(LOCK, Mode::Read, Patience::Forever));
    assert_eq!(got(&writer), Err(LockError::TimedOut));
    assert_eq!(got(&next), Ok(()));
    reader.unlock();
}

#[test]
fn a_token_that_comes_too_late_stays() {
    let rank = Rank::new();
    assert_eq!(rank.locks.lock(LOCK, Mode::Write, soon()), Err(LockError::TimedOut));
    assert_eq!(rank.asked(), [acquire(Access::Write)]);
    // It is still under way: nobody asks again.
    assert_eq!(rank.locks.lock(LOCK, Mode::Write, soon()), Err(LockError::TimedOut));
    rank.asks_nothing();
    lend(&rank.locks, LOCK, Access::Write);
    assert_eq!(rank.locks.lock(LOCK, Mode::Write, Patience::Never), Ok(()));
    rank.asks_nothing();
}

#[test]
fn trying_asks_where_the_token_is() {
    let rank = Rank::new();
    let probe = Call::Probe { object: LOCK, access: Access::Write };
    let tried = rank.on_thread(|locks| locks.lock(LOCK, Mode::Write, Patience::Never));
    let mut asked = rank.asked_by();
    if asked.len() == 1 {
        asked.extend(rank.asked_by());
    }
    assert_eq!((asked[0].1, asked[1].1), (acquire(Access::Write), probe));
    // Nobody has it, but it has not come yet.
    rank.calls.answer(asked[1].0, Answer::Done);
    let again = rank.asked_by();
    assert_eq!(again[0].1, probe);
    lend(&rank.locks, LOCK, Access::Write);
    rank.calls.answer(again[0].0, Answer::Done);
    assert_eq!(got(&tried), Ok(()));
    assert_eq!(rank.locks.waits(), [], "who tries does not wait");
}

#[test]
fn trying_what_another_rank_has_is_busy() {
    let rank = Rank::new();
    let tried = rank.on_thread(|locks| locks.lock(LOCK, Mode::Write, Patience::Never));
    let mut asked = rank.asked_by();
    if asked.len() == 1 {
        asked.extend(rank.asked_by());
    }
    rank.calls
        .answer(asked[1].0, Answer::Held { rank: dsm_core::Rank(1), thread: 7, waits_for: None });
    assert_eq!(got(&tried), Err(LockError::Busy));
    // The token comes nevertheless, and stays.
    lend(&rank.locks, LOCK, Access::Write);
    assert_eq!(rank.locks.destroy(LOCK), Ok(()));
    rank.asks_nothing();
}

#[test]
fn trying_is_busy_when_a_thread_in_front_got_it() {
    let rank = Rank::new();
    let first = rank.lock_apart(Mode::Write);
    assert_eq!(rank.asked(), [acquire(Access::Write)]);
    let tried = rank.on_thread(|locks| locks.lock(LOCK, Mode::Write, Patience::Never));
    let probe = rank.asked_by()[0];
    lend(&rank.locks, LOCK, Access::Write);
    rank.calls.answer(probe.0, Answer::Done);
    assert_eq!(got(&tried), Err(LockError::Busy));
    rank.asks_nothing();
    first.unlock();
}

#[test]
fn what_is_held_is_not_destroyed() {
    let rank = Rank::with(Access::Write);
    rank.locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
    assert_eq!(rank.locks.destroy(LOCK), Err(LockError::Busy));
    let other = rank.on_thread(|locks| locks.destroy(LOCK));
    assert_eq!(got(&other), Err(LockError::Busy));
    rank.locks.unlock(LOCK).unwrap();
    assert_eq!(rank.locks.destroy(LOCK), Ok(()));
}

#[test]
fn nobody_waits_for_a_rank_that_has_left() {
    let rank = Rank::new();
    let waiting = rank.lock_behind(Mode::Write);
    let tried = rank.on_thread(|locks| locks.lock(LOCK, Mode::Read, Patience::Never));
    eventually("both have asked", || rank.rings_within(Duration::ZERO));
    rank.calls.close();
    rank.locks.close();
    assert_eq!(got(&waiting), Err(LockError::Left));
    assert_eq!(got(&tried), Err(LockError::Left));
    let later = rank.locks.lock(LOCK, Mode::Write, Patience::Forever);
    assert_eq!(later, Err(LockError::Left));
    assert_eq!(rank.locks.unlock(LOCK), Err(LockError::Left));
    assert_eq!(rank.locks.waits(), []);
}

#[test]
fn who_waits_for_what_is_known() {
    let rank = Rank::with(Access::Write);
    let other = ObjectId(9);
    let (sender, on_host) = channel();
    rank.on_thread(move |locks| {
        sender.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()).unwrap();
        locks.lock(LOCK, Mode::Write, Patience::Forever).unwrap();
        locks.lock(other, Mode::Read, Patience::Forever).unwrap();
    });
    let thread = got(&on_host);
    assert_eq!(rank.asked(), [Call::Acquire { object: other, access: Access::Read }]);
    let waits = rank.locks.waits();
    assert_eq!((waits[0].object, waits[0].thread), (other, thread));
    assert!(waits[0].since <= Instant::now());
    let holder = Holder { thread, waits_for: Some(other) };
    assert_eq!(rank.locks.inspect(LOCK, Access::Read), Some(holder));
    assert_eq!(rank.locks.inspect(other, Access::Write), None);
    // Who has what it waited for waits no more.
    lend(&rank.locks, other, Access::Read);
    assert_eq!(rank.locks.inspect(LOCK, Access::Write), Some(Holder { thread, waits_for: None }));
    assert_eq!(rank.locks.waits(), []);
}

const LOCK: ObjectId = ObjectId(4096);
const DEADLINE: Duration = Duration::from_secs(20);

/// As the driver does: later, if a thread is in the way.
fn lend(locks: &Locks, object: ObjectId, access: Access) {
    while locks.lend(object, access).is_none() {
        thread::yield_now();
    }
}

fn recall(locks: &Locks, object: ObjectId, keep: Access) -> Recalled {
    loop {
        match locks.recall(object, keep) {
            Some(recalled) => return recalled,
            None => thread::yield_now(),
        }
    }
}
