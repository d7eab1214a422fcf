//! What a directory entry is in when something reaches it, for whoever counts which pairs were ever seen.

use super::{Directory, HomeCopy};
use crate::{Access, Message, Rank};

/// A directory entry and what reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HomeSituation {
    /// The entry.
    pub state: HomeState,
    /// What is said to it.
    pub event: HomeEvent,
}

/// All that decides what a home does about one of its pages, but for who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HomeState {
    /// No acks are awaited.
    Idle {
        /// Who may supply the content.
        owner: Owner,
        /// Whether a rank beside owner and asker has a copy.
        others_share: bool,
    },
    /// A writer waits for acks.
    Transfer {
        /// Whether more than one is awaited.
        more_acks: bool,
        /// Whether requests wait for the writer's.
        has_queue: bool,
    },
}

/// Who may supply a page's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The home, and nobody ever used the page.
    FreshHome,
    /// The home.
    Home,
    /// Another rank.
    Other,
}

/// What can be said to a page's home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HomeEvent {
    /// A rank asks for this access.
    Request(Access, Asker),
    /// An ack comes that is awaited.
    Ack,
    /// An ack comes that is not.
    StrayAck,
    /// Somebody gave the only copy up unwritten.
    Unwritten,
    /// Somebody says so of a copy that was never granted.
    StrayUnwritten,
}

/// Who asks, as its home knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asker {
    /// The owner.
    Owner,
    /// A sharer.
    Sharer,
    /// A rank without a copy.
    Outsider,
    /// The writer that waits for acks.
    Writer,
    /// A rank whose request waits.
    Waiting,
    /// A rank whose ack is awaited.
    Acking,
}

impl Directory {
    pub(crate) fn situation(
        &self,
        from: Rank,
        message: &Message,
        home_copy: HomeCopy,
    ) -> Option<HomeSituation> {
        let (page, access) = match *message {
            Message::Request { page, access } => (page, Some(access)),
            Message::Ack { page, .. } | Message::Unwritten { page, .. } => (page, None),
            _ => return None,
        };
        let transfer = self.transfers.get(&page);
        let entry = self.known(page);
        let state = match transfer {
            Some(transfer) => HomeState::Transfer {
                more_acks: transfer.awaited.len() > 1,
                has_queue: !transfer.queue.is_empty(),
            },
            None => {
                let is_home = entry.is_none_or(|entry| entry.owner == self.rank);
                let owner = match (is_home, home_copy) {
                    (true, HomeCopy::Fresh) => Owner::FreshHome,
                    (true, HomeCopy::Used) => Owner::Home,
                    (false, _) => Owner::Other,
                };
                let shares = |rank: Rank| rank != from;
                let others_share = entry.is_some_and(|entry| entry.sharers.ranks().any(shares));
                HomeState::Idle { owner, others_share }
            }
        };
        let awaited = |epoch| transfer.is_some_and(|t| t.awaited.get(from) == Some(epoch));
        let granted = |epoch| entry.is_some_and(|entry| epoch <= entry.epoch);
        let event = match (access, *message) {
            (Some(access), _) => HomeEvent::Request(access, self.asker(from, message)),
            (None, Message::Ack { epoch, .. }) if awaited(epoch) => HomeEvent::Ack,
            (None, Message::Unwritten { epoch, .. }) if granted(epoch) => HomeEvent::Unwritten,
            (None, Message::Unwritten { .. }) => HomeEvent::StrayUnwritten,
            (None, _) => HomeEvent::StrayAck,
        };
        Some(HomeSituation { state, event })
    }

    fn asker(&self, from: Rank, message: &Message) -> Asker {
        let Message::Request { page, .. } = message else { return Asker::Outsider };
        match (self.transfers.get(page), self.known(*page)) {
            (Some(transfer), _) if transfer.requester == from => Asker::Writer,
            (Some(transfer), _) if transfer.queue.iter().any(|q| q.0 == from) => Asker::Waiting,
            (Some(transfer), _) if transfer.awaited.contains(from) => Asker::Acking,
            (_, None) if from == self.rank => Asker::Owner,
            (_, Some(entry)) if entry.owner == from => Asker::Owner,
            (_, Some(entry)) if entry.sharers.contains(from) => Asker::Sharer,
            _ => Asker::Outsider,
        }
    }
}
