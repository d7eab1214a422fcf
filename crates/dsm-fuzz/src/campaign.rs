use crate::Target;
use crate::examples;
use dsm_sim::rng::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Inputs for one target, drawn from a seed: the same seed is the same inputs.
#[derive(Debug)]
pub struct Campaign {
    target: Target,
    rng: Rng,
    examples: Vec<Vec<u8>>,
    input: Vec<u8>,
}

/// An input on which a target does not behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// How many inputs were fine before it.
    pub after: u64,
    /// The input, as short as cutting it could make it.
    pub input: Vec<u8>,
}

impl Campaign {
    /// The campaign of this seed.
    #[must_use]
    pub fn new(target: Target, seed: u64) -> Self {
        let examples = examples::of(target);
        Self { target, rng: Rng::new(seed), examples, input: Vec::new() }
    }

    /// Executes the target on `runs` inputs, or up to the first on which it does not behave.
    ///
    /// # Errors
    /// That input, made shorter.
    pub fn run(&mut self, runs: u64) -> Result<(), Crash> {
        for after in 0..runs {
            self.draw();
            if crashes(self.target, &self.input) {
                let input = shorten(self.target, self.input.clone());
                return Err(Crash { after, input });
            }
        }
        Ok(())
    }

    /// Changes an example, several times over: most of what is drawn is nearly right.
    fn draw(&mut self) {
        let example = self.rng.place(self.examples.len());
        self.input.clone_from(&self.examples[example]);
        for _ in 0..=self.rng.below(8) {
            self.change();
        }
    }

    fn change(&mut self) {
        if self.input.is_empty() {
            self.input.push(0);
        }
        let place = self.rng.place(self.input.len());
        let byte = self.rng.next().to_le_bytes()[0];
        match self.rng.below(9) {
            0 => self.input[place] ^= 1 << (byte % 8),
            1 => self.input[place] = byte,
            2 => self.input[place] = self.rng.pick(&TELLING),
            3 => self.input.insert(place, byte),
            4 => drop(self.input.remove(place)),
            5 => self.input.truncate(place),
            6 => {
                let end = (place + usize::from(byte % 16)).min(self.input.len());
                let piece = self.input[place..end].to_vec();
                self.input.extend(piece);
            }
            7 => {
                let other = self.rng.place(self.examples.len());
                let from = self.rng.place(self.examples[other].len());
                self.input.truncate(place);
                self.input.extend_from_slice(&self.examples[other][from..]);
            }
            _ => self.input.extend((0..byte % 24).map(|_| self.rng.next().to_le_bytes()[0])),
        }
        self.input.truncate(self.target.max_input());
    }
}

/// Leaves out pieces, ever smaller ones, as long as the target still does not behave.
fn shorten(target: Target, mut input: Vec<u8>) -> Vec<u8> {
    let mut piece = input.len().div_ceil(2);
    while piece > 0 {
        let mut place = 0;
        while place < input.len() {
            let mut shorter = input.clone();
            shorter.drain(place..(place + piece).min(input.len()));
            if crashes(target, &shorter) {
                input = shorter;
            } else {
                place += piece;
            }
        }
        piece /= 2;
    }
    input
}

fn crashes(target: Target, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| target.execute(input))).is_err()
}

/// Bytes at which readers change their minds.
const TELLING: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'\r', b'#', b'=', b'-', b'[', b' '];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_inputs() {
        let inputs = |seed| {
            let mut campaign = Campaign::new(Target::MachineFile, seed);
            let draw = |_| {
                campaign.draw();
                campaign.input.clone()
            };
            (0..100).map(draw).collect::<Vec<_>>()
        };
        assert_eq!(inputs(5), inputs(5));
        assert_ne!(inputs(5), inputs(6));
    }

    #[test]
    fn examples_are_right() {
        for target in Target::ALL {
            examples::of(target).iter().for_each(|example| target.execute(example));
        }
    }
}
