#[cfg(feature = "mutants")]
mod situation;

#[cfg(feature = "mutants")]
pub use situation::{CondEvent, CondSituation, Few};

use crate::guests::Guests;
use crate::io::Outputs;
use crate::message::{Answer, CallId};
use crate::mutant::{Mutant, Planted};
use crate::{ObjectId, Rank};
use alloc::collections::{BTreeMap, VecDeque};

/// The condition variables this rank is home to.
///
/// Waiting, signalling and leaving take effect here, one after the other, and each is answered: a thread
/// is in the queue before it lets its mutex go, and a signal is over before whoever sent it goes on. So
/// none is lost, and none wakes a thread that came after it.
///
/// Invariant: a condition variable is here while somebody waits at it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Conds {
    planted: Planted,
    queues: BTreeMap<ObjectId, VecDeque<Waiter>>,
    guests: Guests,
}

/// A thread that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Waiter {
    pub(crate) rank: Rank,
    pub(crate) id: CallId,
}

impl Waiter {
    pub(crate) fn answer(self, answer: Answer, out: &mut Outputs) {
        out.answer(self.rank, self.id, answer);
    }
}

impl Conds {
    pub(crate) fn new(planted: Planted) -> Self {
        Self { planted, queues: BTreeMap::new(), guests: Guests::default() }
    }

    pub(crate) fn on_wait(
        &mut self,
        object: ObjectId,
        waiter: Waiter,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        self.guests.enter(waiter.rank)?;
        let queue = self.queues.entry(object).or_default();
        if self.planted.is(Mutant::WaiterUnlisted) {
            queue.clear();
        }
        queue.push_back(waiter);
        waiter.answer(Answer::Queued, out);
        Ok(())
    }

    /// A waiter that is not in the queue any more was woken, and hears of that first.
    pub(crate) fn on_leave(
        &mut self,
        object: ObjectId,
        left: Waiter,
        leaver: Waiter,
        out: &mut Outputs,
    ) {
        let queue = self.queues.entry(object).or_default();
        let place = queue.iter().position(|waiter| *waiter == left);
        if let Some(place) = place
            && !self.planted.is(Mutant::LeaverKept)
        {
            queue.remove(place);
            self.guests.leave(left.rank);
        }
        let was_woken = place.is_none() && !self.planted.is(Mutant::LeaverMisled);
        leaver.answer(if was_woken { Answer::Woken } else { Answer::Done }, out);
        self.forget_idle(object);
    }

    pub(crate) fn on_signal(&mut self, object: ObjectId, signaller: Waiter, out: &mut Outputs) {
        let queue = self.queues.entry(object).or_default();
        let first = match self.planted.is(Mutant::SignalToLast) {
            false => queue.pop_front(),
            true => queue.pop_back(),
        };
        let spurious = self.planted.is(Mutant::WakeUpSpurious);
        let second = if spurious { queue.pop_front() } else { None };
        for waiter in first.into_iter().chain(second) {
            self.guests.leave(waiter.rank);
            if !self.planted.is(Mutant::WakeUpLost) {
                waiter.answer(Answer::Woken, out);
            }
        }
        signaller.answer(Answer::Done, out);
        self.forget_idle(object);
    }

    pub(crate) fn on_broadcast(&mut self, object: ObjectId, caller: Waiter, out: &mut Outputs) {
        let queue = self.queues.remove(&object).unwrap_or_default();
        for waiter in queue {
            self.guests.leave(waiter.rank);
            waiter.answer(Answer::Woken, out);
            if self.planted.is(Mutant::BroadcastShort) {
                break;
            }
        }
        caller.answer(Answer::Done, out);
    }

    pub(crate) fn on_destroy(&self, object: ObjectId, caller: Waiter, out: &mut Outputs) {
        let in_use = self.queues.contains_key(&object);
        caller.answer(if in_use { Answer::Busy } else { Answer::Done }, out);
    }

    fn forget_idle(&mut self, object: ObjectId) {
        if self.queues.get(&object).is_some_and(VecDeque::is_empty) {
            self.queues.remove(&object);
        }
    }
}
