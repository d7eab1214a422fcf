use super::closure::Closure;
use super::index::{INITIAL, Index, Kind};
use std::collections::BTreeMap;
use std::mem;

/// An order of all operations that explains every read, if the search finds one.
///
/// # Errors
/// A pair of writes to decide about, if the search knows one that would help.
pub(super) fn find(closure: &Closure) -> Result<Vec<u32>, Option<Guess>> {
    let mut builder = Builder::new(closure);
    let mut budget = UNDONE_PER_NODE * closure.graph.nodes() + UNDONE_AT_LEAST;
    while builder.log.len() < closure.graph.nodes() {
        if builder.do_forced() || builder.do_a_write() {
            continue;
        }
        let circle = builder.circle();
        let latest =
            circle.iter().copied().max_by_key(|guess| builder.done_at[guess.early as usize]);
        let wrong = latest.ok_or(None)?;
        let undone = builder.turn_round(wrong, circle);
        budget = budget.checked_sub(undone).ok_or(Some(wrong))?;
    }
    let nodes = builder.log.iter().map(|done| done.node);
    Ok(nodes.filter(|node| closure.graph.is_operation(*node)).collect())
}

/// The order that was chosen for two writes to one word: the builder did `early` and not yet `late`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Guess {
    pub(super) early: u32,
    pub(super) late: u32,
}

/// Builds an order of all operations, step by step, in which each read sees the latest write.
///
/// Reads are done as soon as they can be, which rules nothing out. Which write is next is a guess; when
/// nothing can go on, a circle of threads that wait for one another tells which guesses do not fit
/// together. The latest of them is turned round, and everything since then is undone.
#[derive(Debug)]
struct Builder<'c, 'a> {
    closure: &'c Closure<'a>,
    index: &'a Index,
    /// The next node of each chain.
    heads: Vec<u32>,
    done: Vec<bool>,
    /// Where a node that is done stands in the log.
    done_at: Vec<u32>,
    log: Vec<Done>,
    /// The latest write to each word, or [`INITIAL`].
    current: Vec<u32>,
    /// How many reads of each write, by operation, are not done.
    unread: Vec<u32>,
    /// The reads of each write, all of them, sorted by write. Made when the builder is stuck for the first time.
    readers: Option<Vec<(u32, u32)>>,
    /// For a write, what must be done before it because a guess was turned round.
    learned: BTreeMap<u32, Vec<Learned>>,
}

#[derive(Clone, Copy, Debug)]
struct Done {
    chain: usize,
    node: u32,
    /// The write to the same word before this one.
    overwritten: u32,
}

/// A write must be done first, as long as these guesses stand.
#[derive(Clone, Debug)]
struct Learned {
    first: u32,
    because: Vec<Guess>,
}

/// What keeps a node from being done.
#[derive(Clone, Debug)]
struct Wait {
    /// What must be done before.
    until: u32,
    /// Which guesses this comes from; none if it is forced.
    because: Vec<Guess>,
}

impl<'c, 'a> Builder<'c, 'a> {
    fn new(closure: &'c Closure<'a>) -> Self {
        let (graph, index) = (&closure.graph, closure.graph.index);
        let mut unread = vec![0; index.operations()];
        for at in index.numbers() {
            if let Some(source) = graph.source(at) {
                unread[source as usize] += 1;
            }
        }
        Self {
            closure,
            index,
            heads: (0..graph.chains()).map(|chain| graph.chain(chain).start).collect(),
            done: vec![false; graph.nodes()],
            done_at: vec![0; graph.nodes()],
            log: Vec::with_capacity(graph.nodes()),
            current: vec![INITIAL; index.words()],
            unread,
            readers: None,
            learned: BTreeMap::new(),
        }
    }

    /// Does everything that rules nothing out. Whether there was anything.
    fn do_forced(&mut self) -> bool {
        let before = self.log.len();
        for chain in 0..self.heads.len() {
            while let Some(node) = self.head(chain).filter(|&node| self.is_forced(node)) {
                self.perform(chain, node);
            }
        }
        self.log.len() > before
    }

    /// Does the write with the shortest past of those that can be done. Whether there was one.
    fn do_a_write(&mut self) -> bool {
        let chains = 0..self.index.threads();
        let heads = chains.filter_map(|chain| self.head(chain).map(|node| (chain, node)));
        let ready = heads.filter(|(_, node)| self.is_ready(*node));
        let shortest = ready.min_by_key(|(_, node)| self.closure.past_size(*node));
        if let Some((chain, node)) = shortest {
            self.perform(chain, node);
        }
        shortest.is_some()
    }

    fn head(&self, chain: usize) -> Option<u32> {
        Some(self.heads[chain]).filter(|node| self.closure.graph.chain(chain).contains(node))
    }

    fn is_forced(&self, node: u32) -> bool {
        match self.closure.graph.is_operation(node) {
            true => self.index.op(node).kind.reads() && self.is_ready(node),
            false => self.stored_wait(node).is_none(),
        }
    }

