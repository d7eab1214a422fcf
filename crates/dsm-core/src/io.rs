use crate::{Access, BarrierKind, Message, PageId, Rank};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

/// Everything that can happen to an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// A thread of this rank is stopped on `page` until [`Output::Resume`].
    Fault {
        /// The page touched.
        page: PageId,
        /// What the access needs; never [`Access::None`].
        access: Access,
    },
    /// A peer's message arrived. Attached bytes are in the page's service view already.
    Message {
        /// The rank it came from, as the connection says.
        from: Rank,
        /// What it says.
        message: Message,
    },
    /// A thread of this rank asks for something and waits for [`Output::Granted`] or [`Output::Refused`].
    Call {
        /// Chosen by the driver, unique among the calls under way.
        id: CallId,
        /// What is asked for.
        call: Call,
    },
    /// The minimum hold time that [`Output::Hold`] started is over.
    HoldOver {
        /// The page held.
        page: PageId,
    },
    /// The connection to a peer is gone for good.
    PeerLost {
        /// The peer.
        rank: Rank,
    },
}

/// Names a call under way, so that its thread can be found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What a thread can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Wait until every rank has called this barrier.
    Barrier(BarrierKind),
}

/// One thing the driver must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// Change what this rank's threads may do with a page whose content stays. When access shrinks,
    /// every earlier store of theirs is visible in the service view once this is done.
    Protect {
        /// The page.
        page: PageId,
        /// Its access from now on.
        access: Access,
    },
    /// Give this rank's threads a page they had no access to, atomically for them.
    Install {
        /// The page.
        page: PageId,
        /// Its access from now on.
        access: Access,
        /// Where its content is.
        source: Source,
    },
    /// Send a message. An attachment is read at this point of the sequence.
    Send {
        /// The receiver, never this rank.
        to: Rank,
        /// What to say.
        message: Message,
        /// The bytes that follow it.
        attach: Option<Attachment>,
    },
    /// Wake every thread stopped on this page; each tries its access again.
    Resume {
        /// The page.
        page: PageId,
    },
    /// Start the minimum hold time of this page and answer with [`Input::HoldOver`] after it.
    Hold {
        /// The page.
        page: PageId,
    },
    /// The call is complete.
    Granted {
        /// The call.
        id: CallId,
    },
    /// The call cannot be served; nothing was changed.
    Refused {
        /// The call.
        id: CallId,
        /// Why not.
        why: Refusal,
    },
    /// The job cannot go on: end it and say why.
    Fail {
        /// What happened.
        violation: Violation,
    },
}

/// Where the content of a page to be installed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// In the service view already.
    ServiceView,
    /// Nowhere: the page is zero.
    Zero,
}

/// Bytes the driver adds to a message when it sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attachment {
    /// The page's content in the service view.
    Page(PageId),
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Another thread of this rank waits at the barrier of all ranks, which takes one thread a rank.
    BarrierBusy,
}

/// Why a job cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Violation {
    /// A peer sent a message that this rank's state rules out.
    Unexpected {
        /// The peer.
        from: Rank,
        /// What it said.
        message: Message,
        /// What the protocol rules out, in words.
        why: &'static str,
    },
    /// The driver reported a fault on a page outside the region, or without an access.
    BadFault {
        /// The page.
        page: PageId,
        /// The access.
        access: Access,
    },
    /// One rank waits at the program's barrier while another has left the job.
    BarrierMismatch {
        /// A rank at the program's barrier.
        waiting: Rank,
        /// A rank in finalize.
        leaving: Rank,
    },
    /// The connection to a peer is gone.
    PeerLost {
        /// The peer.
        rank: Rank,
    },
}

/// What a call to [`Engine::handle`](crate::Engine::handle) asks for, in order.
#[must_use = "every output must be carried out before the next input"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs {
    rank: Rank,
    outputs: Vec<Output>,
    /// What a rank says to itself never leaves the engine.
    own: VecDeque<Message>,
}

impl Outputs {
    pub(crate) fn new(rank: Rank) -> Self {
        Self { rank, outputs: Vec::new(), own: VecDeque::new() }
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push(output);
    }

    pub(crate) fn send(&mut self, to: Rank, message: Message, attach: Option<Attachment>) {
        if to == self.rank {
            assert!(attach.is_none(), "a rank sends no page to itself");
            return self.own.push_back(message);
        }
        self.push(Output::Send { to, message, attach });
    }

    pub(crate) fn fail(&mut self, from: Rank, message: Message, why: &'static str) {
        self.push(Output::Fail { violation: Violation::Unexpected { from, message, why } });
    }

    pub(crate) fn next_own(&mut self) -> Option<Message> {
        self.own.pop_front()
    }
}

impl IntoIterator for Outputs {
    type Item = Output;
    type IntoIter = alloc::vec::IntoIter<Output>;

    fn into_iter(self) -> Self::IntoIter {
        self.outputs.into_iter()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected { from, message, why } => {
                write!(f, "rank {from} broke the protocol: {why} (it sent {message:?})")
            }
            Self::BadFault { page, access } => {
                write!(f, "fault for {access:?} on page {page}, which is not in the region")
            }
            Self::BarrierMismatch { waiting, leaving } => write!(
                f,
                "rank {leaving} called dsm_finalize while rank {waiting} waits at dsm_barrier"
            ),
            Self::PeerLost { rank } => write!(f, "contact with rank {rank} lost"),
        }
    }
}
