use rustix::thread::{MembarrierCommand, membarrier};

/// Makes the earlier stores of all threads of this process visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    /// membarrier(2), which runs a full barrier on every processor that runs a thread of ours.
    Membarrier,
    /// Nothing to do: on x86-64 taking a permission away interrupts every such processor, and an
    /// interrupt drains its stores. Kernels without membarrier have no other way to do that.
    Shootdown,
}

impl Fence {
    /// The fence of this machine, or `None` if there is none.
    pub(crate) fn prepare() -> Option<Self> {
        match membarrier(MembarrierCommand::RegisterPrivateExpedited) {
            Ok(()) => Some(Self::Membarrier),
            Err(_) if cfg!(target_arch = "x86_64") => Some(Self::Shootdown),
            Err(_) => None,
        }
    }

    /// When this returns, every store that a thread of this process made before the call, by program
    /// order up to the point it had reached, is visible to the calling thread.
    pub(crate) fn wait(self) {
        match self {
            Self::Membarrier => membarrier(MembarrierCommand::PrivateExpedited)
                .expect("membarrier cannot fail once the process is registered"),
            Self::Shootdown => (),
        }
    }
}
