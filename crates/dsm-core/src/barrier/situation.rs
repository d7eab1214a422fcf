//! What a rank's part of the barrier is in when something reaches it, for whoever counts which pairs were
//! ever seen.

use super::{Barrier, COORDINATOR};
use crate::{BarrierKind, Call, Input, Message, Rank};

/// A rank's part of the barrier and what reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BarrierSituation {
    /// What the rank knows.
    pub state: BarrierState,
    /// What happens.
    pub event: BarrierEvent,
}

/// All that decides what a rank does about the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BarrierState {
    /// For calls and releases: which barrier this rank waits at, if any.
    Waits(Option<BarrierKind>),
    /// For arrivals, at the coordinator: where ranks have arrived, if any has.
    Arrived(Option<BarrierKind>),
    /// For arrivals, at any other rank.
    NotCoordinator,
}

/// What can happen at the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BarrierEvent {
    /// A thread of this rank calls.
    Call(BarrierKind),
    /// A rank arrives, not the last one.
    Arrive(BarrierKind),
    /// The last rank arrives.
    LastArrives(BarrierKind),
    /// A rank arrives that is here already, or at a barrier that is over or yet to come.
    StrayArrive(BarrierKind),
    /// The coordinator opens the barrier.
    Release(BarrierKind),
}

impl Barrier {
    pub(crate) fn situation(&self, rank: Rank, input: &Input) -> Option<BarrierSituation> {
        let waits = BarrierState::Waits(self.waiting.map(|(_, kind)| kind));
        let (state, event) = match *input {
            Input::Call { call: Call::Barrier(kind), .. } => (waits, BarrierEvent::Call(kind)),
            Input::Message { message: Message::BarrierRelease { kind, .. }, .. } => {
                (waits, BarrierEvent::Release(kind))
            }
            Input::Message { from, message: Message::BarrierArrive { kind, epoch } } => {
                let is_last = self.arrived.len() + 1 == usize::from(self.nodes);
                let event = match epoch == self.passed && !self.arrived.contains_key(&from) {
                    true if is_last => BarrierEvent::LastArrives(kind),
                    true => BarrierEvent::Arrive(kind),
                    false => BarrierEvent::StrayArrive(kind),
                };
                let arrived = BarrierState::Arrived(self.arrived.values().next().copied());
                (if rank == COORDINATOR { arrived } else { BarrierState::NotCoordinator }, event)
            }
            _ => return None,
        };
        Some(BarrierSituation { state, event })
    }
}
