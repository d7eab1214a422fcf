use super::{Anchor, current, expect, unlocked};
use crate::{Shareable, SyncError};
use dsm_mem::shared::{Exclusive, Guarded, Inclusive};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A value in shared memory that many threads of the job read at the same time, or one changes.
///
/// Zero bytes are an unlocked lock with the zero value. Ranks that read keep the right to read, and a copy of
/// the pages, until a rank writes: locking for reading takes no message then.
///
/// A thread may lock for reading several times. As for [`Mutex`](crate::Mutex), guards stay in their thread, and
/// there is no poisoning.
///
/// ```no_run
/// let node = dsm::Node::join()?;
/// let limits = node.named::<dsm::RwLock<[f64; 8]>>("limits")?;
/// limits.write()[0] = 0.5;
/// let sum: f64 = limits.read().iter().sum();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Shareable)]
#[repr(C)]
pub struct RwLock<T> {
    anchor: Anchor,
    value: Guarded<T>,
}

/// Access to the value of a [`RwLock`] for reading; unlocks it when dropped.
#[must_use = "the lock is unlocked at once if the guard is not kept"]
#[derive(Debug)]
pub struct RwLockReadGuard<'a, T: Shareable> {
    anchor: &'a Anchor,
    value: Inclusive<'a, T>,
}

/// Access to the value of a [`RwLock`] for writing; unlocks it when dropped.
#[must_use = "the lock is unlocked at once if the guard is not kept"]
#[derive(Debug)]
pub struct RwLockWriteGuard<'a, T: Shareable> {
    anchor: &'a Anchor,
    value: Exclusive<'a, T>,
}

impl<T: Shareable> RwLock<T> {
    /// An unlocked lock with a value, to be put into shared memory.
    pub const fn new(value: T) -> Self {
        Self { anchor: Anchor::new(), value: Guarded::new(value) }
    }

    /// Locks for reading.
    ///
    /// # Panics
    /// If this thread has the lock for writing, if the lock is not in shared memory, or if this rank has left
    /// the job.
    #[track_caller]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        let locked = current().node.rwlock_read(self.anchor.address());
        expect(locked, "lock for reading", &self.anchor);
        self.read_guard()
    }

    /// Locks for writing.
    ///
    /// # Panics
    /// If this thread has the lock already, if the lock is not in shared memory, or if this rank has left the
    /// job.
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        let locked = current().node.rwlock_write(self.anchor.address());
        expect(locked, "lock for writing", &self.anchor);
        self.write_guard()
    }

    /// Locks for reading if nobody has the lock for writing.
    ///
    /// # Errors
    /// [`SyncError::Busy`]; [`SyncError::NotShared`], [`SyncError::Left`].
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, SyncError> {
        current().node.rwlock_try_read(self.anchor.address())?;
        Ok(self.read_guard())
    }

    /// Locks for writing if nobody has the lock.
    ///
    /// # Errors
    /// [`SyncError::Busy`]; [`SyncError::NotShared`], [`SyncError::Left`].
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, SyncError> {
        current().node.rwlock_try_write(self.anchor.address())?;
        Ok(self.write_guard())
    }

    /// The value, which nobody else can reach while the lock is borrowed like this.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    fn read_guard(&self) -> RwLockReadGuard<'_, T> {
        // Contract of `inclusive`: this thread has the lock for reading until the guard is dropped. Locking
        // orders the accesses of the ranks.
        RwLockReadGuard { anchor: &self.anchor, value: current().custody.inclusive(&self.value) }
    }

    fn write_guard(&self) -> RwLockWriteGuard<'_, T> {
        // Contract of `exclusive`: this thread has the lock for writing until the guard is dropped.
        RwLockWriteGuard { anchor: &self.anchor, value: current().custody.exclusive(&self.value) }
    }
}

impl<T: Shareable> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Shareable> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Shareable> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Shareable> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        unlocked(current().node.rwlock_unlock(self.anchor.address()), self.anchor);
    }
}

impl<T: Shareable> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        unlocked(current().node.rwlock_unlock(self.anchor.address()), self.anchor);
    }
}

impl<T: Shareable + Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").finish_non_exhaustive()
    }
}
