use crate::Rank;
use alloc::collections::BTreeMap;

/// How many threads of each rank wait in the queues of one kind, so that no rank can fill them without end.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Guests {
    waiting: BTreeMap<Rank, u32>,
}

impl Guests {
    pub(crate) fn enter(&mut self, rank: Rank) -> Result<(), &'static str> {
        let waiting = self.waiting.entry(rank).or_default();
        if *waiting >= MOST_GUESTS {
            return Err("at most 65,536 threads of a rank wait at objects of one kind and home");
        }
        *waiting += 1;
        Ok(())
    }

    pub(crate) fn leave(&mut self, rank: Rank) {
        let waiting = self.waiting.get_mut(&rank).expect("who leaves a queue was in it");
        *waiting -= 1;
        if *waiting == 0 {
            self.waiting.remove(&rank);
        }
    }
}

/// More threads than a process has, by default, on the hosts this runs on.
const MOST_GUESTS: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rank_fills_the_queues_without_end() {
        let mut guests = Guests::default();
        (0..MOST_GUESTS).for_each(|_| guests.enter(Rank(1)).unwrap());
        assert!(guests.enter(Rank(1)).is_err() && guests.enter(Rank(2)).is_ok());
        guests.leave(Rank(1));
        assert!(guests.enter(Rank(1)).is_ok());
    }
}
