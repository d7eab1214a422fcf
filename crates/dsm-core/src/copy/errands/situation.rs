//! What a page is in when another rank has an operation run on it, or nobody uses it any more, for whoever
//! counts which pairs were ever seen.

use crate::copy::{Copies, CopyContent, State};
use crate::{Access, PageId, Rank, Right};
use alloc::collections::BTreeSet;

/// An operation on a word reaches a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationSituation {
    /// Who this rank is to the page.
    pub place: OperationPlace,
    /// What it has of the page.
    pub content: CopyContent,
    /// The access asked for, if a request is under way.
    pub request: Option<Access>,
}

/// Who a rank that is asked to run an operation is to the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationPlace {
    /// The home, which owns it.
    HomeAndOwner,
    /// The home of a page that the asker owns.
    HomeOfAskers,
    /// The home of a page that a third rank owns.
    Home,
    /// Whom the home takes for the owner.
    Owner,
    /// Neither, or nobody's business of who sent it.
    Stranger,
}

/// A run that nobody uses any more, at a rank that is to make its pages zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReclaimSituation {
    /// None of the pages that this rank is home to was ever used.
    Unused,
    /// Those that were are here alone.
    AllHere,
    /// Some of those that were are not.
    SomeElsewhere,
    /// It is being reclaimed already, or is no run of the heap, or somebody else says so.
    Wrong,
}

impl Copies {
    pub(crate) fn operation_situation(
        &self,
        page: PageId,
        place: OperationPlace,
        home: Rank,
    ) -> OperationSituation {
        let copy = self.copy_state(page, home);
        OperationSituation { place, content: copy.content, request: copy.request }
    }

    pub(crate) fn reclaim_situation(&self, run: PageId, pages: u64) -> ReclaimSituation {
        if self.errands.runs.contains_key(&run) {
            return ReclaimSituation::Wrong;
        }
        let end = PageId(run.0.saturating_add(pages));
        let ours =
            self.pages.range(run..end).filter(|(page, _)| self.space.home(*page) == self.rank);
        let states = ours.filter_map(|(_, slot)| slot.state.filter(|_| slot.is_used()));
        let states: BTreeSet<State> = states.collect();
        match states.iter().all(|state| *state == State::Modified) {
            _ if states.is_empty() => ReclaimSituation::Unused,
            true => ReclaimSituation::AllHere,
            false => ReclaimSituation::SomeElsewhere,
        }
    }
}

impl OperationSituation {
    /// Whether the rank may write the page without asking.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        match self.content {
            CopyContent::Fresh => true,
            CopyContent::Invalid => false,
            CopyContent::Open(right) => right != Right::Shared,
        }
    }
}
