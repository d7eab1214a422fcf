//! What a rank can tell people about a page that threads wait for long.

use super::Engine;
use crate::{PageId, Rank};
use alloc::vec::Vec;

/// What one rank knows about who keeps a page, or the token of a lock, from those that wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// As the page's home: who owns it when all that was granted has arrived.
    pub owner: Option<Rank>,
    /// As its home: whose copies must go before a writer gets it.
    pub awaited: Vec<Rank>,
    /// As a rank that was told to pass its copy on, or to drop it, and has not yet: why.
    pub withheld: Option<Withheld>,
}

/// Why a rank keeps a copy that it was told to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// The copy is still on its way here.
    UntilItComes,
    /// It came a moment ago, or threads have the lock.
    InUse,
}

impl Engine {
    /// What this rank knows about who is in the way of those that wait for `page`. Changes nothing.
    #[must_use]
    pub fn standing(&self, page: PageId) -> Standing {
        let Some(home) = self.home(page) else { return Standing::default() };
        let withheld = self.copies.withheld(page, home);
        if home != self.rank {
            return Standing { withheld, ..Standing::default() };
        }
        let (owner, awaited) = self.directory.standing(page);
        Standing { owner: Some(owner), awaited, withheld }
    }
}
