use super::mutant::{Mutant, Planted};
use crate::Rank;
use alloc::collections::{BTreeMap, VecDeque};

/// Who has one page, as far as this rank has heard.
///
/// A page walks from rank to rank. Each step of the walk is announced by the rank the page left, and the
/// announcements of one rank come in order; those of different ranks overtake each other. So the walk is
/// put together again: from where it is, the next step is the next one announced by that rank. Steps that
/// do not join on yet wait.
///
/// Invariant: [`presumed`](Self::presumed) is a later place of the walk than this rank's own last one. A
/// request that goes from rank to rank therefore goes forward along the walk, and comes to the page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Owners {
    reached: Rank,
    /// Steps that do not join on yet, by the rank they leave.
    ahead: BTreeMap<Rank, VecDeque<Rank>>,
    planted: Planted,
}

impl Owners {
    pub(super) fn new(first: Rank, planted: Planted) -> Self {
        Self { reached: first, ahead: BTreeMap::new(), planted }
    }

    /// The page left one rank for another.
    pub(super) fn on_move(&mut self, from: Rank, to: Rank) {
        if self.planted.is(Mutant::LastAnnouncementWins) {
            self.reached = to;
            return;
        }
        self.ahead.entry(from).or_default().push_back(to);
        while let Some(next) = self.ahead.get_mut(&self.reached).and_then(VecDeque::pop_front) {
            self.reached = next;
        }
        self.ahead.retain(|_, steps| !steps.is_empty());
    }

    /// How many steps do not join on yet.
    pub(super) fn waiting(&self) -> usize {
        self.ahead.values().map(VecDeque::len).sum()
    }

    /// Where to ask. `me` is this rank, which has the page not.
    pub(super) fn presumed(&self, me: Rank) -> Rank {
        let own = self.ahead.get(&me).and_then(VecDeque::back);
        own.copied().unwrap_or(self.reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(steps: &[(u16, u16)]) -> Owners {
        let mut owners = Owners::new(Rank(0), Planted::default());
        for &(from, to) in steps {
            owners.on_move(Rank(from), Rank(to));
        }
        owners
    }

    #[test]
    fn announcements_that_overtake_each_other_are_put_in_order() {
        assert_eq!(owners(&[(0, 1), (1, 2)]).presumed(Rank(3)), Rank(2));
        assert_eq!(owners(&[(1, 2), (0, 1)]).presumed(Rank(3)), Rank(2));
        assert_eq!(owners(&[(2, 0), (1, 2), (0, 1), (0, 3)]).presumed(Rank(1)), Rank(3));
        assert_eq!(owners(&[(1, 2)]).presumed(Rank(3)), Rank(0));
    }

    #[test]
    fn a_rank_looks_behind_its_own_last_turn() {
        let owners = owners(&[(1, 2)]);
        assert_eq!(owners.presumed(Rank(1)), Rank(2));
    }

    #[test]
    fn steps_that_do_not_join_on_are_counted() {
        assert_eq!(owners(&[(1, 2), (1, 3), (2, 0)]).waiting(), 3);
        assert_eq!(owners(&[(1, 2), (1, 3), (2, 0), (0, 1)]).waiting(), 1);
    }
}
