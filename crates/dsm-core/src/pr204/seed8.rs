use super::mutant::{Mutant, Planted};
use super::{Message, Output};
use crate::{PageId, Rank};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What is special to [`Profile::Seed8`](super::Profile::Seed8): two ranks, and one request at a time.
///
/// Invariant: a request is sent when no other is outstanding, because a reply does not say to which one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Seed8 {
    me: Rank,
    planted: Planted,
    outstanding: Option<PageId>,
    /// Pages to be asked for, in order.
    later: VecDeque<PageId>,
}

impl Seed8 {
    pub(super) fn new(me: Rank, planted: Planted) -> Self {
        Self { me, planted, outstanding: None, later: VecDeque::new() }
    }

    pub(super) fn outstanding(&self) -> Option<PageId> {
        self.outstanding
    }

    pub(super) fn other(&self) -> Rank {
        Rank(1 - self.me.0)
    }

    pub(super) fn ask(&mut self, page: PageId, out: &mut Vec<Output>) {
        self.later.push_back(page);
        if self.planted.is(Mutant::TwoOutstanding) {
            self.outstanding = None;
        }
        self.ask_next(out);
    }

    pub(super) fn ask_next(&mut self, out: &mut Vec<Output>) {
        if self.outstanding.is_some() {
            return;
        }
        self.outstanding = self.later.pop_front();
        let message = self.outstanding.map(|page| Message::Request { source: self.me, page });
        out.extend(message.map(|message| Output::Send { to: self.other(), message }));
    }

    pub(super) fn give(&self, page: PageId, to: Rank, out: &mut Vec<Output>) {
        out.push(Output::Send { to, message: Message::Page { owner: to, page } });
    }

    /// The page comes that was asked for.
    pub(super) fn on_page(&mut self, owner: Rank, page: PageId) -> Result<(), &'static str> {
        if owner != self.me || self.outstanding != Some(page) {
            return Err("the page was not asked for");
        }
        self.outstanding = None;
        if self.planted.is(Mutant::TurnForgotten) {
            self.later.clear();
        }
        Ok(())
    }
}
