use super::graph::{Graph, Why};
use super::index::Index;
use crate::history::Operation;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// Why no order of all operations explains what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// This read saw a value that nobody wrote to the word.
    NeverWritten(Located),
    /// Each of these operations must precede the next, and the last one the first.
    Circle(Vec<Link>),
    /// Two writes must be in some order, and neither is possible.
    NeitherOrder {
        /// The writes.
        writes: [Located; 2],
        /// What is wrong if they are done in this order, and what if in the other.
        because: [Box<Violation>; 2],
    },
}

/// An operation of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its thread.
    pub thread: usize,
    /// Its place in the thread, from 0.
    pub place: usize,
    /// What it did.
    pub operation: Operation,
}

/// An operation that must precede the next in a circle, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The operation.
    pub operation: Located,
    /// Why it precedes the next.
    pub reason: Reason,
}

/// Why one operation must precede another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The same thread did it first.
    Program,
    /// It wrote what the other read.
    ReadsFrom,
    /// It ended before the other began.
    Time,
    /// Both wrote the word, and this later read saw the other's value.
    SeenAfter(Located),
    /// It read the word before the other changed it.
    SeenBefore,
    /// The other order was tried too.
    Assumed,
}

impl Located {
    pub(super) fn new(index: &Index, at: u32) -> Self {
        let op = index.op(at);
        let (thread, place) = (op.thread.into(), op.place as usize);
        Self { thread, place, operation: index.operation(at) }
    }
}

/// A short circle among the nodes that cannot be ordered.
pub(super) fn circle(graph: &Graph, ordered: &[bool]) -> Violation {
    let shortest = starts(graph, ordered).into_iter().map(|start| around(graph, ordered, start));
    let nodes = shortest.min_by_key(Vec::len).expect("what cannot be ordered contains a circle");
    let locate = |at| Located::new(graph.index, at);
    let links = nodes.into_iter().filter(|(node, _)| graph.is_operation(*node));
    let links = links.map(|(node, why)| {
        let reason = match why {
            Why::Program => Reason::Program,
            Why::ReadsFrom => Reason::ReadsFrom,
            Why::Time => Reason::Time,
            Why::SeenAfter(read) => Reason::SeenAfter(locate(read)),
            Why::SeenBefore => Reason::SeenBefore,
            Why::Assumed => Reason::Assumed,
        };
        Link { operation: locate(node), reason }
    });
    Violation::Circle(links.collect())
}

/// Some nodes that are in circles.
fn starts(graph: &Graph, ordered: &[bool]) -> Vec<u32> {
    let first = ordered.iter().position(|ordered| !ordered);
    let mut node = super::index::number(first.expect("something is not ordered"));
    // Backwards along what is not ordered until a node comes again: since then it was all one circle.
    let mut steps = BTreeMap::new();
    while steps.insert(node, steps.len()).is_none() {
        let mut before = graph.predecessors(node).map(|(from, _)| from);
        node = before.find(|from| !ordered[*from as usize]).expect("else it could be ordered");
    }
    let from = steps[&node];
    let circle: Vec<u32> =
        steps.into_iter().filter(|(_, step)| *step >= from).map(|(node, _)| node).collect();
    let every = circle.len().div_ceil(MAX_STARTS);
    circle.into_iter().step_by(every).collect()
}

/// The circle through a node that has the fewest steps between threads: each node, and why it precedes
/// the next.
fn around(graph: &Graph, ordered: &[bool], start: u32) -> Vec<(u32, Why)> {
    // For each node met, the next one on the way to the start.
    let mut next: BTreeMap<u32, (u32, Why)> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    'search: while let Some(node) = queue.pop_front() {
        for (from, why) in graph.predecessors(node) {
            if ordered[from as usize] || next.contains_key(&from) {
                continue;
            }
            next.insert(from, (node, why));
            if from == start {
                break 'search;
            }
            match why {
                Why::Program => queue.push_front(from),
                _ => queue.push_back(from),
            }
        }
    }
    let mut circle: Vec<(u32, Why)> = Vec::new();
    let mut node = start;
    loop {
        let (to, why) = next[&node];
        // Of a thread's operations in a row, the first and the last tell everything.
        let is_row = |last: &(u32, Why)| last.1 == Why::Program && why == Why::Program;
        if !circle.last().is_some_and(is_row) {
            circle.push((node, why));
        }
        node = to;
        if node == start {
            return circle;
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverWritten(read) => write!(f, "{read}, which nobody wrote"),
            Self::Circle(links) => {
                f.write_str("no order of these operations is possible:")?;
                for Link { operation, reason } in links {
                    write!(f, "\n  {operation}\n    precedes, because {reason}:")?;
                }
                let first = links.first().map(|link| link.operation);
                first.map_or(Ok(()), |first| write!(f, "\n  {first}"))
            }
            Self::NeitherOrder { writes: [one, other], because } => {
                write!(f, "neither order of {one} and {other} is possible")?;
                because.iter().try_for_each(|violation| write!(f, "\n{violation}"))
            }
        }
    }
}

impl std::error::Error for Violation {}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} #{}: {}", self.thread, self.place, self.operation)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("the same thread did it first"),
            Self::ReadsFrom => f.write_str("it wrote what the other read"),
            Self::Time => f.write_str("it ended before the other began"),
            Self::SeenAfter(read) => {
                write!(f, "it precedes a read that saw the other's value, [{read}]")
            }
            Self::SeenBefore => f.write_str("it read what was there before the other wrote"),
            Self::Assumed => f.write_str("this order was assumed"),
        }
    }
}

const MAX_STARTS: usize = 16;
