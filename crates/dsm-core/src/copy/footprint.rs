use super::{Copies, Demand, Slot};
use crate::engine::footprint::{Footprint, bytes_of};
use crate::{PageId, Rank};

impl Copies {
    pub(crate) fn footprint(&self) -> Footprint {
        let demands = self.deferred.values().map(|queue| queue.len()).sum();
        let slots = self.pages.iter().count();
        let bytes = bytes_of::<(PageId, Slot)>(slots)
            + bytes_of::<Demand>(demands)
            + bytes_of::<(PageId, Rank)>(self.homes.remembered());
        Footprint { copies: slots as u64, bytes, ..Footprint::default() }
    }
}
