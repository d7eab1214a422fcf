use super::index::{INITIAL, Index, number};
use crate::history::Span;
use std::ops::Range;

/// What must precede what: operations, and instants that order operations by time.
///
/// Program order and reads-from are not stored; every other edge is, with its reason. An instant is when
/// an operation begins: it follows what has ended before and precedes what begins then or later.
#[derive(Clone, Debug)]
pub(super) struct Graph<'a> {
    pub(super) index: &'a Index,
    /// Operations, then instants.
    nodes: u32,
    edges: Vec<Edge>,
    /// The newest edge to each node, or [`NO_EDGE`].
    newest: Vec<u32>,
}

/// One node must precede another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) from: u32,
    pub(super) why: Why,
    /// The next edge to the same node.
    next: u32,
}

/// Why one operation must precede another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The same thread did it first.
    Program,
    /// It wrote what the other read.
    ReadsFrom,
    /// It ended before the other began.
    Time,
    /// Both wrote the word, and it precedes this read, which saw the other's value.
    SeenAfter(u32),
    /// It read what was there before the other wrote.
    SeenBefore,
    /// Assumed, to see whether that leads anywhere.
    Assumed,
}

impl<'a> Graph<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        let nodes = number(index.operations());
        Self { index, nodes, edges: Vec::new(), newest: vec![NO_EDGE; index.operations()] }
    }

    /// Lets operations that ended precede those that began later.
    pub(super) fn order_by_time(&mut self) {
        let index = self.index;
        let mut starts: Vec<u32> =
            index.numbers().filter(|&at| index.span(at) != Span::UNKNOWN).collect();
        let mut ends = starts.clone();
        starts.sort_unstable_by_key(|&at| index.span(at).began_ns);
        ends.sort_unstable_by_key(|&at| index.span(at).ended_ns);
        let mut ends = ends.into_iter().peekable();
        let mut is_open = false;
        for start in starts {
            let began = index.span(start).began_ns;
            while let Some(end) = ends.next_if(|&end| index.span(end).ended_ns < began) {
                // Once an instant has an operation after it, what ends later needs the next one.
                if !is_open {
                    self.newest.push(NO_EDGE);
                    self.nodes += 1;
                    is_open = true;
                }
                self.add(end, self.nodes - 1, Why::Time);
            }
            is_open = false;
            if !self.is_operation(self.nodes - 1) {
                self.add(self.nodes - 1, start, Why::Time);
            }
        }
    }

    pub(super) fn add(&mut self, from: u32, to: u32, why: Why) {
        let next = std::mem::replace(&mut self.newest[to as usize], number(self.edges.len()));
        self.edges.push(Edge { from, why, next });
    }

    pub(super) fn nodes(&self) -> usize {
        self.nodes as usize
    }

    pub(super) fn edges(&self) -> u32 {
        number(self.edges.len())
    }

    /// The operations of a thread; of the thread after the last, the instants.
    pub(super) fn chain(&self, thread: usize) -> Range<u32> {
        match thread == self.index.threads() {
            true => number(self.index.operations())..self.nodes,
            false => self.index.thread(thread),
        }
    }

    /// How many chains there are.
    pub(super) fn chains(&self) -> usize {
        self.index.threads() + 1
    }

    /// Whether the node is an operation, not an instant.
    pub(super) fn is_operation(&self, node: u32) -> bool {
        (node as usize) < self.index.operations()
    }

    /// The node before this one in its chain.
    pub(super) fn previous(&self, node: u32) -> Option<u32> {
        let is_first = match self.is_operation(node) {
            true => self.index.op(node).place == 0,
            false => node as usize == self.index.operations(),
        };
        (!is_first).then(|| node - 1)
    }

    /// The write that an operation read from.
    pub(super) fn source(&self, node: u32) -> Option<u32> {
        let is_read = self.is_operation(node) && self.index.op(node).kind.reads();
        is_read.then(|| self.index.op(node).source).filter(|source| *source != INITIAL)
    }

    /// The stored edges to a node, newest first, each with its number.
    pub(super) fn stored(&self, to: u32) -> impl Iterator<Item = (u32, Edge)> {
        let edge = |at: u32| (at != NO_EDGE).then(|| (at, self.edges[at as usize]));
        std::iter::successors(edge(self.newest[to as usize]), move |(_, last)| edge(last.next))
    }

    /// Everything that must directly precede a node.
    pub(super) fn predecessors(&self, node: u32) -> impl Iterator<Item = (u32, Why)> {
        let previous = self.previous(node).map(|from| (from, Why::Program));
        let source = self.source(node).map(|from| (from, Why::ReadsFrom));
        let stored = self.stored(node).map(|(_, edge)| (edge.from, edge.why));
        previous.into_iter().chain(source).chain(stored)
    }
}

const NO_EDGE: u32 = u32::MAX;
