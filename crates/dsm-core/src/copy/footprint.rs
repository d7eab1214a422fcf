use super::{Copies, Copy, Demand};
use crate::engine::footprint::{Footprint, bytes_of};
use crate::{Access, PageId, Rank};

impl Copies {
    pub(crate) fn footprint(&self) -> Footprint {
        let demands = self.deferred.values().map(|queue| queue.len()).sum();
        let bytes = bytes_of::<(PageId, Copy)>(self.pages.len())
            + bytes_of::<(PageId, Access)>(self.pending.len())
            + bytes_of::<PageId>(self.held.len())
            + bytes_of::<Demand>(demands)
            + bytes_of::<(PageId, Rank)>(self.homes.remembered());
        Footprint { copies: self.pages.len() as u64, bytes, ..Footprint::default() }
    }
}
