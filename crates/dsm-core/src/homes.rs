#[cfg(feature = "mutants")]
mod situation;

#[cfg(feature = "mutants")]
pub use situation::{ClaimSituation, Claimed, Knowledge, Named};

use crate::io::Outputs;
use crate::message::{Ask, CallId, Message};
use crate::mutant::{Mutant, Planted};
use crate::{Access, ObjectId, PageId, Rank, Space};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

/// Which rank is home to which page: by a rule, or whoever touched the page first.
///
/// With [`Placement::FirstTouch`](crate::Placement::FirstTouch) a rank that touches a page of the area whose
/// home it does not know claims it, once, at the page's registrar, and does what it wanted when it is told
/// the home: the first that claimed. What a registrar touches itself it claims without a word.
///
/// Invariant: a registrar names one home for a page, for ever. A rank that has claimed a page and is asked
/// for it is its home: the registrar has said so to whoever asks, and its word to this rank is on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Homes {
    rank: Rank,
    space: Space,
    planted: Planted,
    /// Of the pages that this rank registers: who claimed each first.
    claimed: BTreeMap<PageId, Rank>,
    /// Of the other pages that this rank touched.
    known: BTreeMap<PageId, Known>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Known {
    /// Claimed; this is to be done when the home is known.
    Claiming(Vec<Touch>),
    /// This rank is, since another one says so with this message. The registrar's word is on its way.
    Presumed {
        by: Rank,
        message: Message,
    },
    Told(Rank),
}

/// What a thread of this rank wants of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Touch {
    Fault(Access),
    Operation { id: CallId, object: ObjectId, ask: Ask },
}

impl Homes {
    pub(crate) fn new(rank: Rank, space: Space, planted: Planted) -> Self {
        Self { rank, space, planted, claimed: BTreeMap::new(), known: BTreeMap::new() }
    }

    /// The home of a page or token, if this rank knows it.
    pub(crate) fn home(&self, page: PageId) -> Option<Rank> {
        let registrar = self.space.home(page);
        if !self.space.is_claimed(page) {
            return Some(registrar);
        }
        if registrar == self.rank {
            return self.claimed.get(&page).copied();
        }
        match *self.known.get(&page)? {
            Known::Claiming(_) => None,
            Known::Presumed { .. } => Some(self.rank),
            Known::Told(home) => Some(home),
        }
    }

    /// Of how many pages this rank keeps the home.
    #[cfg(feature = "mutants")]
    pub(crate) fn remembered(&self) -> usize {
        self.claimed.len() + self.known.len()
    }

    /// The home of a page that a thread touches; `None` if it is asked for, and `touch` waits for it.
    pub(crate) fn touch(&mut self, page: PageId, touch: Touch, out: &mut Outputs) -> Option<Rank> {
        let home = self.home(page);
        if home.is_some() {
            return home;
        }
        let registrar = self.space.home(page);
        if registrar == self.rank {
            self.claimed.insert(page, self.rank);
            return Some(self.rank);
        }
        match self.known.get_mut(&page) {
            Some(Known::Claiming(waiting)) => {
                let is_fault = |touch: &Touch| matches!(touch, Touch::Fault(_));
                // Who needs more than the first fault brings faults again after it.
                if !is_fault(&touch) || !waiting.iter().any(is_fault) {
                    waiting.push(touch);
                }
            }
            _ => {
                self.known.insert(page, Known::Claiming(vec![touch]));
                out.send(registrar, Message::Claim { page }, None);
            }
        }
        None
    }

    pub(crate) fn on_claim(
        &mut self,
        from: Rank,
        page: PageId,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        if !self.space.is_claimed(page) || self.space.home(page) != self.rank {
            return Err("a claim goes to the page's registrar");
        }
        if self.planted.is(Mutant::TouchUnlisted) && self.claimed.get(&page) == Some(&self.rank) {
            self.claimed.remove(&page);
        }
        let home = *self.claimed.entry(page).or_insert(from);
        if self.planted.is(Mutant::ClaimUnanswered) && home != from {
            return Ok(());
        }
        let home = self.planted.bend(Mutant::ClaimGranted, home, from);
        let other = if home == from { home } else { self.rank };
        let home = self.planted.bend(Mutant::HomeMisnamed, home, other);
        out.send(from, Message::Home { page, home }, None);
        Ok(())
    }

    /// What waited for this word of the page's registrar.
    pub(crate) fn on_home(
        &mut self,
        from: Rank,
        page: PageId,
        home: Rank,
        out: &mut Outputs,
    ) -> Result<Vec<Touch>, &'static str> {
        if !self.space.is_claimed(page) || self.space.home(page) != from {
            return Err("a page's registrar tells its home");
        }
        if home.0 >= self.space.nodes {
            return Err("a home is a rank of the job");
        }
        match self.known.get_mut(&page) {
            Some(known @ Known::Claiming(_)) => {
                let Known::Claiming(mut waiting) = core::mem::replace(known, Known::Told(home))
                else {
                    unreachable!("it was matched")
                };
                if self.planted.is(Mutant::TouchForgotten) {
                    waiting.truncate(1);
                }
                Ok(waiting)
            }
            Some(known @ Known::Presumed { .. }) if home == self.rank => {
                *known = Known::Told(home);
                Ok(Vec::new())
            }
            Some(&mut Known::Presumed { by, message }) => {
                out.fail(by, message, "who asks for a page asks its home");
                Ok(Vec::new())
            }
            Some(Known::Told(_)) | None => Err("a registrar answers a claim once"),
        }
    }

    /// A rank asks this one for a page as its home: if it has claimed the page it is, and can do what waited
    /// for that.
    pub(crate) fn presume(&mut self, page: PageId, by: Rank, message: Message) -> Vec<Touch> {
        match self.known.get_mut(&page) {
            Some(known @ Known::Claiming(_)) if !self.planted.is(Mutant::PresumptionRefused) => {
                match core::mem::replace(known, Known::Presumed { by, message }) {
                    Known::Claiming(waiting) => waiting,
                    Known::Presumed { .. } | Known::Told(_) => unreachable!("it was matched"),
                }
            }
            _ => Vec::new(),
        }
    }
}
