use super::Order;
use crate::history::{History, Value, WordId};
use std::collections::{BTreeMap, BTreeSet};

/// Whether some order of all operations explains every read, found by trying all of them: slow, exact,
/// and with nothing in common with [`check`](super::check), so that the two can be compared.
#[must_use]
pub fn enumerate(history: &History, order: Order) -> bool {
    let start = State { heads: vec![0; history.threads.len()], memory: BTreeMap::new() };
    let mut seen = BTreeSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some(state) = open.pop() {
        if state.is_end(history) {
            return true;
        }
        for thread in 0..history.threads.len() {
            let next = state.step(history, order, thread);
            open.extend(next.filter(|next| seen.insert(next.clone())));
        }
    }
    false
}

/// How far each thread has come, and what it left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    heads: Vec<usize>,
    memory: BTreeMap<WordId, Value>,
}

impl State {
    fn is_end(&self, history: &History) -> bool {
        self.heads.iter().zip(&history.threads).all(|(head, thread)| *head == thread.len())
    }

    /// The state after the next operation of a thread, if it may be the next of all.
    fn step(&self, history: &History, order: Order, thread: usize) -> Option<Self> {
        let operation = history.threads[thread].get(self.heads[thread])?;
        let mut waiting = self
            .heads
            .iter()
            .zip(&history.threads)
            .flat_map(|(head, operations)| &operations[*head..]);
        let in_time = waiting.all(|other| other.span.ended_ns >= operation.span.began_ns);
        let found = self.memory.get(&operation.word).copied().unwrap_or(Value::INITIAL);
        let fits = operation.action.read().is_none_or(|read| read == found);
        if !fits || (order == Order::RealTime && !in_time) {
            return None;
        }
        let mut next = self.clone();
        next.heads[thread] += 1;
        if let Some(wrote) = operation.action.wrote() {
            next.memory.insert(operation.word, wrote);
        }
        Some(next)
    }
}
