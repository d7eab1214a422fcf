#[cfg(feature = "mutants")]
mod situation;

#[cfg(feature = "mutants")]
pub use situation::{GatheringEvent, GatheringSituation};

use crate::ObjectId;
use crate::cond::Waiter;
use crate::guests::Guests;
use crate::io::Outputs;
use crate::message::Answer;
use crate::mutant::{Mutant, Planted};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The barriers of a count of threads that this rank is home to.
///
/// Invariant: a barrier is here while somebody waits at it, and fewer wait than it is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Gatherings {
    planted: Planted,
    under_way: BTreeMap<ObjectId, Gathering>,
    guests: Guests,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Gathering {
    count: u32,
    arrived: Vec<Waiter>,
}

impl Gatherings {
    pub(crate) fn new(planted: Planted) -> Self {
        Self { planted, under_way: BTreeMap::new(), guests: Guests::default() }
    }

    pub(crate) fn on_wait(
        &mut self,
        object: ObjectId,
        count: u32,
        waiter: Waiter,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let new = || Gathering { count, arrived: Vec::new() };
        let gathering = self.under_way.entry(object).or_insert_with(new);
        if gathering.count != count && !self.planted.is(Mutant::CountIgnored) {
            waiter.answer(Answer::CountDiffers, out);
            return Ok(());
        }
        self.guests.enter(waiter.rank)?;
        gathering.arrived.push(waiter);
        let missing = u32::from(self.planted.is(Mutant::GatheringShort) && count > 1);
        if gathering.arrived.len() as u64 >= u64::from(count - missing) {
            let arrived = self.under_way.remove(&object).map_or_else(Vec::new, |it| it.arrived);
            self.release(arrived, waiter, out);
        }
        Ok(())
    }

    fn release(&mut self, arrived: Vec<Waiter>, last: Waiter, out: &mut Outputs) {
        let told = arrived.len() - usize::from(self.planted.is(Mutant::GatheringUnreleased));
        for waiter in arrived.into_iter().take(told) {
            self.guests.leave(waiter.rank);
            let is_serial = waiter == last || self.planted.is(Mutant::SerialToAll);
            waiter.answer(if is_serial { Answer::Serial } else { Answer::Done }, out);
        }
    }
}
