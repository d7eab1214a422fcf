//! What a rank's part of the barrier is in when something reaches it, for whoever counts which pairs were
//! ever seen.

use super::{Barrier, COORDINATOR};
use crate::{BarrierKind, Call, Epoch, Input, Message, Rank};

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
    /// For calls, releases and news of who leaves: which barrier this rank waits at, if any.
    Waits(Option<BarrierKind>),
    /// The same where this rank was told that another one leaves at the barrier it comes to, or waits at.
    Told(Option<BarrierKind>),
    /// For arrivals, at the coordinator: where ranks have arrived, if any has.
    Arrived(Option<BarrierKind>),
    /// For arrivals at the program's barrier, at any other rank: of it and those below it.
    Between(BelowArrived),
    /// For arrivals of ranks that are not below this one, or leave.
    NotThere,
}

/// Who has arrived at a rank that is not the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BelowArrived {
    /// Nobody.
    None,
    /// Itself, or ranks below it.
    Some,
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
    /// The rank above, or for the end of the job the coordinator, opens the barrier.
    Release(BarrierKind),
    /// Another one does, or one that is over or yet to come.
    StrayRelease(BarrierKind),
    /// The coordinator tells that a rank leaves at the barrier that this rank comes to, or waits at.
    Leaving,
    /// It does, at the barrier after the one this rank waits at.
    LeavingNext,
    /// Another one does, or at another barrier, or where all arrive at the coordinator.
    StrayLeaving,
}

impl Barrier {
    pub(crate) fn situation(&self, rank: Rank, input: &Input) -> Option<BarrierSituation> {
        let waits = self.waiting.map(|(_, kind)| kind);
        let waits = match self.told() {
            None => BarrierState::Waits(waits),
            Some(_) => BarrierState::Told(waits),
        };
        let (state, event) = match *input {
            Input::Call { call: Call::Barrier(kind), .. } => (waits, BarrierEvent::Call(kind)),
            Input::Message { from, message: Message::BarrierRelease { kind, epoch } } => {
                let is_due = from == self.releases(kind) && epoch == self.passed;
                let stray = BarrierEvent::StrayRelease(kind);
                (waits, if is_due { BarrierEvent::Release(kind) } else { stray })
            }
            Input::Message { from, message: Message::Leaving { rank: leaver, epoch } } => {
                (waits, self.leaving_event(from, leaver, epoch))
            }
            Input::Message { from, message: Message::BarrierArrive { kind, epoch } } => {
                let is_last = self.arrived.len() + 1 == self.awaited(kind);
                let is_last = is_last && self.is_expected(from, kind);
                let event = match epoch == self.passed && !self.arrived.contains_key(&from) {
                    true if is_last => BarrierEvent::LastArrives(kind),
                    true => BarrierEvent::Arrive(kind),
                    false => BarrierEvent::StrayArrive(kind),
                };
                (self.arrival_state(rank, from, kind), event)
            }
            _ => return None,
        };
        Some(BarrierSituation { state, event })
    }

    fn leaving_event(&self, from: Rank, leaver: Rank, epoch: Epoch) -> BarrierEvent {
        let is_told = from == COORDINATOR && leaver != self.rank && !self.tree.is_flat();
        match is_told {
            true if epoch == self.passed => BarrierEvent::Leaving,
            true if epoch == self.passed.next() && self.leaving.is_none() => {
                BarrierEvent::LeavingNext
            }
            _ => BarrierEvent::StrayLeaving,
        }
    }

    fn arrival_state(&self, rank: Rank, from: Rank, kind: BarrierKind) -> BarrierState {
        match self.arrived.values().next() {
            _ if !self.is_expected(from, kind) => BarrierState::NotThere,
            arrived if rank == COORDINATOR => BarrierState::Arrived(arrived.copied()),
            None => BarrierState::Between(BelowArrived::None),
            Some(_) => BarrierState::Between(BelowArrived::Some),
        }
    }
}
