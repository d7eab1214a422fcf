use super::graph::{Graph, Why};
use super::index::{INITIAL, Index, MAX_THREADS};

/// The order that a history forces, up to a fixpoint of two rules, by vector clocks in both directions:
///
/// - a write that precedes a read precedes the write the read saw;
/// - a write that follows the write a read saw follows the read.
///
/// Clocks only grow, so a round works on what the round before changed.
#[derive(Clone, Debug)]
pub(super) struct Closure<'a> {
    pub(super) graph: Graph<'a>,
    /// For each node and thread, how many of the thread's operations precede the node or are it.
    past: Vec<u32>,
    /// For each node and thread, the place of the thread's first operation that is the node or follows it.
    future: Vec<u32>,
    changed_past: Vec<bool>,
    changed_future: Vec<bool>,
    /// Edges from this one on were added after the clocks were set.
    unseen_from: u32,
    started: bool,
}

/// Nodes that precede one another in a circle, among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cyclic {
    /// Which nodes can be put in order.
    pub(super) ordered: Vec<bool>,
}

impl<'a> Closure<'a> {
    pub(super) fn new(graph: Graph<'a>) -> Self {
        let (nodes, threads) = (graph.nodes(), graph.index.threads());
        let mut closure = Self {
            past: vec![0; nodes * threads],
            future: vec![u32::MAX; nodes * threads],
            changed_past: vec![true; nodes],
            changed_future: vec![true; nodes],
            unseen_from: 0,
            started: false,
            graph,
        };
        for at in closure.graph.index.numbers() {
            let op = closure.graph.index.op(at);
            let cell = at as usize * threads + usize::from(op.thread);
            closure.past[cell] = op.place + 1;
            closure.future[cell] = op.place;
        }
        closure
    }

    /// Applies the rules until they give nothing more, or a circle.
    pub(super) fn close(&mut self) -> Result<(), Cyclic> {
        loop {
            let order = self.look_back()?;
            self.look_ahead(&order);
            self.unseen_from = self.graph.edges();
            self.apply_rules();
            self.started = true;
            if self.unseen_from == self.graph.edges() {
                return Ok(());
            }
        }
    }

    /// Assumes that one operation precedes another; [`close`](Self::close) tells what follows.
    pub(super) fn assume(&mut self, from: u32, to: u32) {
        self.order(from, to, Why::Assumed);
    }

    /// Whether one operation precedes another in every order, as far as the rules tell.
    pub(super) fn precedes(&self, a: u32, b: u32) -> bool {
        let op = self.graph.index.op(a);
        self.past[self.row(b) + usize::from(op.thread)] > op.place
    }

    /// How many operations precede this one.
    pub(super) fn past_size(&self, at: u32) -> u64 {
        let row = self.row(at);
        self.past[row..row + self.index().threads()].iter().map(|&count| u64::from(count)).sum()
    }

