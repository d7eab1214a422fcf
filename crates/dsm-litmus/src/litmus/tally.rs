use super::batch::{Batch, Home, Layout, Start};
use super::outcome::Outcome;
use super::run::Failure;
use super::shape::Shape;
use std::collections::BTreeMap;
use std::fmt;

/// What the instances came to.
#[derive(Clone, Debug)]
pub struct Tally {
    /// For each shape, how often each outcome was seen.
    outcomes: Vec<BTreeMap<Outcome, u64>>,
    /// How many instances there were of each placement.
    places: BTreeMap<(Layout, Home, Start), u64>,
    batches: u64,
}

/// An outcome that no interleaving has.
#[derive(Clone, Debug)]
pub struct Forbidden {
    /// The shape.
    pub shape: &'static str,
    /// What was seen, in words.
    pub outcome: String,
    /// Which instance of the batch.
    pub instance: usize,
    /// The batch.
    pub batch: Batch,
}

impl Tally {
    pub(super) fn new(shapes: &[Shape]) -> Self {
        let outcomes = vec![BTreeMap::new(); shapes.len()];
        Self { outcomes, places: BTreeMap::new(), batches: 0 }
    }

    /// Adds the instances of a batch: the values that each rank's threads loaded, and the final ones.
    /// Returns the first instance with a forbidden outcome.
    ///
    /// # Errors
    /// If the number of values is wrong.
    pub(super) fn count(
        &mut self,
        batch: &Batch,
        shape: &Shape,
        results: &[Vec<u8>],
        finals: &[u8],
    ) -> Result<Option<Forbidden>, Failure> {
        let per_thread = divide(batch, shape, results)?;
        if finals.len() != batch.places.len() {
            let (rank, bytes) = (batch.reader.into(), finals.len());
            return Err(Failure::Results { rank, bytes, batch: batch.number });
        }
        self.batches += 1;
        *self.places.entry((batch.layout, batch.home, batch.start)).or_default() +=
            batch.instances as u64;
        let mut forbidden = None;
        for instance in 0..batch.instances {
            let loaded = per_thread.iter().enumerate().flat_map(|(thread, values)| {
                let loads = shape.loads(thread);
                &values[instance * loads..][..loads]
            });
            let last = &finals[instance * shape.variables..][..shape.variables];
            let values = loaded.chain(last).enumerate();
            let outcome =
                values.fold(Outcome::default(), |outcome, (at, value)| outcome.with(at, *value));
            *self.outcomes[batch.shape].entry(outcome).or_default() += 1;
            if forbidden.is_none() && !shape.allowed.contains(&outcome) {
                let (name, outcome) = (shape.name, shape.describe(outcome));
                forbidden =
                    Some(Forbidden { shape: name, outcome, instance, batch: batch.clone() });
            }
        }
        Ok(forbidden)
    }

    /// How many instances were run.
    #[must_use]
    pub fn instances(&self) -> u64 {
        self.places.values().sum()
    }

    /// How many batches they came in.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// How often each outcome of a shape was seen, by the shape's place in the run.
    #[must_use]
    pub fn outcomes(&self, shape: usize) -> &BTreeMap<Outcome, u64> {
        &self.outcomes[shape]
    }

    /// How many instances there were of each placement.
    #[must_use]
    pub fn places(&self) -> &BTreeMap<(Layout, Home, Start), u64> {
        &self.places
    }
}

/// The values of each thread, from those of the ranks, each of which has its threads' in their order.
fn divide<'a>(
    batch: &Batch,
    shape: &Shape,
    results: &'a [Vec<u8>],
) -> Result<Vec<&'a [u8]>, Failure> {
    let mut left: Vec<&[u8]> = results.iter().map(Vec::as_slice).collect();
    let error =
        |rank: usize| Failure::Results { rank, bytes: results[rank].len(), batch: batch.number };
    let mut threads = Vec::new();
    for (thread, rank) in batch.ranks.iter().map(|rank| usize::from(*rank)).enumerate() {
        let count = batch.instances * shape.loads(thread);
        let (mine, rest) = left[rank].split_at_checked(count).ok_or_else(|| error(rank))?;
        left[rank] = rest;
        threads.push(mine);
    }
    match left.iter().position(|rest| !rest.is_empty()) {
        Some(rank) => Err(error(rank)),
        None => Ok(threads),
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shape, outcome, instance, batch } = self;
        write!(f, "FORBIDDEN outcome of {shape}: {outcome}\n  instance {instance} of {batch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::litmus::batch::{Ground, Style};
    use crate::litmus::cells::Width;

    /// Store buffering on two ranks, two instances; each thread loads once an instance.
    fn count(results: [&[u8]; 2], finals: &[u8]) -> Result<Option<Forbidden>, Failure> {
        let shapes = [Shape::store_buffering()];
        let batch = Batch {
            ranks: vec![1, 0],
            instances: 2,
            width: Width::W64,
            layout: Layout::OnePage,
            start: Start::Home,
            style: Style::Straight,
            reader: 0,
            places: vec![0; 4],
            ..Batch::draw(1, 0, &shapes, &Ground::of(2, 300))
        };
        let mut tally = Tally::new(&shapes);
        let found = tally.count(&batch, &shapes[0], &results.map(<[u8]>::to_vec), finals);
        found.inspect(|_| assert_eq!(tally.instances(), 2))
    }

    #[test]
    fn a_forbidden_outcome_is_reported() {
        let all_is_well = count([&[1, 0], &[0, 1]], &[1; 4]).unwrap();
        assert!(all_is_well.is_none());
        let check = |results, finals: &[u8], outcome: &str| {
            let text = count(results, finals).unwrap().unwrap().to_string();
            assert!(text.contains(outcome), "{text}");
        };
        check([&[1, 0], &[0, 0]], &[1; 4], "SB: 0:y=0 1:x=0 x=1 y=1\n  instance 1 of batch 0");
        // A store that is lost, and a value of another time.
        check([&[1, 0], &[0, 1]], &[1, 0, 1, 1], "SB: 0:y=0 1:x=1 x=1 y=0\n  instance 0");
        check([&[1, 15], &[0, 1]], &[1; 4], "SB: 0:y=1 1:x=? x=1 y=1\n  instance 1");
    }

    #[test]
    fn results_that_do_not_fit_are_refused() {
        assert!(count([&[1, 0], &[0]], &[1; 4]).is_err());
        assert!(count([&[1, 0], &[0, 1, 1]], &[1; 4]).is_err());
        assert!(count([&[1, 0], &[0, 1]], &[1; 3]).is_err());
    }
}
