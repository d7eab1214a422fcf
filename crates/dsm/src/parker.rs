//! How one thread of the program sleeps until another thread has something for it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Where one thread waits for values that others hand it, in order.
///
/// It does not use the thread's own park token, which belongs to the program.
#[derive(Debug)]
pub(crate) struct Parker<T> {
    given: Mutex<VecDeque<T>>,
    wake: Condvar,
}

impl<T> Parker<T> {
    pub(crate) fn new() -> Self {
        Self { given: Mutex::default(), wake: Condvar::new() }
    }

    /// Hands a value over and wakes the thread if it waits.
    pub(crate) fn give(&self, value: T) {
        self.lock().push_back(value);
        self.wake.notify_one();
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

    /// Waits for the next value until then.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Option<T> {
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
