use core::fmt;

/// Which rank is home to which page of the area of `dsm_init`; equal on all ranks, so that all of them agree,
/// but for first-touch without a message. The heap's pages are always placed cyclically.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placement {
    /// Page `i` at rank `i` modulo the number of ranks.
    #[default]
    Cyclic,
    /// Contiguous blocks in the order of the ranks, as equal as they can be: the first ones have a page more.
    Block,
    /// Page `i` at rank `h(i)` modulo the number of ranks; `h` is the first number that the generator
    /// SplitMix64 gives after the seed `i` (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
    /// Generators", OOPSLA 2014).
    Random,
    /// Each page at the rank that touches it first. Page `i` is registered at rank `i` modulo the number of
    /// ranks, which is the home of the objects in it.
    FirstTouch,
}

impl Placement {
    /// Every placement, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::Cyclic, Self::Block, Self::Random, Self::FirstTouch];

    /// Its number on the wire.
    #[must_use]
    pub fn code(self) -> u64 {
        self as u64
    }

    /// The placement of this number.
    #[must_use]
    pub fn of_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|placement| placement.code() == code)
    }

    /// What users call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cyclic => "cyclic",
            Self::Block => "block",
            Self::Random => "random",
            Self::FirstTouch => "first-touch",
        }
    }

    /// The placement that users call so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|placement| placement.as_str() == name)
    }

    /// The rank, `0..nodes`, at which page `page` of an area of `pages` is placed, or registered.
    pub(crate) fn place(self, page: u64, pages: u64, nodes: u64) -> u64 {
        match self {
            Self::Cyclic | Self::FirstTouch => page % nodes,
            Self::Block => {
                let (short, longer) = (pages / nodes, pages % nodes);
                let in_longer = longer * (short + 1);
                match page.checked_sub(in_longer) {
                    None => page / (short + 1),
                    Some(behind) => longer + behind / short,
                }
            }
            Self::Random => split_mix(page) % nodes,
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn split_mix(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// How many of an area's pages each rank is home to.
    fn shares(placement: Placement, pages: u64, nodes: u64) -> Vec<u64> {
        let mut shares = vec![0; usize::try_from(nodes).unwrap()];
        for page in 0..pages {
            let home = placement.place(page, pages, nodes);
            shares[usize::try_from(home).unwrap()] += 1;
        }
        shares
    }

    fn sizes() -> impl Iterator<Item = (u64, u64)> {
        (1..=9).flat_map(|nodes| (0..=64).map(move |pages| (pages, nodes)))
    }

    #[test]
    fn every_page_has_a_home_among_the_ranks() {
        for placement in Placement::ALL {
            for (pages, nodes) in sizes() {
                assert_eq!(shares(placement, pages, nodes).iter().sum::<u64>(), pages);
            }
            let (last, pages) = (u64::MAX / 513 - 1, u64::MAX / 513);
            assert!(placement.place(last, pages, 65_535) < 65_535, "{placement}");
        }
    }

    #[test]
    fn cyclic_and_block_shares_differ_by_one_page_at_most() {
        for placement in [Placement::Cyclic, Placement::Block] {
            for (pages, nodes) in sizes() {
                let shares = shares(placement, pages, nodes);
                let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
                assert!(most - least <= 1, "{placement}, {pages} pages: {shares:?}");
            }
        }
    }

    #[test]
    fn blocks_are_contiguous_and_in_rank_order() {
        for (pages, nodes) in sizes() {
            let homes: Vec<_> =
                (0..pages).map(|page| Placement::Block.place(page, pages, nodes)).collect();
            let steps = homes.windows(2).map(|pair| pair[1].checked_sub(pair[0]));
            assert!(steps.into_iter().all(|step| matches!(step, Some(0 | 1))), "{homes:?}");
        }
        let blocks = [0, 0, 0, 1, 1, 1, 2, 2];
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(|page| Placement::Block.place(page, 8, 3)), blocks);
    }

    /// Within four standard deviations of what independent draws give.
    #[test]
    fn random_shares_are_near_the_mean() {
        for (pages, nodes) in [(1_000, 2), (4_096, 3), (10_000, 7), (100_000, 16), (65_536, 64)] {
            let mean = pages / nodes;
            for share in shares(Placement::Random, pages, nodes) {
                let off = share.abs_diff(mean);
                assert!(off * off <= 16 * mean, "{share} of {pages} pages at one of {nodes} ranks");
            }
        }
    }

    /// Ranks of different builds agree only if it never changes.
    #[test]
    fn random_is_fixed() {
        assert_eq!(split_mix(0), 0xe220_a839_7b1d_cdaf);
        let homes = [0, 1, 2, 3, 4, 5, 6, 7].map(|page| Placement::Random.place(page, 8, 4));
        assert_eq!(homes, [3, 1, 2, 1, 2, 2, 0, 3]);
    }

    #[test]
    fn names_and_codes_read_back() {
        for placement in Placement::ALL {
            assert_eq!(Placement::of_code(placement.code()), Some(placement));
            assert_eq!(Placement::named(placement.as_str()), Some(placement));
        }
        assert_eq!((Placement::of_code(4), Placement::named("Block")), (None, None));
    }
}
