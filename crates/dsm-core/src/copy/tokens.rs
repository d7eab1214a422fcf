//! What a rank has of a lock's token when something reaches it, for whoever counts which pairs were ever
//! seen.

use super::{Copies, CopyContent, Which};
use crate::{Access, Call, Input, Message, PageId, Payload, Rank, Right};

/// What a rank has of a token, and what reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenSituation {
    /// What it has.
    pub state: TokenState,
    /// What happens.
    pub event: TokenEvent,
}

/// All that decides what a rank does about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenState {
    /// What the rank has.
    pub content: CopyContent,
    /// The access asked for, if a request is under way.
    pub request: Option<Access>,
    /// Whether the rank's threads may use it.
    pub lent: Lent,
    /// Whether demands are put off.
    pub puts_off: bool,
}

/// Whether a rank's threads may use a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lent {
    /// They may not.
    No,
    /// Once the pages are here that come with it.
    Withheld,
    /// They may.
    Yes,
}

/// What can happen to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenEvent {
    /// A thread asks for it.
    Acquire(Access),
    /// The threads give it up, but for this.
    Surrender(Access),
    /// A forward comes, for this right, about this copy.
    Forward(Right, Which),
    /// An invalidation comes, about this copy.
    Invalidate(Which),
    /// A grant comes.
    Grant(Right, Payload),
}

impl Copies {
    pub(crate) fn token_situation(&self, input: &Input, home: Rank) -> Option<TokenSituation> {
        let (token, event) = match *input {
            Input::Call { call, .. } => match call {
                Call::Acquire { object, access } => {
                    (self.space.token(object), TokenEvent::Acquire(access))
                }
                Call::Surrender { object, keep } => {
                    (self.space.token(object), TokenEvent::Surrender(keep))
                }
                _ => return None,
            },
            Input::Message { message, .. } => match message {
                Message::Forward { page, right, have, .. } => {
                    (page, TokenEvent::Forward(right, self.which(page, have, home)))
                }
                Message::Invalidate { page, have } => {
                    (page, TokenEvent::Invalidate(self.which(page, have, home)))
                }
                Message::Grant { page, right, payload, .. } => {
                    (page, TokenEvent::Grant(right, payload))
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(TokenSituation { state: self.token_state(token, home), event })
    }

    fn token_state(&self, token: PageId, home: Rank) -> TokenState {
        let copy = self.copy_state(token, home);
        let lent = match copy.is_held {
            true if self.is_withheld(token) => Lent::Withheld,
            true => Lent::Yes,
            false => Lent::No,
        };
        TokenState { content: copy.content, request: copy.request, lent, puts_off: copy.puts_off }
    }
}
