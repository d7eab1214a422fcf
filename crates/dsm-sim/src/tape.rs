use std::hash::Hasher;

/// What a value feeds to its `Hash` implementation, word by word.
///
/// Engines are opaque, and their epochs grow for ever; without more, a world in which two ranks take a page
/// from each other in turns would have infinitely many states. All an engine does with epochs is compare
/// them and take the one after the greatest. So two worlds behave the same if one becomes the other by a
/// renumbering of 64-bit words that keeps their order and leaves page numbers alone. [`digest`] hashes
/// the world in which those words are renumbered as low as possible.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape {
    words: Vec<u64>,
    /// Where in `words` a 64-bit number is.
    wide: Vec<u32>,
}

impl Tape {
    pub(crate) fn push(&mut self, word: u64) {
        self.words.push(word);
    }
}

impl Hasher for Tape {
    fn finish(&self) -> u64 {
        unreachable!("a tape is read, not finished")
    }

    fn write(&mut self, bytes: &[u8]) {
        self.words.extend(bytes.iter().map(|byte| u64::from(*byte)));
    }

    fn write_u8(&mut self, word: u8) {
        self.push(word.into());
    }

    fn write_u16(&mut self, word: u16) {
        self.push(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.push(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.wide.push(u32::try_from(self.words.len()).expect("a tape is short"));
        self.push(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.push(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.push(word.cast_unsigned() as u64);
    }
}

/// A 128-bit hash of the tapes, the same for renumbered ones; numbers up to `fixed` keep their value.
pub(crate) fn digest<'a>(tapes: impl Iterator<Item = &'a Tape> + Clone, fixed: u64) -> u128 {
    let wide = |tape: &'a Tape| tape.wide.iter().map(move |&at| tape.words[at as usize]);
    let mut numbers: Vec<u64> = tapes.clone().flat_map(wide).filter(|&word| word > fixed).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let renumber = |word| match numbers.binary_search(&word) {
        Ok(place) => fixed + 1 + place as u64,
        Err(_) => word,
    };
    let mut mixer = Mixer::new();
    for tape in tapes {
        let mut wide = tape.wide.iter().map(|&at| at as usize).peekable();
        for (at, &word) in tape.words.iter().enumerate() {
            mixer.add(if wide.next_if_eq(&at).is_some() { renumber(word) } else { word });
        }
        mixer.add(END);
    }
    mixer.finish()
}

/// Two lanes of multiply and fold with different odd constants.
struct Mixer {
    lanes: [u64; 2],
}

impl Mixer {
    fn new() -> Self {
        Self { lanes: SEEDS }
    }

    fn add(&mut self, word: u64) {
        for (lane, factor) in self.lanes.iter_mut().zip(FACTORS) {
            let product = u128::from(*lane ^ word) * u128::from(factor);
            *lane = fold(product).rotate_left(23).wrapping_add(factor);
        }
    }

    fn finish(mut self) -> u128 {
        self.add(END);
        self.add(END);
        u128::from(self.lanes[0]) << 64 | u128::from(self.lanes[1])
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn fold(product: u128) -> u64 {
    product as u64 ^ (product >> 64) as u64
}

const END: u64 = 0xa076_1d64_78bd_642f;
const SEEDS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];
const FACTORS: [u64; 2] = [0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3];

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hash;

    fn of(parts: &[&[u64]]) -> u128 {
        let tape = |part: &&[u64]| {
            let mut tape = Tape::default();
            part.iter().for_each(|word| word.hash(&mut tape));
            tape
        };
        let tapes: Vec<_> = parts.iter().map(tape).collect();
        digest(tapes.iter(), 2)
    }

    #[test]
    fn order_counts_and_distance_does_not() {
        assert_eq!(of(&[&[0, 2, 5, 9], &[5]]), of(&[&[0, 2, 3, 4], &[3]]));
        assert_ne!(of(&[&[5, 9]]), of(&[&[9, 5]]));
        assert_ne!(of(&[&[5, 9]]), of(&[&[5, 5]]));
    }

    #[test]
    fn low_numbers_keep_their_value() {
        assert_ne!(of(&[&[1]]), of(&[&[2]]));
        assert_ne!(of(&[&[2]]), of(&[&[3]]));
    }

    #[test]
    fn borders_between_tapes_count() {
        assert_ne!(of(&[&[1, 2], &[]]), of(&[&[1], &[2]]));
    }
}
