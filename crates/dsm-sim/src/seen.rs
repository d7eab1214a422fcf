/// The digests of all states found so far, each with the order in which it was found.
///
/// An open-addressed table of places in a list, at most half full: about 24 to 32 bytes a state.
pub(crate) struct Seen {
    digests: Vec<u128>,
    slots: Vec<u32>,
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self { digests: Vec::new(), slots: vec![EMPTY; FIRST_SLOTS] }
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.digests.len()).expect("states are numbered by u32")
    }

    /// The number of the state, and whether it is new.
    pub(crate) fn insert(&mut self, digest: u128) -> (u32, bool) {
        if (self.digests.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let slot = self.find(digest);
        match self.slots[slot] {
            EMPTY => {
                let number = self.len();
                assert!(number < EMPTY, "states are numbered by u32");
                self.slots[slot] = number;
                self.digests.push(digest);
                (number, true)
            }
            number => (number, false),
        }
    }

    /// Where the digest is, or would be put.
    fn find(&self, digest: u128) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = low_bits(digest) & mask;
        while self.slots[slot] != EMPTY && self.digests[self.slots[slot] as usize] != digest {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.slots = vec![EMPTY; self.slots.len() * 2];
        for number in 0..self.len() {
            let slot = self.find(self.digests[number as usize]);
            self.slots[slot] = number;
        }
    }
}

fn low_bits(digest: u128) -> usize {
    digest as usize
}

const EMPTY: u32 = u32::MAX;
const FIRST_SLOTS: usize = 1 << 12;

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests that collide in all their low bits are told apart, also while the table grows.
    #[test]
    fn every_digest_is_new_once() {
        let mut seen = Seen::new();
        for round in 0..2 {
            for number in 0..20_000_u32 {
                let digest = u128::from(number % 7) | u128::from(number) << 64;
                assert_eq!(seen.insert(digest), (number, round == 0));
            }
        }
        assert_eq!(seen.len(), 20_000);
    }
}
