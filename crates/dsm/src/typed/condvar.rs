use super::{Anchor, current, expect};
use crate::{MutexGuard, Shareable, SyncError};
use std::time::Instant;

/// Threads of the job that wait until another one has changed what a [`Mutex`](crate::Mutex) guards.
///
/// Zero bytes are one on which nobody waits. Nothing but a signal, or the deadline, ends a wait: there are no
/// spurious wake-ups. Threads are woken in the order in which they came.
///
/// ```no_run
/// use dsm::{Condvar, Mutex, Shareable, Vec};
///
/// #[derive(Shareable)]
/// struct Queue {
///     items: Mutex<Vec<u64>>,
///     filled: Condvar,
/// }
///
/// let node = dsm::Node::join()?;
/// let queue = node.named::<Queue>("queue")?;
/// if node.rank() == 0 {
///     queue.items.lock().push(7);
///     queue.filled.notify_one();
/// } else {
///     let mut items = queue.filled.wait_while(queue.items.lock(), |items| items.is_empty());
///     let item = items.pop();
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default, Shareable)]
#[repr(transparent)]
pub struct Condvar(Anchor);

/// What ended a wait that had a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wake {
    /// A signal.
    Signalled,
    /// The deadline.
    TimedOut,
}

impl Condvar {
    /// One on which nobody waits, to be put into shared memory.
    #[must_use]
    pub const fn new() -> Self {
        Self(Anchor::new())
    }

    /// Unlocks the mutex of the guard, waits for a signal, and locks the mutex again. A signal sent after the
    /// mutex was unlocked is not lost.
    ///
    /// # Panics
    /// If the condition variable is not in shared memory, or if this rank leaves the job.
    #[track_caller]
    pub fn wait<'a, T: Shareable>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        // The guard's value is not used before the mutex is locked again.
        let woken = current().node.cond_wait(self.0.address(), guard.anchor().address());
        expect(woken, "wait on the condition variable", &self.0);
        guard
    }

    /// Waits until the condition is false; it is looked at before the first wait and after each.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_while<'a, T: Shareable>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// As [`wait`](Self::wait), until the deadline at most; the mutex is locked again in any case, however long
    /// that takes.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_until<'a, T: Shareable>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> (MutexGuard<'a, T>, Wake) {
        let mutex = guard.anchor().address();
        match current().node.cond_wait_until(self.0.address(), mutex, deadline) {
            Err(SyncError::TimedOut) => (guard, Wake::TimedOut),
            woken => {
                expect(woken, "wait on the condition variable", &self.0);
                (guard, Wake::Signalled)
            }
        }
    }

    /// Wakes the thread that has waited longest, if any.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn notify_one(&self) {
        let told = current().node.cond_signal(self.0.address());
        expect(told, "signal the condition variable", &self.0);
    }

    /// Wakes all threads that wait.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn notify_all(&self) {
        let told = current().node.cond_broadcast(self.0.address());
        expect(told, "signal the condition variable", &self.0);
    }
}
