use crate::{Access, Answer, Ask, BarrierKind, CallId, Message, ObjectId, PageId, Rank};
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
    /// A thread of this rank asks for something.
    Call {
        /// Chosen by the driver, unique among the calls under way.
        id: CallId,
        /// What is asked for.
        call: Call,
    },
    /// What [`Output::Serve`] asked for is done.
    Served {
        /// The rank that asked.
        asker: Rank,
        /// Which of its calls.
        id: CallId,
        /// What became of it.
        answer: Answer,
    },
    /// The time that [`Output::Hold`] or [`Output::Pin`] started is over. Without effect if the page went
    /// before.
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

/// What a thread can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Wait until every rank has called this barrier. Answered.
    Barrier(BarrierKind),
    /// Get the token of a lock for this rank's threads: [`Output::Lend`] follows, no answer.
    Acquire {
        /// The lock.
        object: ObjectId,
        /// Read for readers, write for a writer or a mutex; never [`Access::None`].
        access: Access,
    },
    /// A thread that has a lock stopped on a page: the page comes with the lock from now on. No answer.
    Carry {
        /// The lock.
        object: ObjectId,
        /// The page.
        page: PageId,
        /// What the thread needed.
        access: Access,
    },
    /// Give a lent token back that was recalled: what stays is enough for the threads that have its
    /// lock. No answer; what the other ranks leave of the token is lent again.
    Surrender {
        /// The lock.
        object: ObjectId,
        /// What the threads need that have the lock: [`Access::None`] when none has.
        keep: Access,
    },
    /// Whether a thread of another rank has a lock in a way that rules this access out: the first
    /// [`Answer::Held`], or [`Answer::Done`].
    Probe {
        /// The lock.
        object: ObjectId,
        /// The access that is wanted.
        access: Access,
    },
    /// Ask the rank that serves an object; see [`Ask`]. Answered.
    Ask {
        /// What it is about.
        object: ObjectId,
        /// What is asked.
        ask: Ask,
    },
    /// Free a block that an arena of another rank gave out. Answered.
    Free {
        /// That rank.
        owner: Rank,
        /// The word the block begins at.
        object: ObjectId,
    },
    /// Which rank is home to a page: [`Answer::Owner`], or [`Answer::NotTaken`] if this rank does not know.
    Home {
        /// The page.
        page: PageId,
    },
    /// Start bringing pages here that no thread waits for. No answer.
    Prefetch {
        /// The first page.
        first: PageId,
        /// How many.
        pages: u64,
        /// What will be needed; never [`Access::None`].
        access: Access,
    },
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
    /// Keep a page for the thread that has the lock it comes with, for a time at most, and answer with
    /// [`Input::HoldOver`] after it, unless the page went before.
    Pin {
        /// The page.
        page: PageId,
    },
    /// This rank's threads may use a lock's token to lock and unlock among themselves from now on.
    Lend {
        /// The lock.
        object: ObjectId,
        /// Read for readers only.
        access: Access,
    },
    /// Another rank wants a lent token: answer with [`Call::Surrender`] once the threads that have the
    /// lock need no more than `keep`.
    Recall {
        /// The lock.
        object: ObjectId,
        /// What may stay: [`Access::Read`] when the other rank wants to read, else [`Access::None`].
        keep: Access,
    },
    /// Do something for a thread that only the driver can, and answer with [`Input::Served`].
    Serve {
        /// The rank that asks.
        asker: Rank,
        /// Which of its calls.
        id: CallId,
        /// What to do.
        task: Task,
    },
    /// Make pages zero that no thread uses any more, and give their memory back.
    Clear {
        /// The first page.
        first: PageId,
        /// How many.
        pages: u64,
    },
    /// What became of a call.
    Answered {
        /// The call.
        id: CallId,
        /// What became of it.
        answer: Answer,
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

/// What an engine cannot do without its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// Add to a word of a page that this rank may write: [`Answer::Value`].
    Add {
        /// The word.
        object: ObjectId,
        /// What to add; wraps around.
        value: u64,
    },
    /// Replace a word of a page that this rank may write if it is as expected: [`Answer::Value`].
    Swap {
        /// The word.
        object: ObjectId,
        /// What it must be.
        expected: u64,
        /// What it becomes.
        desired: u64,
    },
    /// Free a block of this rank's arena: [`Answer::Done`], [`Answer::NotTaken`] or [`Answer::Free`].
    Free {
        /// The word the block begins at.
        object: ObjectId,
    },
    /// Tell whether a thread of this rank has a lock in a way that rules an access out:
    /// [`Answer::Held`] or [`Answer::Done`].
    Inspect {
        /// The lock.
        object: ObjectId,
        /// The access.
        access: Access,
    },
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
    /// None yet, of the engine of this rank.
    pub fn new(rank: Rank) -> Self {
        Self { rank, outputs: Vec::new(), own: VecDeque::new() }
    }

    /// Takes them out, in order; the memory stays, for [`Engine::handle_into`](crate::Engine::handle_into).
    pub fn drain(&mut self) -> impl Iterator<Item = Output> {
        self.outputs.drain(..)
    }

    /// Whether they are this rank's, and none.
    pub(crate) fn is_of(&self, rank: Rank) -> bool {
        self.rank == rank && self.outputs.is_empty() && self.own.is_empty()
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

    /// Tells a thread what became of its call: by a message, unless it is one of this rank.
    pub(crate) fn answer(&mut self, to: Rank, id: CallId, answer: Answer) {
        self.send(to, Message::Answer { id, answer }, None);
    }

    pub(crate) fn fail(&mut self, from: Rank, message: Message, why: &'static str) {
        self.push(Output::Fail { violation: Violation::Unexpected { from, message, why } });
    }

    /// Whether this rank is about to hear from itself that others want a page.
    pub(crate) fn demands(&self, wanted: PageId) -> bool {
        self.own
            .iter()
            .any(|message| matches!(message, Message::Forward { page, .. } if *page == wanted))
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
