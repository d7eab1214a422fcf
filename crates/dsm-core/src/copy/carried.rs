use super::{Copies, State};
use crate::io::Outputs;
use crate::mutant::Mutant;
use crate::{Access, Output, PageId, Rank};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Which pages this rank's threads use under which lock, so that they come with its token.
///
/// A rank that asks for a token asks for the pages at the same time. Whoever has the lock keeps them
/// until it is unlocked, for a time at most, and then sends both: the hand-over of a lock takes its data
/// along, and the rank lends the token to its threads when both are here (entry consistency does so by declaration: Bershad, Zekauskas, Sawdon, "The Midway Distributed
/// Shared Memory System", COMPCON 1993; here it is found out, and only advice).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Carried {
    /// By token.
    pages: BTreeMap<PageId, Vec<Carry>>,
    /// The token that a page comes with.
    tokens: BTreeMap<PageId, PageId>,
    /// Pages kept for who has their lock.
    pinned: BTreeSet<PageId>,
    /// Tokens that are here and are lent once these pages are.
    awaited: BTreeMap<PageId, BTreeSet<PageId>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Carry {
    page: PageId,
    access: Access,
    /// How often it was asked for since a thread was last seen to need it.
    asked: u8,
}

impl Copies {
    /// A thread that has a lock was seen to need a page.
    pub(crate) fn on_carry(&mut self, token: PageId, page: PageId, access: Access) {
        if let Some(other) = self.carried.tokens.insert(page, token).filter(|&it| it != token) {
            self.carried.forget(other, page);
        }
        let pages = self.carried.pages.entry(token).or_default();
        match pages.iter_mut().find(|carry| carry.page == page) {
            Some(carry) => *carry = Carry { page, access: carry.access.max(access), asked: 0 },
            None => pages.push(Carry { page, access, asked: 0 }),
        }
        if pages.len() > MOST_PAGES {
            let oldest = pages.remove(0);
            self.carried.tokens.remove(&oldest.page);
        }
    }

    /// A token is asked for, or has come: its pages will be needed, if they are not here.
    pub(crate) fn ask_for_carried(&mut self, token: PageId, access: Access, out: &mut Outputs) {
        let pages = self.carried.pages.get(&token).cloned().unwrap_or_default();
        for Carry { page, access: needed, .. } in pages {
            // Where its home is not known yet, it is asked for already.
            let Some(home) = self.homes.home(page) else { continue };
            let access = needed.min(access);
            if self.state(page, home).access() < access && self.slot(page).asked.is_none() {
                self.on_fault(page, access, home, out);
            }
        }
    }

    /// A token has come. Whether it waits for its pages.
    pub(super) fn awaits_carried(
        &mut self,
        token: PageId,
        access: Access,
        out: &mut Outputs,
    ) -> bool {
        self.ask_for_carried(token, access, out);
        let Some(pages) = self.carried.pages.get_mut(&token) else { return false };
        let is_coming =
            |page: &PageId| self.pages.get(*page).is_some_and(|slot| slot.asked.is_some());
        let coming: BTreeSet<_> = pages.iter().map(|it| it.page).filter(is_coming).collect();
        pages.iter_mut().for_each(|carry| carry.asked += 1);
        // Whether a page is needed shows only when it is not there: now and then it is not asked for.
        let stale = pages.extract_if(.., |carry| carry.asked > MOST_ASKED);
        for Carry { page, .. } in stale {
            self.carried.tokens.remove(&page);
        }
        let waits = !coming.is_empty();
        if waits {
            self.carried.awaited.insert(token, coming);
        }
        waits
    }

    /// Whether a token is here and not lent yet.
    pub(super) fn is_withheld(&self, token: PageId) -> bool {
        self.carried.awaited.contains_key(&token)
    }

    /// A page has come: tokens that waited for it alone are lent.
    pub(super) fn lend_awaited(&mut self, page: PageId, out: &mut Outputs) {
        if self.planted.is(Mutant::WithheldForever) {
            return;
        }
        let mut complete = Vec::new();
        for (&token, pages) in &mut self.carried.awaited {
            if pages.remove(&page) && pages.is_empty() {
                complete.push(token);
            }
        }
        for token in complete {
            self.carried.awaited.remove(&token);
            let home = self.space.home(token);
            self.resume(token, self.state(token, home), out);
            self.drain(token, home, out);
        }
    }

    /// Keeps a page for the thread that has the lock it comes with, if another rank waits for the lock.
    pub(super) fn pin(&mut self, page: PageId, home: Rank, out: &mut Outputs) {
        if self.is_kept(page, home) && !self.slot(page).is_held {
            self.pages.at(page).is_held = true;
            self.carried.pinned.insert(page);
            out.push(Output::Pin { page });
        }
    }

    /// Whether a page is kept for the thread that has its lock when a demand comes. One that is
    /// only read is not: its owner may be asked for more copies meanwhile.
    pub(super) fn is_kept(&self, page: PageId, home: Rank) -> bool {
        let Some(token) = self.carried.tokens.get(&page) else { return false };
        let is_wanted = self.slot(*token).is_held && self.deferred.contains_key(token);
        self.holds && is_wanted && self.state(page, home) == State::Modified
    }

    /// The time is over for which a page is kept at most.
    pub(super) fn unpin(&mut self, page: PageId) {
        self.carried.pinned.remove(&page);
    }

    /// The lock is free: the pages that wait for that go.
    pub(super) fn unpin_carried(&mut self, token: PageId, out: &mut Outputs) {
        if self.planted.is(Mutant::PinForgotten) {
            return;
        }
        let pages = self.carried.pages.get(&token).cloned().unwrap_or_default();
        for Carry { page, .. } in pages {
            if self.carried.pinned.remove(&page)
                && let Some(home) = self.homes.home(page)
            {
                self.pages.at(page).is_held = false;
                self.drain(page, home, out);
            }
        }
    }
}

impl Carried {
    fn forget(&mut self, token: PageId, page: PageId) {
        if let Some(pages) = self.pages.get_mut(&token) {
            pages.retain(|carry| carry.page != page);
        }
    }
}

/// Pages that come with one lock: what is worth sending with it.
const MOST_PAGES: usize = 4;
/// How often a page comes with a lock before it is seen whether it is needed still.
const MOST_ASKED: u8 = 64;
