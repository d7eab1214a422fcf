use super::{Directory, Entry};
use crate::engine::footprint::{Footprint, bytes_of};
use crate::{Access, Epoch, PageId, Rank};

impl Directory {
    pub(crate) fn footprint(&self) -> Footprint {
        let sharers: usize = self.entries.values().map(|entry| entry.sharers.len()).sum();
        let awaited: usize = self.transfers.values().map(|transfer| transfer.awaited.len()).sum();
        let queued: usize = self.transfers.values().map(|transfer| transfer.queue.len()).sum();
        let bytes = bytes_of::<(PageId, Entry)>(self.entries.len())
            + bytes_of::<(Rank, Epoch)>(sharers + awaited)
            + bytes_of::<(Rank, Access)>(queued);
        let (entries, sharers) = (self.entries.len() as u64, sharers as u64);
        Footprint { entries, sharers, bytes, ..Footprint::default() }
    }
}