    /// Whether the operation can be done now. A read of the initial value precedes all writes by edges.
    fn is_ready(&self, node: u32) -> bool {
        let op = self.index.op(node);
        let current = self.current[op.word as usize];
        let unread = if current == INITIAL { 0 } else { self.unread[current as usize] };
        let fits = match op.kind {
            Kind::Read => current == op.source,
            Kind::Write => unread == 0,
            Kind::Exchange => current == op.source && unread <= 1,
        };
        fits && self.stored_wait(node).is_none() && self.learned_wait(node).is_none()
    }

    fn stored_wait(&self, node: u32) -> Option<u32> {
        let mut edges = self.closure.graph.stored(node).map(|(_, edge)| edge.from);
        edges.find(|from| !self.done[*from as usize])
    }

    fn learned_wait(&self, node: u32) -> Option<&Learned> {
        self.learned.get(&node)?.iter().find(|learned| !self.done[learned.first as usize])
    }

    fn perform(&mut self, chain: usize, node: u32) {
        self.done[node as usize] = true;
        self.done_at[node as usize] = super::index::number(self.log.len());
        self.heads[chain] += 1;
        let mut overwritten = INITIAL;
        if self.closure.graph.is_operation(node) {
            if let Some(source) = self.closure.graph.source(node) {
                self.unread[source as usize] -= 1;
            }
            let op = self.index.op(node);
            if op.kind.writes() {
                overwritten = mem::replace(&mut self.current[op.word as usize], node);
            }
        }
        self.log.push(Done { chain, node, overwritten });
    }

    /// Takes back the latest node and names it.
    fn undo(&mut self) -> u32 {
        let Done { chain, node, overwritten } = self.log.pop().expect("a guess was done once");
        self.done[node as usize] = false;
        self.heads[chain] -= 1;
        if self.closure.graph.is_operation(node) {
            if let Some(source) = self.closure.graph.source(node) {
                self.unread[source as usize] += 1;
            }
            let op = self.index.op(node);
            if op.kind.writes() {
                self.current[op.word as usize] = overwritten;
            }
        }
        node
    }

    /// The guesses that do not fit together: those in a circle of chains that wait for one another.
    fn circle(&mut self) -> Vec<Guess> {
        let mut waits: Vec<Wait> = Vec::new();
        let mut met = vec![None; self.heads.len()];
        let first = (0..self.heads.len()).find(|&chain| self.head(chain).is_some());
        let mut chain = first.expect("not everything is done");
        while met[chain].is_none() {
            met[chain] = Some(waits.len());
            let node = self.head(chain).expect("what somebody waits for is not done");
            let wait = self.wait(node);
            chain = match self.closure.graph.is_operation(wait.until) {
                true => usize::from(self.index.op(wait.until).thread),
                false => self.index.threads(),
            };
            waits.push(wait);
        }
        let circle = waits.drain(met[chain].unwrap_or_default()..);
        let mut guesses: Vec<Guess> = circle.flat_map(|wait| wait.because).collect();
        guesses.sort_unstable();
        guesses.dedup();
        guesses
    }

    /// Why the node cannot be done, which it cannot.
    fn wait(&mut self, node: u32) -> Wait {
        if let Some(until) = self.stored_wait(node) {
            return Wait { until, because: Vec::new() };
        }
        if let Some(Learned { first, because }) = self.learned_wait(node) {
            return Wait { until: *first, because: because.clone() };
        }
        let op = self.index.op(node);
        let current = self.current[op.word as usize];
        if op.kind.reads() && current != op.source {
            return Wait { until: op.source, because: Vec::new() };
        }
        let until = self.unread_read(current, node);
        let guess = Guess { early: current, late: node };
        let is_forced = self.closure.precedes(current, node);
        Wait { until, because: if is_forced { Vec::new() } else { vec![guess] } }
    }

    /// A read of this write, other than `but`, that is not done.
    fn unread_read(&mut self, source: u32, but: u32) -> u32 {
        let (graph, index) = (&self.closure.graph, self.index);
        let readers = self.readers.get_or_insert_with(|| {
            let reads = index.numbers().filter_map(|at| Some((graph.source(at)?, at)));
            let mut reads: Vec<_> = reads.collect();
            reads.sort_unstable();
            reads
        });
        let start = readers.partition_point(|(write, _)| *write < source);
        let reads = readers[start..].iter().take_while(|(write, _)| *write == source);
        let mut undone = reads.map(|(_, read)| *read).filter(|read| !self.done[*read as usize]);
        undone.find(|read| *read != but).expect("a write waits for reads of what it overwrites")
    }

    /// Takes a guess back, with everything after it, because it does not fit to the others. Returns how
    /// much was undone.
    fn turn_round(&mut self, wrong: Guess, circle: Vec<Guess>) -> usize {
        let before = self.log.len();
        while self.undo() != wrong.early {}
        let done = &self.done;
        let stands = |guess: &Guess| done[guess.early as usize];
        self.learned.retain(|_, all| {
            all.retain(|learned| learned.because.iter().all(stands));
            !all.is_empty()
        });
        let because = circle.into_iter().filter(|guess| *guess != wrong).collect();
        let learned = Learned { first: wrong.late, because };
        self.learned.entry(wrong.early).or_default().push(learned);
        before - self.log.len()
    }
}

/// How much may be undone before the search is given up, for each node and in any case.
const UNDONE_PER_NODE: usize = 8;
const UNDONE_AT_LEAST: usize = 1000;
