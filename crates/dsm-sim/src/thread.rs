use crate::{Faults, Op};
use dsm_core::{Access, CallId, ObjectId, PageId, Rank};
use std::sync::Arc;

/// One thread of a program.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    script: Arc<[Op]>,
    next: usize,
    pub(crate) state: ThreadState,
    /// The runs of the heap it got and has, the last one last.
    pub(crate) runs: Vec<(PageId, u64)>,
    /// The lock whose token came from another rank for it last, and that it has.
    pub(crate) came: Option<ObjectId>,
    /// What it saw last in a word.
    pub(crate) saw: u64,
}

/// What a thread is at. Where nothing else is said it waits until something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ThreadState {
    /// It runs: its next step is to try its next operation, again if it was stopped at it.
    Running,
    /// Stopped at a fault until it is resumed.
    Stopped { page: PageId, access: Access, fault: Fault },
    /// Waits until its call is answered.
    Calling,
    /// In the queue of the lock it wants.
    Queued,
    /// In the queue of the lock it tries to take. Runs: it is about to ask whether somebody has it.
    Trying,
    /// The same, and has asked.
    Probing,
    /// Has the lock it tried to take, and asked before whether somebody has it.
    ProbingInVain,
    /// Asked to wait at a condition variable.
    Registering,
    /// Waits at a condition variable, without the mutex.
    Asleep,
    /// Has lost patience at a condition variable and asked to leave.
    Leaving,
    /// In the queue of the mutex that it wants back.
    Relocking(Wakeup),
    /// Knows who got the run that it wants a block of to be freed. Runs.
    Freeing { owner: Rank, page: PageId },
}

/// How a wait at a condition variable ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wakeup {
    /// By a signal or broadcast.
    Woken,
    /// Patience did not last.
    Left,
}

/// Whether the driver knows of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    Unread,
    Read,
}

impl Thread {
    pub(crate) fn new(script: Arc<[Op]>) -> Self {
        Self { script, next: 0, state: ThreadState::Running, runs: Vec::new(), came: None, saw: 0 }
    }

    /// What the thread is at, unless it is done.
    pub(crate) fn op(&self) -> Option<Op> {
        self.script.get(self.next).copied()
    }

    /// How many operations it has done.
    pub(crate) fn done(&self) -> usize {
        self.next
    }

    /// Tries again what it stopped at, if it stopped at this page and can be reached.
    pub(crate) fn resume(&mut self, at: PageId, faults: Faults) {
        if let ThreadState::Stopped { page, fault, .. } = self.state
            && page == at
            && (faults != Faults::Posted || fault == Fault::Read)
        {
            self.state = ThreadState::Running;
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, ThreadState::Stopped { .. })
    }

    pub(crate) fn unread_fault(&self) -> Option<(PageId, Access)> {
        match self.state {
            ThreadState::Stopped { page, access, fault: Fault::Unread } => Some((page, access)),
            _ => None,
        }
    }

    /// What storing to all pages of its last run needs.
    pub(crate) fn scribbles(&self) -> impl Iterator<Item = (PageId, Access)> + use<> {
        let (first, pages) = self.runs.last().copied().unwrap_or((PageId(0), 0));
        (first.0..first.0 + pages).map(|page| (PageId(page), Access::Write))
    }

    pub(crate) fn retire(&mut self) {
        self.next += 1;
        self.state = ThreadState::Running;
    }

    /// How many barriers of all ranks it has passed or waits at, counted from the first.
    pub(crate) fn barriers_reached(&self) -> usize {
        let at = self.script.iter().take(self.next).filter(|op| op.barrier().is_some()).count();
        at + usize::from(self.waits_at_barrier())
    }

    /// Whether it waits at a barrier of all ranks.
    pub(crate) fn waits_at_barrier(&self) -> bool {
        self.state == ThreadState::Calling && self.op().and_then(Op::barrier).is_some()
    }
}

/// Each thread has at most two calls under way: what it is at, and that it wants to leave a condition variable.
pub(crate) fn call_of(thread: usize) -> CallId {
    CallId(2 * thread as u64)
}

pub(crate) fn leave_of(thread: usize) -> CallId {
    CallId(2 * thread as u64 + 1)
}

/// The thread that has this call under way.
pub(crate) fn thread_of(CallId(id): CallId) -> usize {
    usize::try_from(id / 2).expect("a rank has few threads")
}
