use crate::{Epoch, Rank};
use alloc::collections::BTreeMap;

/// The ranks that have copies of one page, in order, each with the epoch of its copy.
///
/// Most pages have one such rank at most, which costs no memory of its own.
///
/// Invariant: `first` is below the ranks of `others`, which is empty without it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Copyset {
    first: Option<Rank>,
    /// Of the first; 0 without it.
    epoch: Epoch,
    others: BTreeMap<Rank, Epoch>,
}

impl Copyset {
    pub(super) fn len(&self) -> usize {
        self.iter().count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn contains(&self, rank: Rank) -> bool {
        self.get(rank).is_some()
    }

    pub(super) fn get(&self, rank: Rank) -> Option<Epoch> {
        match self.first {
            Some(first) if first == rank => Some(self.epoch),
            _ => self.others.get(&rank).copied(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Rank, Epoch)> {
        let first = self.first.map(|first| (first, self.epoch));
        first.into_iter().chain(self.others.iter().map(|(&rank, &epoch)| (rank, epoch)))
    }

    pub(super) fn ranks(&self) -> impl Iterator<Item = Rank> {
        self.iter().map(|(rank, _)| rank)
    }

    /// Adds a rank, or gives its copy another epoch.
    pub(super) fn insert(&mut self, rank: Rank, epoch: Epoch) {
        match self.first {
            Some(first) if first < rank => {
                self.others.insert(rank, epoch);
                return;
            }
            Some(first) if first > rank => {
                self.others.insert(first, self.epoch);
            }
            Some(_) | None => {}
        }
        (self.first, self.epoch) = (Some(rank), epoch);
    }

    pub(super) fn remove(&mut self, rank: Rank) -> Option<Epoch> {
        if self.first == Some(rank) { self.pop_first() } else { self.others.remove(&rank) }
    }

    pub(super) fn pop_first(&mut self) -> Option<Epoch> {
        self.first?;
        let next = self.others.pop_first();
        self.first = next.map(|(rank, _)| rank);
        let next = next.map_or(Epoch::default(), |(_, epoch)| epoch);
        Some(core::mem::replace(&mut self.epoch, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Does the same to a copyset and to a map, in every order of a few ranks.
    #[test]
    fn it_is_a_map_from_ranks_to_epochs() {
        for draw in 0..6_u64.pow(6) {
            let (mut set, mut map) = (Copyset::default(), BTreeMap::new());
            let mut left = draw;
            for step in 1..=6 {
                let (rank, inserts) = (Rank(u16::try_from(left % 3 + 1).unwrap()), left % 6 < 3);
                left /= 6;
                if inserts {
                    set.insert(rank, Epoch(step));
                    map.insert(rank, Epoch(step));
                } else {
                    assert_eq!(set.remove(rank), map.remove(&rank), "draw {draw}");
                }
                let said: Vec<_> = map.iter().map(|(&rank, &epoch)| (rank, epoch)).collect();
                assert_eq!(set.iter().collect::<Vec<_>>(), said, "draw {draw}");
                assert_eq!((set.len(), set.is_empty()), (map.len(), map.is_empty()));
                for rank in (0..5).map(Rank) {
                    assert_eq!(set.get(rank), map.get(&rank).copied(), "draw {draw}");
                }
            }
            let mut again = Copyset::default();
            map.iter().for_each(|(&rank, &epoch)| again.insert(rank, epoch));
            assert_eq!(set, again, "what was in it before does not matter: draw {draw}");
            assert_eq!(set.pop_first(), map.pop_first().map(|(_, epoch)| epoch));
        }
    }
}
