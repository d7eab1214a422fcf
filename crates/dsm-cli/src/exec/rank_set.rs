use std::ops::RangeInclusive;
use std::str::FromStr;
use thiserror::Error;

/// Some of a job's ranks, written `0,2-3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RankSet(Vec<RangeInclusive<u16>>);

/// Text that names no ranks.
#[derive(Debug, Error)]
#[error("expected ranks such as 0,2-3")]
pub(crate) struct RankSetError;

impl RankSet {
    pub(crate) fn contains(&self, rank: u16) -> bool {
        self.0.iter().any(|range| range.contains(&rank))
    }
}

impl FromStr for RankSet {
    type Err = RankSetError;

    fn from_str(text: &str) -> Result<Self, RankSetError> {
        let rank = |text: &str| text.trim().parse::<u16>().map_err(|_| RankSetError);
        let ranges = text.split(',').map(|part| match part.split_once('-') {
            Some((first, last)) => match (rank(first)?, rank(last)?) {
                (first, last) if first <= last => Ok(first..=last),
                _ => Err(RankSetError),
            },
            None => rank(part).map(|only| only..=only),
        });
        ranges.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_single_or_ranges() {
        let check = |text: &str, inside: &[u16], outside: &[u16]| {
            let set: RankSet = text.parse().unwrap();
            assert!(inside.iter().all(|rank| set.contains(*rank)), "{text:?}");
            assert!(!outside.iter().any(|rank| set.contains(*rank)), "{text:?}");
        };
        check("0", &[0], &[1]);
        check("0,2-3", &[0, 2, 3], &[1, 4]);
        check("5-5, 7", &[5, 7], &[6]);
        for text in ["", ",", "1-", "-1", "3-2", "a", "65536", "1,,2"] {
            assert!(text.parse::<RankSet>().is_err(), "{text:?}");
        }
    }
}
