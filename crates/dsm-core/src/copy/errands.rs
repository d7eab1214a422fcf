#[cfg(feature = "mutants")]
mod situation;

#[cfg(feature = "mutants")]
pub use situation::{OperationPlace, OperationSituation, ReclaimSituation};

use super::{Copies, Slot, State};
use crate::barrier::COORDINATOR;
use crate::guests::Guests;
use crate::io::{Outputs, Task};
use crate::message::{CallId, Message};
use crate::mutant::Mutant;
use crate::{Access, Output, PageId, Rank};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

/// What the engine itself wants of pages, once this rank may write them: the operations that other ranks
/// have it run on a word, and the clearing of pages nobody uses any more.
///
/// Invariant: a page with errands is one this rank may write, or has asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Errands {
    of_pages: BTreeMap<PageId, VecDeque<Errand>>,
    /// Runs being cleared, by their first page.
    runs: BTreeMap<PageId, Run>,
    /// Whose operations wait for pages.
    guests: Guests,
    /// Pages of cleared runs that were open here, or asked for: their memory is given back when they go.
    stale: BTreeSet<PageId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Run {
    pages: u64,
    /// How many of the pages this rank is home to are in use still.
    left: u64,
}

/// One thing to do with a page that this rank may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Errand {
    /// Run an operation on a word.
    Operate { asker: Rank, id: CallId, task: Task },
    /// Let the page be as if it had never been used, for the run that begins at this page.
    Clear { run: PageId },
}

impl Copies {
    pub(crate) fn on_errand(
        &mut self,
        page: PageId,
        errand: Errand,
        home: Rank,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        match errand {
            Errand::Operate { asker, .. } if asker != self.rank => {
                self.errands.guests.enter(asker)?;
            }
            Errand::Operate { .. } | Errand::Clear { .. } => {}
        }
        self.on_own_errand(page, errand, home, out);
        Ok(())
    }

    /// One that no other rank asks for.
    pub(crate) fn on_own_errand(
        &mut self,
        page: PageId,
        errand: Errand,
        home: Rank,
        out: &mut Outputs,
    ) {
        self.errands.of_pages.entry(page).or_default().push_back(errand);
        self.run_errands(page, home, out);
    }

    /// Makes the pages of a run that this rank is home to as if they had never been used, and what this
    /// rank has of the run zero; says so with [`Message::Reclaimed`].
    pub(crate) fn on_reclaim(
        &mut self,
        run: PageId,
        pages: u64,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        if self.errands.runs.contains_key(&run) {
            return Err("a run is reclaimed once");
        }
        let (home, end) = (self.rank, PageId(run.0 + pages));
        let is_ours = |page: &PageId| self.space.home(*page) == home;
        let used = self.pages.range(run..end).filter(|(_, slot)| slot.is_used());
        let used: Vec<PageId> = used.map(|(page, _)| page).filter(is_ours).collect();
        // One more than there are, so that the run is not done before all are asked for.
        self.errands.runs.insert(run, Run { pages, left: 1 + used.len() as u64 });
        for page in used {
            self.on_own_errand(page, Errand::Clear { run }, home, out);
        }
        self.cleared(run, out);
        Ok(())
    }

    pub(super) fn run_errands(&mut self, page: PageId, home: Rank, out: &mut Outputs) {
        while let Some(queue) = self.errands.of_pages.get_mut(&page) {
            let Some(errand) = queue.front().copied() else {
                self.errands.of_pages.remove(&page);
                return;
            };
            let state = self.pages.get(page).and_then(|slot| slot.state);
            let unowned = self.planted.is(Mutant::OperatedUnowned);
            if !state.is_some_and(|state| state == State::Modified || unowned) {
                // Granted at once or asked for; either way the errands are looked at again when it opens.
                return self.on_fault(page, Access::Write, home, out);
            }
            match errand {
                Errand::Operate { asker, id, task } => {
                    queue.pop_front();
                    if asker != self.rank {
                        self.errands.guests.leave(asker);
                    }
                    out.push(Output::Serve { asker, id, task });
                }
                // Demands were made by threads that used the page until its end; they go first.
                Errand::Clear { .. } if self.deferred.contains_key(&page) => return,
                // So do those that this rank as the home makes just now: somebody reads ahead, who knows nothing of
                // blocks, and asked while the page was taken away for this.
                Errand::Clear { .. } if out.demands(page) => return,
                Errand::Clear { run } => {
                    queue.pop_front();
                    if !self.planted.is(Mutant::ClearForgotten) {
                        self.pages.at(page).state = Some(State::Fresh);
                    }
                    // Nobody uses it: the end of its hold time may come later.
                    self.pages.at(page).is_held = false;
                    out.push(Output::Protect { page, access: Access::None });
                    self.cleared(run, out);
                }
            }
        }
    }

    fn cleared(&mut self, run: PageId, out: &mut Outputs) {
        let state = self.errands.runs.get_mut(&run).expect("a page is cleared for a run");
        state.left -= 1;
        if state.left == 0 {
            let end = PageId(run.0 + state.pages);
            self.errands.runs.remove(&run);
            self.give_memory_back(run, end, out);
            out.send(COORDINATOR, Message::Reclaimed { first: run }, None);
        }
    }

    /// Nothing may be missing from a page that is open, nor from one whose content may be coming in: the
    /// memory of those is given back when they go, which their homes see to.
    fn give_memory_back(&mut self, mut first: PageId, end: PageId, out: &mut Outputs) {
        let is_open = |slot: &Slot| slot.state.is_some_and(|state| state.access() > Access::None);
        let stays = |(_, slot): &(PageId, &Slot)| is_open(slot) || slot.asked.is_some();
        let kept = self.pages.range(first..end).filter(stays);
        let mut kept: BTreeSet<PageId> = kept.map(|(page, _)| page).collect();
        if self.planted.is(Mutant::ClearedOpen) {
            kept.clear();
        }
        for &page in &kept {
            clear(first, page, out);
            first = PageId(page.0 + 1);
        }
        clear(first, end, out);
        self.errands.stale.extend(kept);
    }

    /// A page is closed here, and sent where it was wanted.
    pub(super) fn on_closed(&mut self, page: PageId, out: &mut Outputs) {
        if self.errands.stale.remove(&page) {
            clear(page, PageId(page.0 + 1), out);
        }
    }
}

fn clear(first: PageId, end: PageId, out: &mut Outputs) {
    if first < end {
        out.push(Output::Clear { first, pages: end.0 - first.0 });
    }
}
