use super::{Directory, Entry};
use crate::engine::footprint::{Footprint, bytes_of};
use crate::{Access, Epoch, PageId, Rank};

impl Directory {
    pub(crate) fn footprint(&self) -> Footprint {
        let sharers: usize = self.listed().map(|entry| entry.sharers.len()).sum();
        let sets = self.listed().map(|entry| &entry.sharers);
        let sets = sets.chain(self.transfers.values().map(|transfer| &transfer.awaited));
        // The first of each is in the set itself.
        let beside: usize = sets.map(|set| set.len().saturating_sub(1)).sum();
        let queued: usize = self.transfers.values().map(|transfer| transfer.queue.len()).sum();
        let bytes = bytes_of::<(PageId, Entry)>(self.listed().count())
            + bytes_of::<(Rank, Epoch)>(beside)
            + bytes_of::<(Rank, Access)>(queued);
        let (entries, sharers) = (self.listed().count() as u64, sharers as u64);
        Footprint { entries, sharers, bytes, ..Footprint::default() }
    }

    fn listed(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter_map(|(_, entry)| entry.as_ref())
    }
}
