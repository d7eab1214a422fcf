use super::{Anchor, current, expect};
use crate::{BarrierRole, Shareable};

/// Where a number of threads of any ranks wait for each other.
///
/// Zero bytes are one at which nobody waits. The number of threads is given at the call, so that the same barrier
/// may serve different groups one after the other. For one thread of every rank there is
/// [`Node::barrier`](crate::Node::barrier).
///
/// ```no_run
/// use dsm::{Barrier, BarrierRole};
///
/// let node = dsm::Node::join()?;
/// let halves = node.named::<[Barrier; 2]>("halves")?;
/// let mine = usize::from(node.rank() % 2);
/// let members = u32::from(node.nodes() + u16::from(mine == 0)) / 2;
/// if halves[mine].wait(members) == BarrierRole::Serial {
///     // One of the threads that met gets here.
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default, Shareable)]
#[repr(transparent)]
pub struct Barrier(Anchor);

impl Barrier {
    /// One at which nobody waits, to be put into shared memory.
    #[must_use]
    pub const fn new() -> Self {
        Self(Anchor::new())
    }

    /// Waits until `count` threads are here. What any of them stored before is seen by all after.
    ///
    /// # Panics
    /// If `count` is 0 or threads wait here that named another count, if the barrier is not in shared memory,
    /// or if this rank leaves the job.
    #[track_caller]
    pub fn wait(&self, count: u32) -> BarrierRole {
        let role = current().node.barrier_wait(self.0.address(), count);
        expect(role, "wait at the barrier", &self.0)
    }
}
