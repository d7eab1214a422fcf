//! What the coordinator knows of the heap's pages when something reaches it, for whoever counts which pairs
//! were ever seen.

use super::Runs;
use crate::cond::Few;
use crate::{Ask, PageId, Rank};

/// The heap's pages at the coordinator, and what reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunSituation {
    /// How many runs are being made zero.
    pub reclaimed: Few,
    /// Whether somebody waits for that.
    pub has_waiting: bool,
    /// What happens.
    pub event: RunEvent,
}

/// What can happen to the heap's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunEvent {
    /// Somebody asks for a run, and there is one.
    Take,
    /// Somebody asks for a run longer than any.
    TakeTooLong,
    /// Somebody gives a run back.
    Give,
    /// Somebody gives back what is no run.
    GiveNothing,
    /// Somebody asks who got a run.
    Owner,
    /// Somebody asks who got what nobody got.
    OwnerOfNothing,
    /// A rank's pages are zero, and those of others are not.
    Reclaimed,
    /// The last rank's pages are zero.
    ReclaimedLast,
    /// A rank says so that said it before, or of what is no run.
    ReclaimedStray,
}

impl Runs {
    pub(crate) fn asked(&self, page: PageId, ask: Ask) -> Option<RunSituation> {
        let event = match ask {
            Ask::RunTake { pages } if self.by_length.range((pages, 0)..).next().is_some() => {
                RunEvent::Take
            }
            Ask::RunTake { .. } => RunEvent::TakeTooLong,
            Ask::RunGive if self.taken.contains_key(&page.0) => RunEvent::Give,
            Ask::RunGive => RunEvent::GiveNothing,
            Ask::RunOwner => {
                let run = self.taken.range(..=page.0).next_back();
                match run.is_some_and(|(first, taken)| page.0 - first < taken.pages) {
                    true => RunEvent::Owner,
                    false => RunEvent::OwnerOfNothing,
                }
            }
            _ => return None,
        };
        Some(self.situation(event))
    }

    pub(crate) fn reclaimed(&self, from: Rank, first: PageId) -> RunSituation {
        let awaited = self.reclaimed.get(&first.0).map(|reclaim| &reclaim.awaited);
        self.situation(match awaited {
            Some(awaited) if awaited.contains(&from) && awaited.len() == 1 => {
                RunEvent::ReclaimedLast
            }
            Some(awaited) if awaited.contains(&from) => RunEvent::Reclaimed,
            _ => RunEvent::ReclaimedStray,
        })
    }

    fn situation(&self, event: RunEvent) -> RunSituation {
        let reclaimed = Few::of(self.reclaimed.len());
        RunSituation { reclaimed, has_waiting: !self.waiting.is_empty(), event }
    }
}
