use super::{Anchor, current, expect, unlocked};
use crate::{Shareable, SyncError};
use dsm_mem::shared::{Exclusive, Guarded};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

/// A value in shared memory that one thread of the job at a time has access to.
///
/// Zero bytes are an unlocked mutex with the zero value. Locking one that this rank had last takes no message and
/// no system call; one that another rank had comes from there, with the page that it is in.
///
/// A mutex is not recursive, and its guard stays in the thread that locked it. If that thread panics, the guard
/// unlocks, and the value is as the thread left it: there is no poisoning.
///
/// ```no_run
/// let node = dsm::Node::join()?;
/// let hits = node.named::<dsm::Mutex<u64>>("hits")?;
/// *hits.lock() += 1;
/// node.barrier()?;
/// assert_eq!(*hits.lock(), u64::from(node.nodes()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Shareable)]
#[repr(C)]
pub struct Mutex<T> {
    anchor: Anchor,
    value: Guarded<T>,
}

/// Access to the value of a [`Mutex`]; unlocks it when dropped.
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
#[derive(Debug)]
pub struct MutexGuard<'a, T: Shareable> {
    anchor: &'a Anchor,
    value: Exclusive<'a, T>,
}

impl<T: Shareable> Mutex<T> {
    /// An unlocked mutex with a value, to be put into shared memory.
    pub const fn new(value: T) -> Self {
        Self { anchor: Anchor::new(), value: Guarded::new(value) }
    }

    /// Locks, after those that came before.
    ///
    /// # Panics
    /// If this thread has the mutex already, if the mutex is not in shared memory, or if this rank has left
    /// the job.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let locked = current().node.mutex_lock(self.anchor.address());
        expect(locked, "lock the mutex", &self.anchor);
        self.guard()
    }

    /// Locks if nobody has the mutex.
    ///
    /// # Errors
    /// [`SyncError::Busy`] if a thread of any rank has it, this one included; [`SyncError::NotShared`],
    /// [`SyncError::Left`].
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, SyncError> {
        current().node.mutex_try_lock(self.anchor.address())?;
        Ok(self.guard())
    }

    /// Locks, if that is possible before the deadline.
    ///
    /// # Errors
    /// [`SyncError::TimedOut`]; [`SyncError::Deadlock`] if this thread has the mutex; [`SyncError::NotShared`],
    /// [`SyncError::Left`].
    pub fn lock_until(&self, deadline: Instant) -> Result<MutexGuard<'_, T>, SyncError> {
        current().node.mutex_lock_until(self.anchor.address(), deadline)?;
        Ok(self.guard())
    }

    /// The value, which nobody else can reach while the mutex is borrowed like this.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// To be called by the thread that has just locked.
    fn guard(&self) -> MutexGuard<'_, T> {
        // Contract of `exclusive`: this thread has the mutex until the guard is dropped, but for waits on a
        // condition variable, which have the guard. Locking orders the accesses of the ranks.
        MutexGuard { anchor: &self.anchor, value: current().custody.exclusive(&self.value) }
    }
}

impl<T: Shareable> MutexGuard<'_, T> {
    pub(super) fn anchor(&self) -> &Anchor {
        self.anchor
    }
}

impl<T: Shareable> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Shareable> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Shareable> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        unlocked(current().node.mutex_unlock(self.anchor.address()), self.anchor);
    }
}

impl<T: Shareable + Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}
