#[cfg(feature = "mutants")]
mod situation;

#[cfg(feature = "mutants")]
pub use situation::{SemaphoreEvent, SemaphoreSituation, SemaphoreValue};

use crate::ObjectId;
use crate::cond::Waiter;
use crate::guests::Guests;
use crate::io::Outputs;
use crate::message::Answer;
use crate::mutant::{Mutant, Planted};
use alloc::collections::{BTreeMap, VecDeque};

/// The counting semaphores this rank is home to (Dijkstra, EWD 123, 1965).
///
/// Invariant: a semaphore is here while its value is not 0 or somebody waits; nobody waits at one whose
/// value is not 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Semaphores {
    planted: Planted,
    in_use: BTreeMap<ObjectId, Semaphore>,
    guests: Guests,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Semaphore {
    value: u32,
    queue: VecDeque<Waiter>,
}

impl Semaphores {
    pub(crate) fn new(planted: Planted) -> Self {
        Self { planted, in_use: BTreeMap::new(), guests: Guests::default() }
    }

    pub(crate) fn on_wait(
        &mut self,
        object: ObjectId,
        waiter: Waiter,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        if self.take(object) {
            waiter.answer(Answer::Done, out);
            return Ok(());
        }
        self.guests.enter(waiter.rank)?;
        self.in_use.entry(object).or_default().queue.push_back(waiter);
        Ok(())
    }

    pub(crate) fn on_try(&mut self, object: ObjectId, caller: Waiter, out: &mut Outputs) {
        caller.answer(if self.take(object) { Answer::Done } else { Answer::Empty }, out);
    }

    pub(crate) fn on_post(&mut self, object: ObjectId, caller: Waiter, out: &mut Outputs) {
        let semaphore = self.in_use.entry(object).or_default();
        let first = match self.planted.is(Mutant::PostToLast) {
            false => semaphore.queue.pop_front(),
            true => semaphore.queue.pop_back(),
        };
        if let Some(waiter) = first {
            self.guests.leave(waiter.rank);
            waiter.answer(Answer::Done, out);
        }
        let raises = match first {
            Some(_) => self.planted.is(Mutant::PostDoubled),
            None => !self.planted.is(Mutant::PostLost),
        };
        match semaphore.value.checked_add(u32::from(raises)) {
            Some(value) => semaphore.value = value,
            None => return caller.answer(Answer::Overflow, out),
        }
        caller.answer(Answer::Done, out);
        self.forget_idle(object);
    }

    /// Sets the value of a semaphore that nobody waits at.
    pub(crate) fn on_set(
        &mut self,
        object: ObjectId,
        value: u32,
        caller: Waiter,
        out: &mut Outputs,
    ) {
        let semaphore = self.in_use.entry(object).or_default();
        if self.planted.is(Mutant::SetBlindly) {
            semaphore.queue.clear();
        }
        if !semaphore.queue.is_empty() {
            return caller.answer(Answer::Busy, out);
        }
        semaphore.value = value;
        caller.answer(Answer::Done, out);
        self.forget_idle(object);
    }

    /// Nobody uses the words of a range any more.
    pub(crate) fn forget(&mut self, first: ObjectId, end: ObjectId) {
        self.in_use.retain(|&object, semaphore| {
            object < first || object >= end || !semaphore.queue.is_empty()
        });
    }

    fn take(&mut self, object: ObjectId) -> bool {
        let Some(semaphore) = self.in_use.get_mut(&object) else { return false };
        if semaphore.value == 0 {
            return false;
        }
        if !self.planted.is(Mutant::ValueKept) {
            semaphore.value -= 1;
        }
        self.forget_idle(object);
        true
    }

    fn forget_idle(&mut self, object: ObjectId) {
        if self.in_use.get(&object).is_some_and(|it| it.value == 0 && it.queue.is_empty()) {
            self.in_use.remove(&object);
        }
    }
}
