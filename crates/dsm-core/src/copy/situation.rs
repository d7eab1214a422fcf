//! What a copy is in when something reaches it, for whoever counts which pairs were ever seen.

use super::{Copies, State};
use crate::{Access, Epoch, Input, Message, PageId, Payload, Rank, Right};

/// A copy and what reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopySituation {
    /// The copy.
    pub state: CopyState,
    /// What happens to it.
    pub event: CopyEvent,
}

/// All that decides what a rank does about one of its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyState {
    /// What the rank has.
    pub content: CopyContent,
    /// The access asked for, if a request is under way.
    pub request: Option<Access>,
    /// Whether the hold time runs, or the page is kept for who has a lock when a demand comes.
    pub is_held: bool,
    /// Whether demands are put off.
    pub puts_off: bool,
}

/// What a rank has of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyContent {
    /// The page as it was born, unused, at its home.
    Fresh,
    /// Nothing.
    Invalid,
    /// A copy with this right.
    Open(Right),
}

/// What can happen to a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyEvent {
    /// A thread's fault is told.
    Fault(Access),
    /// The hold time is over.
    HoldOver,
    /// A forward comes, for this right, about this copy.
    Forward(Right, Which),
    /// An invalidation comes, about this copy.
    Invalidate(Which),
    /// A grant comes.
    Grant(Right, Payload),
}

/// Which copy of a rank a demand names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// One that is gone.
    Earlier,
    /// The one that is there, or was last.
    Current,
    /// One that is to come.
    Coming,
}

impl Copies {
    pub(crate) fn situation(&self, input: &Input, home: Rank) -> Option<CopySituation> {
        let (page, event) = match *input {
            Input::Fault { page, access } => (page, CopyEvent::Fault(access)),
            Input::HoldOver { page } => (page, CopyEvent::HoldOver),
            Input::Message { message, .. } => match message {
                Message::Forward { page, right, have, .. } => {
                    (page, CopyEvent::Forward(right, self.which(page, have, home)))
                }
                Message::Invalidate { page, have } => {
                    (page, CopyEvent::Invalidate(self.which(page, have, home)))
                }
                Message::Grant { page, right, payload, .. } => {
                    (page, CopyEvent::Grant(right, payload))
                }
                _ => return None,
            },
            Input::Call { .. } | Input::Served { .. } | Input::PeerLost { .. } => return None,
        };
        let mut state = self.copy_state(page, home);
        if let CopyEvent::Forward(..) | CopyEvent::Invalidate(_) = event {
            state.is_held |= self.is_kept(page, home);
        }
        Some(CopySituation { state, event })
    }

    pub(crate) fn copy_state(&self, page: PageId, home: Rank) -> CopyState {
        let content = match self.state(page, home) {
            State::Fresh => CopyContent::Fresh,
            State::Invalid => CopyContent::Invalid,
            State::Shared => CopyContent::Open(Right::Shared),
            State::Exclusive => CopyContent::Open(Right::Exclusive),
            State::Modified => CopyContent::Open(Right::Modified),
        };
        let puts_off = self.deferred.get(&page).is_some_and(|demands| !demands.is_empty());
        let slot = self.slot(page);
        CopyState { content, request: slot.asked, is_held: slot.is_held, puts_off }
    }

    pub(crate) fn copy_epoch(&self, page: PageId, home: Rank) -> Epoch {
        self.copy(page, home).epoch
    }

    pub(super) fn which(&self, page: PageId, have: Epoch, home: Rank) -> Which {
        match have.cmp(&self.copy_epoch(page, home)) {
            core::cmp::Ordering::Less => Which::Earlier,
            core::cmp::Ordering::Equal => Which::Current,
            core::cmp::Ordering::Greater => Which::Coming,
        }
    }
}
