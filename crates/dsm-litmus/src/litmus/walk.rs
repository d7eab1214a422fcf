use super::batch::{Batch, Style};
use super::cells::{Cell, Visit};
use super::outcome::FOREIGN;
use super::shape::{Access, MAX_VALUE, Shape};
use crate::clock::{self, Manner};
use dsm_sim::rng::Rng;
use std::sync::atomic::{Ordering, compiler_fence};

/// The accesses of one thread in a batch, ready to be made.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    steps: Vec<Step>,
    /// How many values its loads bring.
    results: usize,
    /// What the thread does in a pause.
    manner: Manner,
}

/// One access of one instance.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Which word, of those of the batch's size.
    word: usize,
    action: Action,
    /// How long to pause before.
    pause_ns: u64,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Store(u64),
    /// Where the value found belongs.
    Load(usize),
}

impl Walk {
    /// What a thread of the shape does.
    pub(super) fn of_thread(batch: &Batch, shape: &Shape, thread: usize) -> Self {
        let mut rng = batch.rng(thread);
        let (accesses, loads) = (&shape.threads[thread], shape.loads(thread));
        let order = order(&mut rng, batch, accesses.len());
        let steps = order.into_iter().map(|(instance, at)| {
            let access = accesses[at];
            let place = batch.places[instance * shape.variables + access.variable()];
            let action = match access {
                Access::Store { value, .. } => Action::Store(batch.base() + u64::from(value)),
                Access::Load { .. } => {
                    let before = accesses[..at].iter().filter(|access| access.is_load()).count();
                    Action::Load(instance * loads + before)
                }
            };
            let has_pause = batch.pause_ns > 0 && rng.one_in(batch.pause_odds);
            let pause_ns = if has_pause { rng.below(batch.pause_ns) } else { 0 };
            Step { word: place / batch.width.bytes(), action, pause_ns }
        });
        Self { steps: steps.collect(), results: batch.instances * loads, manner: batch.manner }
    }

    /// Loads these places of a batch, in order.
    pub(super) fn of_places(batch: &Batch) -> Self {
        let words = batch.places.iter().map(|place| place / batch.width.bytes());
        let step = |(at, word)| Step { word, action: Action::Load(at), pause_ns: 0 };
        let (results, manner) = (batch.places.len(), batch.manner);
        Self { steps: words.enumerate().map(step).collect(), results, manner }
    }

    /// Stores the initial value to some places of a batch.
    pub(super) fn of_initial(batch: &Batch, places: impl Iterator<Item = usize>) -> Self {
        let words = places.map(|place| place / batch.width.bytes());
        let action = Action::Store(batch.base());
        let steps = words.map(|word| Step { word, action, pause_ns: 0 }).collect();
        Self { steps, results: 0, manner: batch.manner }
    }

    pub(super) fn taken(&self, ordering: Ordering) -> Taken<'_> {
        Taken { walk: self, ordering }
    }
}

/// The accesses with this ordering.
pub(super) struct Taken<'a> {
    walk: &'a Walk,
    ordering: Ordering,
}

impl Visit<Vec<u64>> for Taken<'_> {
    fn visit<C: Cell>(self, cells: &[C]) -> Vec<u64> {
        let mut found = vec![0; self.walk.results];
        for step in &self.walk.steps {
            clock::pass(step.pause_ns, self.walk.manner);
            match step.action {
                Action::Store(value) => cells[step.word].store(value, self.ordering),
                Action::Load(result) => found[result] = cells[step.word].load(self.ordering),
            }
            // The compiler keeps the order of the program too.
            compiler_fence(Ordering::SeqCst);
        }
        found
    }
}

/// Words as values of the shape; [`FOREIGN`] for what the batch did not store.
pub(super) fn values(batch: &Batch, words: &[u64]) -> Vec<u8> {
    let value = |word: &u64| {
        let value = word.checked_sub(batch.base()).and_then(|value| u8::try_from(value).ok());
        value.filter(|value| *value <= MAX_VALUE).unwrap_or(FOREIGN)
    };
    words.iter().map(value).collect()
}

/// Instances and places in their thread's program, in the order of the batch's style.
fn order(rng: &mut Rng, batch: &Batch, accesses: usize) -> Vec<(usize, usize)> {
    let mut instances: Vec<usize> = (0..batch.instances).collect();
    if rng.one_in(4) {
        instances.reverse();
    }
    match batch.style {
        Style::Straight => {
            instances.iter().flat_map(|i| (0..accesses).map(|at| (*i, at))).collect()
        }
        Style::Strided => {
            (0..accesses).flat_map(|at| instances.iter().map(move |i| (*i, at))).collect()
        }
        Style::Mixed => mixed(rng, instances, accesses),
    }
}

/// A few instances are under way at any time.
fn mixed(rng: &mut Rng, instances: Vec<usize>, accesses: usize) -> Vec<(usize, usize)> {
    let window = rng.pick(&[3, 16, 64]);
    let mut order = Vec::new();
    let mut waiting = instances.into_iter();
    let mut open: Vec<(usize, usize)> = waiting.by_ref().take(window).map(|i| (i, 0)).collect();
    while !open.is_empty() {
        let place = rng.place(open.len());
        order.push(open[place]);
        open[place].1 += 1;
        if open[place].1 == accesses {
            match waiting.next() {
                Some(instance) => open[place] = (instance, 0),
                None => _ = open.swap_remove(place),
            }
        }
    }
    order
}
