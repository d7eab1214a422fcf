#[cfg(feature = "mutants")]
mod situation;

#[cfg(feature = "mutants")]
pub use situation::{RunEvent, RunSituation};

use crate::barrier::COORDINATOR;
use crate::cond::Waiter;
use crate::guests::Guests;
use crate::io::Outputs;
use crate::message::{Answer, Message};
use crate::mutant::{Mutant, Planted};
use crate::{PageId, Rank, Space};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

/// The heap's pages, at the coordinator: which runs of them are taken, and which are free and zero.
///
/// Free runs are found by best fit (Knuth, "The Art of Computer Programming" 1, section 2.5). A run given
/// back is free once every rank has made the pages it is home to zero.
///
/// Invariant: free, taken and reclaimed runs do not overlap, and free ones do not touch each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Runs {
    nodes: u16,
    planted: Planted,
    /// By first page.
    free: BTreeMap<u64, u64>,
    /// The same by length.
    by_length: BTreeSet<(u64, u64)>,
    taken: BTreeMap<u64, Taken>,
    reclaimed: BTreeMap<u64, Reclaim>,
    /// Who waits for a run that is being reclaimed.
    waiting: VecDeque<(Waiter, u64)>,
    guests: Guests,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Taken {
    pages: u64,
    owner: Rank,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Reclaim {
    pages: u64,
    awaited: BTreeSet<Rank>,
}

impl Runs {
    pub(crate) fn new(rank: Rank, space: Space, planted: Planted) -> Self {
        let mut runs = Self {
            nodes: space.nodes,
            planted,
            free: BTreeMap::new(),
            by_length: BTreeSet::new(),
            taken: BTreeMap::new(),
            reclaimed: BTreeMap::new(),
            waiting: VecDeque::new(),
            guests: Guests::default(),
        };
        if rank == COORDINATOR {
            // The first page holds the roots of the heap itself.
            let first = space.area_pages + 1;
            runs.release(first, space.pages.saturating_sub(first));
        }
        runs
    }

    pub(crate) fn on_take(
        &mut self,
        pages: u64,
        caller: Waiter,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        if pages == 0 {
            return Err("a run has pages");
        }
        match self.take(pages, caller.rank) {
            Some(first) => caller.answer(Answer::Run(PageId(first)), out),
            // What is being made zero may be enough.
            None if !self.reclaimed.is_empty() && !self.planted.is(Mutant::RefusedEarly) => {
                self.guests.enter(caller.rank)?;
                self.waiting.push_back((caller, pages));
            }
            None => caller.answer(Answer::Exhausted, out),
        }
        Ok(())
    }

    /// The caller hears at once; the pages are free when they are zero.
    pub(crate) fn on_give(&mut self, first: PageId, caller: Waiter, out: &mut Outputs) {
        let Some(Taken { pages, .. }) = self.taken.remove(&first.0) else {
            return caller.answer(Answer::NotTaken, out);
        };
        caller.answer(Answer::Done, out);
        if self.planted.is(Mutant::RunUncleared) {
            return self.release(first.0, pages);
        }
        let all = (0..self.nodes).map(Rank);
        self.reclaimed.insert(first.0, Reclaim { pages, awaited: all.clone().collect() });
        for rank in all {
            out.send(rank, Message::Reclaim { first, pages }, None);
        }
    }

    pub(crate) fn on_owner(&self, page: PageId, caller: Waiter, out: &mut Outputs) {
        let run = self.taken.range(..=page.0).next_back();
        let answer = match run {
            Some((first, taken)) if page.0 - first < taken.pages => Answer::Owner(taken.owner),
            _ => Answer::NotTaken,
        };
        caller.answer(answer, out);
    }

    pub(crate) fn on_reclaimed(
        &mut self,
        from: Rank,
        first: PageId,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let reclaim = self.reclaimed.get_mut(&first.0).ok_or("a run is being reclaimed")?;
        if !reclaim.awaited.remove(&from) {
            return Err("a rank reclaims a run once");
        }
        if reclaim.awaited.is_empty() || self.planted.is(Mutant::OneReclaimEnough) {
            let pages = reclaim.pages;
            self.reclaimed.remove(&first.0);
            self.release(first.0, pages);
            if self.planted.is(Mutant::TakerForgotten) {
                return Ok(());
            }
            for (caller, pages) in core::mem::take(&mut self.waiting) {
                self.guests.leave(caller.rank);
                self.on_take(pages, caller, out)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, pages: u64, owner: Rank) -> Option<u64> {
        let (length, first) = *self.by_length.range((pages, 0)..).next()?;
        self.forget_free(first, length);
        if length > pages {
            self.insert_free(first + pages, length - pages);
        }
        if self.planted.is(Mutant::RunTwice) {
            self.insert_free(first, pages);
        }
        self.taken.insert(first, Taken { pages, owner });
        Some(first)
    }

    /// Adds a run to the free ones, together with those it touches.
    fn release(&mut self, mut first: u64, mut pages: u64) {
        if pages == 0 {
            return;
        }
        if self.planted.is(Mutant::RunsApart) {
            return self.insert_free(first, pages);
        }
        if let Some((&before, &length)) = self.free.range(..first).next_back()
            && before + length == first
        {
            self.forget_free(before, length);
            (first, pages) = (before, length + pages);
        }
        if let Some(&length) = self.free.get(&(first + pages)) {
            self.forget_free(first + pages, length);
            pages += length;
        }
        self.insert_free(first, pages);
    }

    fn insert_free(&mut self, first: u64, pages: u64) {
        self.free.insert(first, pages);
        self.by_length.insert((pages, first));
    }

    fn forget_free(&mut self, first: u64, pages: u64) {
        self.free.remove(&first);
        self.by_length.remove(&(pages, first));
    }
}
