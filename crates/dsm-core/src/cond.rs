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
        Self { planted, queues: BTreeMap::new() }
    }

    pub(crate) fn on_wait(&mut self, object: ObjectId, waiter: Waiter, out: &mut Outputs) {
        let queue = self.queues.entry(object).or_default();
        if self.planted.is(Mutant::WaiterUnlisted) {
            queue.clear();
        }
        queue.push_back(waiter);
        waiter.answer(Answer::Queued, out);
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
        let before = queue.len();
        if !self.planted.is(Mutant::LeaverKept) {
            queue.retain(|waiter| *waiter != left);
        }
        let was_woken = queue.len() == before && !self.planted.is(Mutant::LeaverKept);
        leaver.answer(if was_woken { Answer::Woken } else { Answer::Done }, out);
        self.forget_idle(object);
    }

    pub(crate) fn on_signal(&mut self, object: ObjectId, signaller: Waiter, out: &mut Outputs) {
        let queue = self.queues.entry(object).or_default();
        let first = match self.planted.is(Mutant::SignalToLast) {
            false => queue.pop_front(),
            true => queue.pop_back(),
        };
        if let Some(waiter) = first.filter(|_| !self.planted.is(Mutant::WakeUpLost)) {
            waiter.answer(Answer::Woken, out);
        }
        if self.planted.is(Mutant::WakeUpSpurious)
            && let Some(waiter) = queue.pop_front()
        {
            waiter.answer(Answer::Woken, out);
        }
        signaller.answer(Answer::Done, out);
        self.forget_idle(object);
    }

    pub(crate) fn on_broadcast(&mut self, object: ObjectId, caller: Waiter, out: &mut Outputs) {
        let mut queue = self.queues.remove(&object).unwrap_or_default();
        if self.planted.is(Mutant::BroadcastShort) {
            queue.truncate(1);
        }
        for waiter in queue {
            waiter.answer(Answer::Woken, out);
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
