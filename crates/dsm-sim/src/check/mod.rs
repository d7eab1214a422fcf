//! Decides whether a [`History`] is sequentially consistent, or linearizable.
//!
//! What each read saw is known, so a history forces an order: program order, reads-from, by the clock if
//! asked, and what two rules add (Gibbons and Korach, "Testing Shared Memories", SIAM J. Comput. 26(4),
//! 1997; the rules are those of Manovit and Hangal, "Completely Verifying Memory Consistency of Test
//! Program Executions", HPCA 2006). A circle in it is a violation, and says which operations contradict
//! each other. Without one, an order of all operations is searched and, before anybody is told, verified
//! from scratch: it is the proof. The forced order is complete when every write also reads, so such
//! histories are always decided; for others the problem is NP-complete, and small histories are decided
//! by trying both orders of what is left open.

mod closure;
mod enumerate;
mod graph;
mod index;
mod violation;
mod witness;

#[cfg(test)]
mod tests;

pub use enumerate::enumerate;
pub use violation::{Link, Located, Reason, Violation};

use crate::history::{History, Operation, Value};
use closure::{Closure, Cyclic};
use graph::Graph;
use index::{Index, NEVER_WRITTEN};
use std::fmt;
use witness::Guess;

/// What an order of all operations must respect beside each thread's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Nothing: sequential consistency.
    Program,
    /// An operation that ended before another began precedes it: linearizability.
    RealTime,
}

/// What can be said about a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An order of all operations explains every read; it was found and verified.
    Consistent,
    /// No order does.
    Violated(Box<Violation>),
    /// Neither was shown. Whoever tests must count it as a failure.
    Undecided,
}

/// A history that nothing can be said about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryError {
    /// Too many operations or threads.
    TooLarge {
        /// How many operations there are.
        operations: usize,
        /// How many threads there are.
        threads: usize,
    },
    /// An operation ended before it began.
    EndsBeforeItBegins {
        /// The operation.
        operation: Operation,
    },
    /// The value written was written to the word before, or is the initial one.
    NotUnique {
        /// The operation.
        operation: Operation,
    },
}

/// Decides about a history.
///
/// # Errors
/// If the history is not what [`history`](crate::history) says it is, or too large.
pub fn check(history: &History, order: Order) -> Result<Verdict, HistoryError> {
    let index = Index::new(history)?;
    if let Some(read) = index.numbers().find(|at| index.op(*at).source == NEVER_WRITTEN) {
        let violation = Violation::NeverWritten(Located::new(&index, read));
        return Ok(Verdict::Violated(Box::new(violation)));
    }
    let mut graph = Graph::new(&index);
    if order == Order::RealTime {
        graph.order_by_time();
    }
    let mut trials = if index.operations() <= SMALL { TRIALS } else { 0 };
    Ok(match decide(Closure::new(graph), &mut trials) {
        Decision::Witness(witness) => {
            verify(&index, order, &witness);
            Verdict::Consistent
        }
        Decision::Violated(violation) => Verdict::Violated(violation),
        Decision::Open => Verdict::Undecided,
    })
}

enum Decision {
    /// An order of all operations.
    Witness(Vec<u32>),
    Violated(Box<Violation>),
    Open,
}

fn decide(mut closure: Closure, trials: &mut u32) -> Decision {
    if let Err(Cyclic { ordered }) = closure.close() {
        return Decision::Violated(Box::new(violation::circle(&closure.graph, &ordered)));
    }
    let guess = match witness::find(&closure) {
        Ok(witness) => return Decision::Witness(witness),
        Err(guess) => guess.or_else(|| open_pair(&closure)),
    };
    let Some(Guess { early, late }) = guess.filter(|_| *trials > 0) else { return Decision::Open };
    let mut try_order = |from, to| {
        *trials = trials.saturating_sub(1);
        let mut closure = closure.clone();
        closure.assume(from, to);
        decide(closure, trials)
    };
    let one = match try_order(late, early) {
        Decision::Violated(violation) => violation,
        found => return found,
    };
    let other = match try_order(early, late) {
        Decision::Violated(violation) => violation,
        found => return found,
    };
    let writes = [late, early].map(|at| Located::new(closure.graph.index, at));
    Decision::Violated(Box::new(Violation::NeitherOrder { writes, because: [one, other] }))
}

/// Two writes to one word that no rule has put in order.
fn open_pair(closure: &Closure) -> Option<Guess> {
    let index = closure.graph.index;
    let ordered = |a, b| closure.precedes(a, b) || closure.precedes(b, a);
    (0..index.words()).find_map(|word| {
        let writers: Vec<u32> = index.writers(index::number(word)).collect();
        let pairs = writers.iter().flat_map(|a| writers.iter().map(move |b| (*a, *b)));
        let mut open = pairs.filter(|(early, late)| !ordered(*early, *late));
        open.next().map(|(early, late)| Guess { early, late })
    })
}

/// Carries the operations out one after another.
///
/// # Panics
/// If the order does not explain the history: then the checker is wrong.
fn verify(index: &Index, order: Order, witness: &[u32]) {
    let mut places = vec![0; index.threads()];
    let mut memory = vec![Value::INITIAL; index.words()];
    let mut latest_start_ns = 0;
    for &at in witness {
        let (op, action, span) = (index.op(at), index.action(at), index.span(at));
        let (place, word) = (&mut places[usize::from(op.thread)], &mut memory[op.word as usize]);
        assert_eq!(*place, op.place, "a witness keeps program order");
        *place += 1;
        assert!(action.read().is_none_or(|read| read == *word), "a witness explains every read");
        *word = action.wrote().unwrap_or(*word);
        latest_start_ns = span.began_ns.max(latest_start_ns);
        assert!(
            order == Order::Program || span.ended_ns >= latest_start_ns,
            "a witness keeps the order of time"
        );
    }
    assert_eq!(witness.len(), index.operations(), "a witness has every operation");
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { operations, threads } => write!(
                f,
                "cannot check {operations} operations of {threads} threads: at most {} of {}",
                index::MAX_OPERATIONS,
                index::MAX_THREADS
            ),
            Self::EndsBeforeItBegins { operation } => {
                write!(f, "cannot check: {operation} ends before it begins")
            }
            Self::NotUnique { operation } => {
                write!(f, "cannot check: {operation} does not leave a new value")
            }
        }
    }
}

impl std::error::Error for HistoryError {}

/// Histories up to this size are decided by trying, if need be.
const SMALL: usize = 4096;
/// How many orders are tried.
const TRIALS: u32 = 1000;
