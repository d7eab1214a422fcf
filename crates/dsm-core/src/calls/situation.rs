//! What a call of this rank is in when an answer comes, for whoever counts which pairs were ever seen.

use super::{Calls, UnderWay, answers, is_operation};
use crate::{Answer, CallId, Rank};

/// A call of this rank, and an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallSituation {
    /// The call.
    pub state: CallState,
    /// The answer.
    pub event: CallEvent,
}

/// What answers a call may still have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallState {
    /// None: it is not under way.
    Nothing,
    /// One.
    Single,
    /// That its thread is in a queue, and later that it was woken.
    Queueing,
    /// That its thread was woken.
    Waiting,
    /// Whether its thread, that wants to leave a queue, was woken.
    Leaving,
    /// Whether somebody has a lock, from several ranks; whether the thread has heard of one.
    Probing {
        /// It has.
        told: bool,
    },
    /// The same, from one rank.
    ProbingLast {
        /// It has.
        told: bool,
    },
}

/// What can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallEvent {
    /// What fits a call that has one answer.
    Fitting,
    /// The thread is in a queue.
    Queued,
    /// The thread was woken.
    Woken,
    /// The thread was not woken; nobody has the lock.
    Done,
    /// Somebody has the lock.
    Held,
    /// Something that is no answer to this.
    Unfit,
    /// Any of these, from a rank that was not asked, or not still.
    FromStranger,
}

impl Calls {
    pub(crate) fn situation(&self, from: Rank, id: CallId, answer: Answer) -> CallSituation {
        let (state, asked) = match self.under_way.get(&id) {
            None => (CallState::Nothing, true),
            Some(UnderWay::Single { ask, from: asked }) => {
                (CallState::Single, *asked == from || is_operation(*ask))
            }
            Some(UnderWay::Queueing { home }) => (CallState::Queueing, *home == from),
            Some(UnderWay::Waiting { home }) => (CallState::Waiting, *home == from),
            Some(UnderWay::Leaving { home, .. }) => (CallState::Leaving, *home == from),
            Some(&UnderWay::Probing { ref left, told }) => match left.len() {
                1 => (CallState::ProbingLast { told }, left.contains(&from)),
                _ => (CallState::Probing { told }, left.contains(&from)),
            },
        };
        let event = match (self.under_way.get(&id), answer) {
            _ if !asked => CallEvent::FromStranger,
            (Some(UnderWay::Single { ask, .. }), _) => match answers(*ask, answer, &self.space) {
                true => CallEvent::Fitting,
                false => CallEvent::Unfit,
            },
            (_, Answer::Queued) => CallEvent::Queued,
            (_, Answer::Woken) => CallEvent::Woken,
            (_, Answer::Done) => CallEvent::Done,
            (_, Answer::Held { .. }) => CallEvent::Held,
            _ => CallEvent::Unfit,
        };
        CallSituation { state, event }
    }
}
