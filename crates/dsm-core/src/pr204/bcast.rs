use super::engine::{first_owner, index};
use super::mutant::{Mutant, Planted};
use super::owners::Owners;
use super::{Message, Output};
use crate::{PageId, Rank};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// What is special to [`Profile::Bcast`](super::Profile::Bcast): every rank knows who has which page, more
/// or less, and sends on what comes to the wrong one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Bcast {
    me: Rank,
    nodes: u16,
    planted: Planted,
    /// By page.
    owners: Vec<Owners>,
    /// Steps of all pages that do not join on yet: as many as announcements of one rank can come before
    /// those of another.
    ahead: usize,
    /// Pages that threads wait for, and who was asked last. `None` once that rank may have refused.
    asked: BTreeMap<PageId, Option<Rank>>,
}

impl Bcast {
    pub(super) fn new(me: Rank, nodes: u16, pages: u64, planted: Planted) -> Self {
        let owners = |page| Owners::new(first_owner(page, nodes), planted);
        let owners = (0..pages).map(owners).collect();
        Self { me, nodes, planted, owners, ahead: 0, asked: BTreeMap::new() }
    }

    pub(super) fn presumed(&self, page: PageId) -> Rank {
        self.owners_of(page).presumed(self.me)
    }

    pub(super) fn ask(&mut self, page: PageId, out: &mut Vec<Output>) {
        let to = self.presumed(page);
        self.asked.insert(page, Some(to));
        out.push(Output::Send { to, message: Message::Request { source: self.me, page } });
    }

    /// Whom the page is with, if that is its source, will see the page come: it is on its way there.
    pub(super) fn forward(&self, page: PageId, source: Rank, out: &mut Vec<Output>) {
        let to = self.presumed(page);
        if to != source || self.planted.is(Mutant::ForwardToSource) {
            out.push(Output::Send { to, message: Message::Request { source, page } });
        }
    }

    /// Sends the page to its new owner and the news to all.
    pub(super) fn give(
        &mut self,
        page: PageId,
        owner: Rank,
        closed: &BTreeSet<Rank>,
        out: &mut Vec<Output>,
    ) {
        let message = Message::Page { owner, page };
        let silent = self.planted.is(Mutant::MoveUnannounced);
        let told = (0..self.nodes).map(Rank).filter(|rank| *rank != self.me);
        let told = told.filter(|rank| !closed.contains(rank) && (!silent || *rank == owner));
        out.extend(told.map(|to| Output::Send { to, message }));
        if !self.planted.is(Mutant::OwnerUnnoted) {
            let me = self.me;
            self.note_move(page, me, owner);
        }
    }

    /// A rank says that it has given the page away.
    pub(super) fn on_move(
        &mut self,
        from: Rank,
        owner: Rank,
        page: PageId,
        is_asked: bool,
        out: &mut Vec<Output>,
    ) -> Result<(), &'static str> {
        if owner != from {
            if self.ahead >= MAX_AHEAD {
                return Err("pages are given away again and again by ranks that do not get them");
            }
            self.note_move(page, from, owner);
        }
        if owner == self.me {
            self.asked.remove(&page);
        } else if is_asked && self.asked.get(&page) == Some(&None) {
            self.ask(page, out);
        }
        Ok(())
    }

    /// A rank refuses something it was asked for; it does not say what. What was asked of it is asked of
    /// another, as soon as there is another that may have it.
    pub(super) fn on_negative(
        &mut self,
        from: Rank,
        waited_for: impl Iterator<Item = PageId>,
        out: &mut Vec<Output>,
    ) {
        for page in waited_for.collect::<Vec<_>>() {
            if self.asked.get(&page) != Some(&Some(from)) {
                continue;
            }
            if self.presumed(page) == from {
                self.asked.insert(page, None);
            } else {
                self.ask(page, out);
            }
        }
    }

    fn note_move(&mut self, page: PageId, from: Rank, to: Rank) {
        let owners = self.owners_mut(page);
        let before = owners.waiting();
        owners.on_move(from, to);
        let after = owners.waiting();
        self.ahead = self.ahead - before + after;
    }

    fn owners_of(&self, page: PageId) -> &Owners {
        &self.owners[index(page).expect("pages are checked where they come from")]
    }

    fn owners_mut(&mut self, page: PageId) -> &mut Owners {
        &mut self.owners[index(page).expect("pages are checked where they come from")]
    }
}

/// Two megabytes. A rank that hears one peer and not another for minutes is cut off otherwise.
const MAX_AHEAD: usize = 1 << 20;