    fn index(&self) -> &'a Index {
        self.graph.index
    }

    fn row(&self, node: u32) -> usize {
        node as usize * self.graph.index.threads()
    }

    /// Puts the nodes in order and sets what is in the past of each.
    fn look_back(&mut self) -> Result<Vec<u32>, Cyclic> {
        let chains = self.graph.chains();
        let mut heads: Vec<u32> = (0..chains).map(|chain| self.graph.chain(chain).start).collect();
        let mut waits_for = vec![None; chains];
        let mut done = vec![false; self.graph.nodes()];
        let mut order = Vec::with_capacity(done.len());
        loop {
            let before = order.len();
            for chain in 0..chains {
                let end = self.graph.chain(chain).end;
                while heads[chain] < end {
                    let node = heads[chain];
                    if waits_for[chain].is_some_and(|other: u32| !done[other as usize]) {
                        break;
                    }
                    waits_for[chain] = self.join_past(node, &done);
                    if waits_for[chain].is_some() {
                        break;
                    }
                    done[node as usize] = true;
                    order.push(node);
                    heads[chain] += 1;
                }
            }
            if order.len() == done.len() {
                return Ok(order);
            }
            if order.len() == before {
                return Err(Cyclic { ordered: done });
            }
        }
    }

    /// Sets the past of a node whose predecessors are done, or names one that is not.
    fn join_past(&mut self, node: u32, done: &[bool]) -> Option<u32> {
        let source = self.graph.source(node);
        if source.is_some_and(|from| !done[from as usize]) {
            return source;
        }
        let (threads, to) = (self.index().threads(), self.row(node));
        let mut row = [0; MAX_THREADS];
        let row = &mut row[..threads];
        row.copy_from_slice(&self.past[to..to + threads]);
        // A rule may have set a clock together with its edge, so a new edge always counts as a change.
        let mut changed = !self.started;
        let mut join = |closure: &Self, from: u32, is_new: bool| {
            changed |= is_new;
            if is_new || closure.changed_past[from as usize] {
                let from = closure.row(from);
                for (ours, theirs) in row.iter_mut().zip(&closure.past[from..from + threads]) {
                    changed |= *ours < *theirs;
                    *ours = (*ours).max(*theirs);
                }
            }
        };
        for (number, edge) in self.graph.stored(node) {
            if !done[edge.from as usize] {
                return Some(edge.from);
            }
            join(self, edge.from, number >= self.unseen_from);
        }
        let fixed = [self.graph.previous(node), source];
        fixed.into_iter().flatten().for_each(|from| join(self, from, false));
        self.changed_past[node as usize] = changed;
        if changed {
            self.past[to..to + threads].copy_from_slice(row);
        }
        None
    }

    /// Sets what is in the future of each node.
    fn look_ahead(&mut self, order: &[u32]) {
        let threads = self.index().threads();
        self.changed_future.fill(!self.started);
        for &node in order.iter().rev() {
            let is_changed = self.changed_future[node as usize];
            let mut row = [0; MAX_THREADS];
            let row = &mut row[..threads];
            row.copy_from_slice(&self.future[self.row(node)..][..threads]);
            let (future, changed) = (&mut self.future, &mut self.changed_future);
            let mut push = |from: u32, is_new: bool| {
                if is_new || is_changed {
                    let mut grew = is_new;
                    let theirs = &mut future[from as usize * threads..][..threads];
                    for (theirs, ours) in theirs.iter_mut().zip(&*row) {
                        grew |= *ours < *theirs;
                        *theirs = (*theirs).min(*ours);
                    }
                    changed[from as usize] |= grew;
                }
            };
            let fixed = [self.graph.previous(node), self.graph.source(node)];
            fixed.into_iter().flatten().for_each(|from| push(from, false));
            for (number, edge) in self.graph.stored(node) {
                push(edge.from, number >= self.unseen_from);
            }
        }
    }

    fn apply_rules(&mut self) {
        let index = self.index();
        // Where a search ended is close to where the next one for the same word and thread will.
        let mut hints = [(); 2].map(|()| vec![0; index.words() * index.threads()]);
        for read in index.numbers().filter(|&at| index.op(at).kind.reads()) {
            let source = index.op(read).source;
            if source == INITIAL {
                if !self.started {
                    self.precede_all_writes(read);
                }
                continue;
            }
            if self.changed_past[read as usize] {
                self.order_writes_before(read, &mut hints[0]);
            }
            if self.changed_future[source as usize] {
                self.order_writes_after(read, &mut hints[1]);
            }
        }
    }

    fn precede_all_writes(&mut self, read: u32) {
        let index = self.index();
        for thread in 0..index.threads() {
            let places = index.writes(index.list(index.op(read).word, thread));
            let firsts = places.iter().map(|&place| index.at(thread, place));
            if let Some(write) = firsts.into_iter().find(|write| *write != read)
                && !self.precedes(read, write)
            {
                self.order(read, write, Why::SeenBefore);
            }
        }
    }

    /// A write that precedes the read precedes the write it saw.
    fn order_writes_before(&mut self, read: u32, hints: &mut [u32]) {
        let index = self.index();
        let op = index.op(read);
        for thread in 0..index.threads() {
            let list = index.list(op.word, thread);
            let places = index.writes(list);
            let limit = self.past[self.row(read) + thread];
            let count = count_below(places, limit, &mut hints[list]);
            let Some(mut last) = count.checked_sub(1) else { continue };
            if index.at(thread, places[last]) == read {
                let Some(other) = last.checked_sub(1) else { continue };
                last = other;
            }
            let write = index.at(thread, places[last]);
            if write != op.source && !self.precedes(write, op.source) {
                self.order(write, op.source, Why::SeenAfter(read));
            }
        }
    }

    /// A write that follows the write that was seen follows the read.
    fn order_writes_after(&mut self, read: u32, hints: &mut [u32]) {
        let index = self.index();
        let op = index.op(read);
        for thread in 0..index.threads() {
            let list = index.list(op.word, thread);
            let places = index.writes(list);
            let from = self.future[self.row(op.source) + thread];
            let mut next = count_below(places, from, &mut hints[list]);
            if places.get(next).is_some_and(|&place| index.at(thread, place) == op.source) {
                next += 1;
            }
            let Some(&place) = places.get(next) else { continue };
            let write = index.at(thread, place);
            if write != read && !self.precedes(read, write) {
                self.order(read, write, Why::SeenBefore);
            }
        }
    }

    /// Adds an edge, and to both clocks what it says at once, so that it is not found again.
    fn order(&mut self, from: u32, to: u32, why: Why) {
        let (before, after) = (self.index().op(from), self.index().op(to));
        self.graph.add(from, to, why);
        let past = self.row(to) + usize::from(before.thread);
        self.past[past] = self.past[past].max(before.place + 1);
        let future = self.row(from) + usize::from(after.thread);
        self.future[future] = self.future[future].min(after.place);
    }
}

/// How many of the sorted places are below a limit.
fn count_below(places: &[u32], limit: u32, hint: &mut u32) -> usize {
    let is_below = |&place: &u32| place < limit;
    let start = (*hint as usize).min(places.len());
    let mut step = 1;
    let (mut low, mut high) = (start, start);
    while places.get(high).is_some_and(is_below) {
        low = high + 1;
        high += step;
        step *= 2;
    }
    while low > 0 && !is_below(&places[low - 1]) {
        high = low - 1;
        low = low.saturating_sub(step);
        step *= 2;
    }
    let high = high.min(places.len());
    let count = low + places[low..high].partition_point(is_below);
    *hint = super::index::number(count);
    count
}
