use crate::{PageId, Rank};
use core::fmt;

/// What one rank says to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// `source` wants the page. Whoever has it not sends the request on.
    Request {
        /// Who wants it.
        source: Rank,
        /// The page.
        page: PageId,
    },
    /// The page has a new owner. Its bytes follow if the owner is whom this is sent to.
    Page {
        /// The new owner.
        owner: Rank,
        /// The page.
        page: PageId,
    },
    /// A request is not answered; which one is not said.
    Negative,
    /// The sender wants nothing any more.
    Finalize,
    /// Nothing at all.
    Nothing,
}

/// What happens at a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// A thread is stopped on a page, until [`Output::Resume`].
    Fault {
        /// The page.
        page: PageId,
    },
    /// A peer said something. The bytes of a page for this rank are in place.
    Message {
        /// The peer.
        from: Rank,
        /// What it said.
        message: Message,
    },
    /// The minimum time is over that [`Output::Hold`] asked for.
    HoldOver {
        /// The page.
        page: PageId,
    },
    /// Threads have waited for long. A foreign rank may have dropped what it was asked.
    Retry,
    /// This rank wants nothing any more.
    Finalize,
    /// A peer has closed its connection.
    PeerClosed {
        /// The peer.
        rank: Rank,
    },
}

/// What the driver has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// Take the access to a page away; its bytes are complete when this is done.
    Remove {
        /// The page.
        page: PageId,
    },
    /// Send a message, and after it the bytes of [`Message::page_for`] as they are now.
    Send {
        /// To whom.
        to: Rank,
        /// What.
        message: Message,
    },
    /// Open a page to be read and written.
    Install {
        /// The page.
        page: PageId,
    },
    /// Let the threads go on that are stopped on a page.
    Resume {
        /// The page.
        page: PageId,
    },
    /// Say [`Input::HoldOver`] after a short time, in which the threads get to run.
    Hold {
        /// The page.
        page: PageId,
    },
    /// All ranks want nothing any more; connections may be closed.
    Finalized,
    /// This rank cannot go on.
    Fail {
        /// The peer that is the cause.
        rank: Rank,
        /// What it did.
        reason: Reason,
    },
}

/// Why a rank cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The peer said what cannot be.
    Broke {
        /// What it said.
        message: Message,
        /// Why that cannot be.
        why: &'static str,
    },
    /// The peer closed its connection before it wanted nothing any more.
    Lost,
    /// A page is with a peer that has left the job.
    Left {
        /// The page.
        page: PageId,
    },
}

impl Message {
    /// The page whose bytes follow this message when it is sent to `to`.
    #[must_use]
    pub fn page_for(&self, to: Rank) -> Option<PageId> {
        match *self {
            Self::Page { owner, page } if owner == to => Some(page),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broke { message, why } => write!(f, "it said {message:?}: {why}"),
            Self::Lost => f.write_str("it closed its connection before it finalized"),
            Self::Left { page } => write!(f, "page {page} is with it, and it has left the job"),
        }
    }
}
