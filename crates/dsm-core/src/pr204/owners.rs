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

/// Too many steps wait: a rank announces what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Owners {
    pub(super) fn new(first: Rank, planted: Planted) -> Self {
        Self { reached: first, ahead: BTreeMap::new(), planted }
    }

    /// The page left one rank for another.
    pub(super) fn on_move(&mut self, from: Rank, to: Rank) -> Result<(), TooMany> {
        if self.planted.is(Mutant::LastAnnouncementWins) {
            self.reached = to;
            return Ok(());
        }
        let steps = self.ahead.entry(from).or_default();
        if steps.len() == MAX_AHEAD {
            return Err(TooMany);
        }
        steps.push_back(to);
        self.join_on();
        Ok(())
    }

    /// The page left this rank for another. If other ranks tell lies, so that the walk does not come here,
    /// the last step is the one to keep.
    pub(super) fn on_own_move(&mut self, me: Rank, to: Rank) {
        if self.on_move(me, to).is_err() {
            self.ahead.insert(me, VecDeque::from([to]));
        }
    }

    fn join_on(&mut self) {
        while let Some(next) = self.ahead.get_mut(&self.reached).and_then(VecDeque::pop_front) {
            self.reached = next;
        }
        self.ahead.retain(|_, steps| !steps.is_empty());
    }

    /// Where to ask. `me` is this rank, which has the page not.
    pub(super) fn presumed(&self, me: Rank) -> Rank {
        let own = self.ahead.get(&me).and_then(VecDeque::back);
        own.copied().unwrap_or(self.reached)
    }
}

/// Steps of one page that one rank announced and that do not join on.
const MAX_AHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(steps: &[(u16, u16)]) -> Owners {
        let mut owners = Owners::new(Rank(0), Planted::default());
        for &(from, to) in steps {
            owners.on_move(Rank(from), Rank(to)).unwrap();
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
    fn steps_from_nowhere_are_bounded() {
        let mut owners = owners(&[]);
        let refused = (0..1000).position(|_| owners.on_move(Rank(5), Rank(6)).is_err());
        assert_eq!(refused, Some(MAX_AHEAD));
    }
}
