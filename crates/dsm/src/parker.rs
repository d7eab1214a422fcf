//! How one thread of the program sleeps until another thread has something for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where one thread waits for values that others hand it, in order.
///
/// It does not use the thread's own park token, which belongs to the program.
#[derive(Debug)]
pub(crate) struct Parker<T> {
    given: Mutex<VecDeque<T>>,
    wake: Condvar,
    /// Its thread waits for the events of the driver instead.
    is_led: AtomicBool,
}

/// What is left to do after a value was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a leader does not see what it is given unless it is called"]
pub(crate) enum Given {
    /// Nothing.
    Seen,
    /// The thread leads, and has to be called.
    ToLeader,
}

impl<T> Parker<T> {
    pub(crate) fn new() -> Self {
        Self { given: Mutex::default(), wake: Condvar::new(), is_led: AtomicBool::new(false) }
    }

    /// Hands a value over and wakes the thread if it waits.
    pub(crate) fn give(&self, value: T) -> Given {
        self.lock().push_back(value);
        self.wake.notify_one();
        if self.is_led.load(SeqCst) { Given::ToLeader } else { Given::Seen }
    }

    /// Whether the thread waits for the driver's events from now on, and looks here after each. It looks
    /// once more after it has said so: what is given later finds it said.
    pub(crate) fn expect_by_leader(&self, is_led: bool) {
        self.is_led.store(is_led, SeqCst);
    }

    /// The next value, if one was given.
    pub(crate) fn take(&self) -> Option<T> {
        self.lock().pop_front()
    }

    /// Waits for the next value; whoever knows of this place sees to it that there is one.
    pub(crate) fn wait(&self) -> T {
        let mut given = self.lock();
        loop {
            if let Some(value) = given.pop_front() {
                return value;
            }
            given = self.wake.wait(given).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Looks for a value for a short time, while others run: a lock is often free sooner than a thread that
    /// sleeps is awake.
    fn spin(&self) -> Option<T> {
        let begun = Instant::now();
        while begun.elapsed() < SPIN {
            if let Some(value) = self.take() {
                return Some(value);
            }
            rustix::thread::sched_yield();
        }
        None
    }

    /// Waits for the next value until then; without a deadline there is always one.
    pub(crate) fn wait_until(&self, deadline: Option<Instant>) -> Option<T> {
        if let Some(value) = self.spin() {
            return Some(value);
        }
        let Some(deadline) = deadline else { return Some(self.wait()) };
        let mut given = self.lock();
        loop {
            if let Some(value) = given.pop_front() {
                return Some(value);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let woken = self.wake.wait_timeout(given, left);
            given = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// No thread can panic halfway through a change of the queue.
    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SPIN: Duration = Duration::from_micros(20);
