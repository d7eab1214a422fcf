use super::batch::{Batch, Ground, Start};
use super::cells::Cells;
use super::shape::Shape;
use super::tally::{Forbidden, Tally};
use super::walk::{Walk, values};
use crate::clock;
use crate::hub::{Hub, HubError};
use dsm::{Node, WordsError};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;
use thiserror::Error;

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// The first batch.
    pub first: u64,
    /// What follows it.
    pub next: Next,
    /// Stop after so many instances.
    pub instances: u64,
    /// Stop at this time.
    pub until: Option<Instant>,
}

/// Which batch follows a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The one of the next number.
    Following,
    /// The same again.
    Same,
}

/// Why a run ended early.
#[derive(Debug, Error)]
pub enum Failure {
    /// The ranks could not talk.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The shared area is too small.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// Another rank sent results that do not fit the batch.
    #[error("rank {rank} sent {bytes} bytes of results of batch {batch}, which is wrong")]
    Results {
        /// Which rank.
        rank: usize,
        /// How many bytes it sent.
        bytes: usize,
        /// Which batch.
        batch: u64,
    },
}

/// Runs batches on all ranks until the budget of rank 0 is used up or an outcome is forbidden. Rank 0 has
/// the tally; at the others it is empty.
///
/// # Errors
/// If the ranks cannot go on together.
pub fn run(
    node: &Node,
    hub: &mut Hub,
    shapes: &[Shape],
    seed: u64,
    budget: Budget,
) -> Result<(Tally, Option<Forbidden>), Failure> {
    let ground = Ground::new(node);
    let cells = Cells::new(node, ground.bytes())?;
    let mut runner = Runner { node, hub, shapes, ground, cells, tally: Tally::new(shapes) };
    let mut number = budget.first;
    let mut forbidden = None;
    loop {
        let is_over = forbidden.is_some()
            || runner.tally.instances() >= budget.instances
            || budget.until.is_some_and(|until| Instant::now() >= until);
        if runner.hub.spread(vec![u8::from(is_over)])? != [0] {
            return Ok((runner.tally, forbidden));
        }
        let batch = Batch::draw(seed, number, shapes, &runner.ground);
        forbidden = runner.run(&batch)?;
        number += u64::from(budget.next == Next::Following);
    }
}

struct Runner<'a> {
    node: &'a Node,
    hub: &'a mut Hub,
    shapes: &'a [Shape],
    ground: Ground,
    cells: Cells<'a>,
    tally: Tally,
}

impl Runner<'_> {
    fn run(&mut self, batch: &Batch) -> Result<Option<Forbidden>, Failure> {
        let shape = &self.shapes[batch.shape];
        self.set_up(batch)?;
        let threads = (0..shape.threads.len()).filter(|&t| batch.ranks[t] == self.node.rank());
        let walks: Vec<_> = threads.map(|t| (t, Walk::of_thread(batch, shape, t))).collect();
        // All are ready; start together, where the ranks share a clock.
        self.hub.gather(Vec::new())?;
        let start_ns = (clock::now_ns() + AHEAD_NS).to_le_bytes().to_vec();
        let start_ns = self.hub.spread(start_ns)?.try_into().map_or(0, u64::from_le_bytes);
        let results = self.hub.gather(self.walk(batch, &walks, start_ns))?;
        // All are done; the final values can be read.
        self.hub.spread(Vec::new())?;
        let is_reader = batch.reader == self.node.rank();
        let finals = self.hub.gather(if is_reader { self.look(batch) } else { Vec::new() })?;
        if self.node.rank() != 0 {
            return Ok(None);
        }
        self.tally.count(batch, shape, &results, &finals[usize::from(batch.reader)])
    }

    /// Gives the variables their initial values and the pages their initial state.
    fn set_up(&mut self, batch: &Batch) -> Result<(), Failure> {
        let shape = &self.shapes[batch.shape];
        let places = batch.places.iter().enumerate();
        let mine = places
            .filter(|(place, _)| batch.holder(shape, &self.ground, *place) == self.node.rank());
        let walk = Walk::of_initial(batch, mine.map(|(_, offset)| *offset));
        self.cells.with(batch.width, walk.taken(Ordering::SeqCst));
        if batch.start == Start::Everyone {
            self.hub.meet_again()?;
            self.look(batch);
        }
        Ok(())
    }

    /// Carries out the threads of this rank and gives what their loads saw, thread by thread.
    fn walk(&self, batch: &Batch, walks: &[(usize, Walk)], start_ns: u64) -> Vec<u8> {
        let ordering = if batch.shares_ranks() { Ordering::SeqCst } else { Ordering::Relaxed };
        let take = |(thread, walk): &(usize, Walk)| {
            let late_ns = batch.rng(*thread).below(batch.spread_ns + 1);
            let begin_ns = start_ns + late_ns;
            if begin_ns < clock::now_ns() + FARTHEST_NS {
                clock::pass_until(begin_ns, batch.manner);
            }
            self.cells.with(batch.width, walk.taken(ordering))
        };
        let results: Vec<Vec<u64>> = match walks {
            [] => Vec::new(),
            [alone] => vec![take(alone)],
            several => thread::scope(|scope| {
                let threads = several.iter().map(|walk| scope.spawn(move || take(walk)));
                let threads: Vec<_> = threads.collect();
                let join = |thread: thread::ScopedJoinHandle<_>| {
                    thread.join().expect("loads and stores do not panic")
                };
                threads.into_iter().map(join).collect()
            }),
        };
        values(batch, &results.concat())
    }

    /// The values of all variables, as this rank sees them.
    fn look(&self, batch: &Batch) -> Vec<u8> {
        let walk = Walk::of_places(batch);
        values(batch, &self.cells.with(batch.width, walk.taken(Ordering::SeqCst)))
    }
}

/// How long after the word that all are ready they start: about as long as the word takes.
const AHEAD_NS: u64 = 30_000;
/// A start farther away than this is by the clock of another host, and of no use.
const FARTHEST_NS: u64 = 10_000_000;
