use super::{COORDINATOR, Waiter};
use crate::memory::Memory;
use crate::{Broken, Promise};
use dsm_core::{Answer, PageId, Rank, Space};
use std::collections::{BTreeMap, BTreeSet};

/// Which runs of the heap's pages are taken, and which are being made zero. Where a run is to be found is
/// not prescribed; that it overlaps no other is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Runs {
    nodes: u16,
    first: u64,
    end: u64,
    /// By first page: how many, and who got them.
    taken: BTreeMap<u64, (u64, Rank)>,
    /// By first page: how many, and which ranks have not said that theirs are zero.
    reclaimed: BTreeMap<u64, (u64, BTreeSet<Rank>)>,
    asked: BTreeMap<Waiter, u64>,
}

impl Runs {
    pub(crate) fn new(space: Space) -> Self {
        // The first page of the heap is for the heap itself.
        let (first, end) = ((space.area_pages + 1).min(space.pages), space.pages);
        let (taken, reclaimed) = (BTreeMap::new(), BTreeMap::new());
        Self { nodes: space.nodes, first, end, taken, reclaimed, asked: BTreeMap::new() }
    }

    pub(super) fn on_take(&mut self, asker: Waiter, pages: u64) {
        self.asked.insert(asker, pages);
    }

    /// How many pages a call asks for that waits for a run.
    pub(super) fn asked(&mut self, asker: Waiter) -> Option<u64> {
        self.asked.remove(&asker)
    }

    /// The coordinator answers that somebody gets so many pages, or does not.
    pub(super) fn on_answer(
        &mut self,
        (owner, pages): (Rank, u64),
        answer: Answer,
        memory: &mut Memory,
    ) -> Result<(), Broken> {
        let how = match answer {
            Answer::Run(PageId(first)) if first < self.first || first + pages > self.end => {
                format!("a run of {pages} pages from {first} is not in the heap")
            }
            Answer::Run(PageId(first)) if self.in_use(first, first + pages) => {
                format!("a run of {pages} pages from {first} overlaps one in use")
            }
            Answer::Run(first) => {
                self.taken.insert(first.0, (pages, owner));
                return memory.hand_out(first, pages);
            }
            Answer::Exhausted if self.longest_unused() >= pages + self.promised() => {
                format!("a run of {pages} pages is refused, and there is one")
            }
            Answer::Exhausted => return Ok(()),
            other => format!("who asks for a run hears {other:?}"),
        };
        Err(Broken::new(Promise::Runs, how))
    }

    pub(super) fn on_give(&mut self, first: PageId) -> Answer {
        let Some((pages, _)) = self.taken.remove(&first.0) else { return Answer::NotTaken };
        let all = (0..self.nodes).map(Rank).collect();
        self.reclaimed.insert(first.0, (pages, all));
        Answer::Done
    }

    pub(super) fn on_reclaimed(&mut self, from: Rank, first: PageId) {
        if let Some((_, awaited)) = self.reclaimed.get_mut(&first.0) {
            awaited.remove(&from);
            if awaited.is_empty() {
                self.reclaimed.remove(&first.0);
            }
        }
    }

    pub(super) fn owner(&self, page: PageId) -> Answer {
        let holds =
            |(first, taken): &(&u64, &(u64, Rank))| **first <= page.0 && page.0 < **first + taken.0;
        let run = self.taken.iter().find(holds);
        run.map_or(Answer::NotTaken, |(_, (_, owner))| Answer::Owner(*owner))
    }

    /// The first page of the first run that somebody has.
    pub(crate) fn first_taken(&self) -> Option<PageId> {
        self.taken.keys().next().copied().map(PageId)
    }

    /// What threads of the coordinator itself may have been given just now and hear of next.
    fn promised(&self) -> u64 {
        let own = self.asked.iter().filter(|((rank, _), _)| *rank == COORDINATOR);
        own.map(|(_, pages)| pages).sum()
    }

    fn in_use(&self, first: u64, end: u64) -> bool {
        let taken = self.taken.iter().map(|(first, (pages, _))| (*first, *pages));
        let reclaimed = self.reclaimed.iter().map(|(first, (pages, _))| (*first, *pages));
        taken.chain(reclaimed).any(|(other, pages)| other < end && first < other + pages)
    }

    /// How long a run there would be once everything is zero that is being made so.
    fn longest_unused(&self) -> u64 {
        let ends = self.taken.keys().copied().chain([self.end]);
        let starts = [self.first].into_iter();
        let starts = starts.chain(self.taken.iter().map(|(first, (pages, _))| first + pages));
        starts.zip(ends).map(|(start, end)| end.saturating_sub(start)).max().unwrap_or(0)
    }
}
