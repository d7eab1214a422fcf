//! How one thread of the program sleeps until another thread has something for it.

use rustix::event::Timespec;
use rustix::thread::futex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Where one thread waits for a few values that others hand it, in order.
///
/// It does not use the thread's own park token, which belongs to the program. Nobody waits for a lock here:
/// the driver gives, and the thread may be in a signal handler that waits for the driver.
#[derive(Debug)]
pub(crate) struct Parker<T> {
    /// Filled from the first on, each once.
    slots: [OnceLock<T>; MOST_VALUES],
    /// How many were taken, by the one thread that takes.
    taken: AtomicUsize,
    /// How many were given; the thread sleeps on it.
    given: AtomicU32,
    is_asleep: AtomicBool,
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

impl<T: Copy> Parker<T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| OnceLock::new()),
            taken: AtomicUsize::new(0),
            given: AtomicU32::new(0),
            is_asleep: AtomicBool::new(false),
            is_led: AtomicBool::new(false),
        }
    }

    /// Hands a value over and wakes the thread if it waits. What is beyond the most that a call has goes
    /// nowhere.
    pub(crate) fn give(&self, value: T) -> Given {
        if self.slots.iter().any(|slot| slot.set(value).is_ok()) {
            self.given.fetch_add(1, SeqCst);
            if self.is_asleep.load(SeqCst) {
                // Waking has no reason to fail.
                let _ = futex::wake(&self.given, futex::Flags::PRIVATE, 1);
            }
        }
        if self.is_led.load(SeqCst) { Given::ToLeader } else { Given::Seen }
    }

    /// Whether the thread waits for the driver's events from now on, and looks here after each. It looks
    /// once more after it has said so: what is given later finds it said.
    pub(crate) fn expect_by_leader(&self, is_led: bool) {
        self.is_led.store(is_led, SeqCst);
    }

    /// The next value, if one was given.
    pub(crate) fn take(&self) -> Option<T> {
        let taken = self.taken.load(SeqCst);
        let value = self.slots.get(taken)?.get().copied()?;
        self.taken.store(taken + 1, SeqCst);
        Some(value)
    }

    /// Waits for the next value until then; without a deadline there is always one.
    pub(crate) fn wait_until(&self, deadline: Option<Instant>) -> Option<T> {
        if let Some(value) = self.spin() {
            return Some(value);
        }
        self.is_asleep.store(true, SeqCst);
        let value = self.sleep_until(deadline);
        self.is_asleep.store(false, SeqCst);
        value
    }

    fn sleep_until(&self, deadline: Option<Instant>) -> Option<T> {
        loop {
            let given = self.given.load(SeqCst);
            if let Some(value) = self.take() {
                return Some(value);
            }
            let left = match deadline {
                Some(deadline) => Some(deadline.checked_duration_since(Instant::now())?),
                None => None,
            };
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            // Woken, interrupted or late: the next round finds out.
            let _ = futex::wait(&self.given, futex::Flags::PRIVATE, given, timeout.as_ref());
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
}

/// A wait at a condition variable is answered twice, and once more when the rank leaves.
const MOST_VALUES: usize = 3;
const SPIN: Duration = Duration::from_micros(20);
