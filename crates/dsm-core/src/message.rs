use crate::{Access, Epoch, PageId, Rank};

/// What one rank's engine says to another's. A page's bytes travel beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// Requester to home: a thread here faulted and wants `access` (read or write).
    Request {
        /// The page faulted on.
        page: PageId,
        /// What the faulting access needs; never [`Access::None`].
        access: Access,
    },
    /// Home to owner: hand the page to `to`.
    Forward {
        /// The page asked for.
        page: PageId,
        /// What `to` gets; the owner keeps a shared copy if this is [`Right::Shared`], else nothing.
        right: Right,
        /// The requester.
        to: Rank,
        /// The epoch of the grant to be sent.
        epoch: Epoch,
        /// The epoch of the owner's own copy: a forward may overtake the grant it follows.
        have: Epoch,
    },
    /// Owner or home to requester: the fault is resolved.
    Grant {
        /// The page granted.
        page: PageId,
        /// What the requester may do from now on.
        right: Right,
        /// The epoch of the requester's copy from now on.
        epoch: Epoch,
        /// Where the content is.
        payload: Payload,
    },
    /// Home to sharer: drop your copy.
    Invalidate {
        /// The page to drop.
        page: PageId,
        /// The epoch of the copy to drop: an invalidation may overtake the grant it follows.
        have: Epoch,
    },
    /// Sharer to home: the copy is gone and every store made through it is visible.
    Ack {
        /// The page dropped.
        page: PageId,
        /// The epoch of the copy dropped.
        epoch: Epoch,
    },
    /// To the coordinator (rank 0): all of this rank's threads that take part are here.
    BarrierArrive {
        /// Which barrier.
        kind: BarrierKind,
        /// How many barriers this rank has passed before.
        epoch: Epoch,
    },
    /// Coordinator to all: every rank has arrived.
    BarrierRelease {
        /// Which barrier.
        kind: BarrierKind,
        /// How many barriers were passed before this one.
        epoch: Epoch,
    },
}

/// The right to a page that a grant carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// To read; other ranks may hold copies too.
    Shared,
    /// To read, as the only holder: the holder may write without asking.
    Exclusive,
    /// To write, as the only holder.
    Modified,
}

/// Where the content of a granted page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payload {
    /// In the bytes that follow the message.
    Attached,
    /// The page was never written: all bytes are zero, none follow.
    Zero,
    /// The receiver's own copy is current; only the right changes.
    Held,
}

/// Which of the barriers of all ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BarrierKind {
    /// The program's `dsm_barrier`.
    Program,
    /// The end of the job, `dsm_finalize`.
    Finalize,
}
