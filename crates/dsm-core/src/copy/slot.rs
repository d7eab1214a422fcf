use super::{Copy, State};
use crate::{Access, Epoch};

/// What this rank knows about one page or token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    /// The epoch of the copy; 0 in the initial state.
    pub(super) epoch: Epoch,
    /// None is the initial state.
    pub(super) state: Option<State>,
    /// What was asked for, by a request that is not granted yet.
    pub(super) asked: Option<Access>,
    /// Whether it is a page in its minimum hold time, or a token that is lent.
    pub(super) is_held: bool,
}

impl Slot {
    /// The state before; none if that was the initial one.
    pub(super) fn set(&mut self, Copy { state, epoch }: Copy) -> Option<State> {
        self.epoch = epoch;
        self.state.replace(state)
    }

    /// Whether the page was ever used here, if this rank is its home.
    pub(super) fn is_used(&self) -> bool {
        self.state.is_some_and(|state| state != State::Fresh)
    }
}
