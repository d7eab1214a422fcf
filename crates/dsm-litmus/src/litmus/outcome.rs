use super::shape::Access;
use std::collections::BTreeSet;

/// What came of one instance of a shape: the values loaded, thread by thread, then the final values of the
/// variables. Four bits each, the first in the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome(u64);

impl Outcome {
    /// Adds the value at a place. What is no value of the instance is [`FOREIGN`].
    #[must_use]
    pub fn with(self, place: usize, value: u8) -> Self {
        Self(self.0 | u64::from(value.min(FOREIGN)) << (4 * place))
    }

    pub(super) fn describe(self, place: usize) -> String {
        let digit = (self.0 >> (4 * place)) & 0xf;
        if digit == u64::from(FOREIGN) { "?".to_owned() } else { digit.to_string() }
    }
}

/// Every outcome of some interleaving of these threads: sequential consistency, by trying them all.
pub(super) fn enumerate(threads: &[Vec<Access>], variables: usize) -> BTreeSet<Outcome> {
    let start =
        State { heads: vec![0; threads.len()], memory: vec![0; variables], seen: Vec::new() };
    let mut known = BTreeSet::from([start.clone()]);
    let mut open = vec![start];
    let mut outcomes = BTreeSet::new();
    while let Some(state) = open.pop() {
        let mut is_end = true;
        for (thread, accesses) in threads.iter().enumerate() {
            if let Some(access) = accesses.get(state.heads[thread]) {
                is_end = false;
                let next = state.after(thread, *access);
                open.extend(known.insert(next.clone()).then_some(next));
            }
        }
        if is_end {
            outcomes.insert(state.outcome());
        }
    }
    outcomes
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    heads: Vec<usize>,
    memory: Vec<u8>,
    /// What the loads so far saw: thread, place in it, value. Sorted.
    seen: Vec<(usize, usize, u8)>,
}

impl State {
    fn after(&self, thread: usize, access: Access) -> Self {
        let mut next = self.clone();
        match access {
            Access::Store { variable, value } => next.memory[variable] = value,
            Access::Load { variable } => {
                next.seen.push((thread, self.heads[thread], self.memory[variable]));
                next.seen.sort_unstable();
            }
        }
        next.heads[thread] += 1;
        next
    }

    fn outcome(&self) -> Outcome {
        let values = self.seen.iter().map(|(.., value)| value).chain(&self.memory);
        let places = values.enumerate();
        places.fold(Outcome::default(), |outcome, (place, value)| outcome.with(place, *value))
    }
}

/// Stands for any content that the instance did not write: an older or another instance's.
pub const FOREIGN: u8 = 0xf;
