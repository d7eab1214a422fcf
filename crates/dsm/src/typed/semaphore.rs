use super::{Anchor, CURRENT, current, expect, has_left};
use crate::{Shareable, SyncError};

/// A number of permits that threads of the job take and give back.
///
/// Fresh memory is one without permits. The number is kept by the rank that is home to the place, and belongs to
/// the place, not to the value: a semaphore that is moved leaves its permits behind, and [`init`](Self::init)
/// comes before its use. Dropping one forgets its permits.
///
/// ```no_run
/// let node = dsm::Node::join()?;
/// let seats = node.named::<dsm::Semaphore>("seats")?;
/// if node.rank() == 0 {
///     seats.init(3)?;
/// }
/// seats.wait();
/// // At most three threads of the job are here.
/// seats.post();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default, Shareable)]
#[repr(transparent)]
pub struct Semaphore(Anchor);

impl Semaphore {
    /// One without permits, to be put into shared memory.
    #[must_use]
    pub const fn new() -> Self {
        Self(Anchor::new())
    }

    /// Sets the number of permits.
    ///
    /// # Errors
    /// [`SyncError::Busy`] while somebody waits; [`SyncError::NotShared`], [`SyncError::Left`].
    pub fn init(&self, permits: u32) -> Result<(), SyncError> {
        current().node.semaphore_init(self.0.address(), permits)
    }

    /// Takes a permit, after those that came before.
    ///
    /// # Panics
    /// If the semaphore is not in shared memory, or if this rank leaves the job.
    #[track_caller]
    pub fn wait(&self) {
        let taken = current().node.semaphore_wait(self.0.address());
        expect(taken, "wait for the semaphore", &self.0);
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    /// [`SyncError::WouldBlock`]; [`SyncError::NotShared`], [`SyncError::Left`].
    pub fn try_wait(&self) -> Result<(), SyncError> {
        current().node.semaphore_try_wait(self.0.address())
    }

    /// Gives a permit, to the thread that has waited longest if any waits.
    ///
    /// # Panics
    /// If there are `u32::MAX` permits, if the semaphore is not in shared memory, or if this rank has left the
    /// job.
    #[track_caller]
    pub fn post(&self) {
        let posted = current().node.semaphore_post(self.0.address());
        expect(posted, "post to the semaphore", &self.0);
    }
}

impl Drop for Semaphore {
    /// What comes to this place later begins without permits.
    fn drop(&mut self) {
        if let Some(current) = CURRENT.get()
            && !has_left()
        {
            // One outside shared memory has no permits; nobody waits at one that can be dropped.
            let _ = current.node.semaphore_destroy(self.0.address());
        }
    }
}
