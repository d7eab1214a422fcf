use crate::Rank;
use core::ops::Range;

/// Who is above whom: below rank `r` are as many ranks as the tree is wide, from `r` times that and one on.
///
/// Ranks below the same one are neighbours, as they are on a host with several ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tree {
    pub(super) nodes: u16,
    /// How many ranks are directly below one, at most; not 0.
    pub(super) fan_in: u16,
}

impl Tree {
    pub(super) fn new(nodes: u16) -> Self {
        Self { nodes, fan_in: FAN_IN }
    }

    /// The rank that this one arrives at; `None` for the one on top.
    pub(super) fn above(self, rank: Rank) -> Option<Rank> {
        Some(Rank(rank.0.checked_sub(1)? / self.fan_in))
    }

    /// The ranks that arrive at this one.
    pub(super) fn below(self, rank: Rank) -> Range<u16> {
        let first = rank.0.saturating_mul(self.fan_in).saturating_add(1).min(self.nodes);
        first..first.saturating_add(self.fan_in).min(self.nodes)
    }

    /// Whether all ranks arrive at the one on top.
    pub(super) fn is_flat(self) -> bool {
        self.below(Rank(0)).end == self.nodes
    }
}

/// What `dsm-sim grow` shows to be the best compromise between many levels and many messages at one rank;
/// see `docs/performance.md`.
const FAN_IN: u16 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_but_the_one_on_top_is_below_one() {
        for fan_in in [1, 2, 3, 8, u16::MAX] {
            for nodes in [1, 2, 3, 9, 10, 100, u16::MAX] {
                let tree = Tree { nodes, fan_in };
                let below = (0..nodes).map(Rank).flat_map(|rank| tree.below(rank));
                assert!(below.eq(1..nodes), "{tree:?}");
                for rank in (1..nodes).map(Rank) {
                    let above = tree.above(rank).unwrap();
                    assert!(above < rank && tree.below(above).contains(&rank.0), "{tree:?}");
                }
            }
        }
        assert_eq!(Tree::new(9).above(Rank(0)), None);
    }

    #[test]
    fn nine_ranks_are_flat_and_ten_are_not() {
        assert!(Tree::new(1).is_flat() && Tree::new(9).is_flat() && !Tree::new(10).is_flat());
        assert!(!Tree { nodes: 3, fan_in: 1 }.is_flat());
    }
}
