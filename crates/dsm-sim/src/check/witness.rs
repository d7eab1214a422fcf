use super::closure::Closure;
use super::index::{INITIAL, Index, Kind};

/// Builds an order of all operations, step by step, in which each read sees the latest write.
#[derive(Debug)]
struct Builder<'c, 'a> {
    closure: &'c Closure<'a>,
    /// The next node of each chain.
    heads: Vec<u32>,
    done: Vec<bool>,
    /// The latest write to each word, or [`INITIAL`].
    current: Vec<u32>,
    /// How many reads of each write, by operation, are not done.
    unread: Vec<u32>,
    /// How many reads of each word's initial value are not done.
    unread_initial: Vec<u32>,
    order: Vec<u32>,
}

/// Two writes of one word that the builder put in an order in which it cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stuck {
    /// Was done too early, maybe.
    pub(super) early: u32,
    /// Cannot be done, because what `early` wrote is still to be read.
    pub(super) late: u32,
}

/// An order of all operations that explains every read, if a greedy search finds one. Verified.
pub(super) fn find(closure: &Closure) -> Result<Vec<u32>, Option<Stuck>> {
    let mut builder = Builder::new(closure);
    while builder.order.len() < closure.graph.index.operations() {
        if !builder.do_forced() && !builder.do_a_write() {
            return Err(builder.why_stuck());
        }
    }
    Ok(builder.order)
}

impl<'c, 'a> Builder<'c, 'a> {
    fn new(closure: &'c Closure<'a>) -> Self {
        let (graph, index) = (&closure.graph, closure.graph.index);
        let mut builder = Self {
            closure,
            heads: (0..graph.chains()).map(|chain| graph.chain(chain).start).collect(),
            done: vec![false; graph.nodes()],
            current: vec![INITIAL; index.words()],
            unread: vec![0; index.operations()],
            unread_initial: vec![0; index.words()],
            order: Vec::with_capacity(index.operations()),
        };
        for op in index.numbers().map(|at| index.op(at)).filter(|op| op.kind.reads()) {
            *builder.unread_of(op.word, op.source) += 1;
        }
        builder
    }

    fn unread_of(&mut self, word: u32, source: u32) -> &mut u32 {
        match source {
            INITIAL => &mut self.unread_initial[word as usize],
            source => &mut self.unread[source as usize],
        }
    }

    /// Does everything that can only be done next or costs nobody a choice. Whether there was anything.
    fn do_forced(&mut self) -> bool {
        let before = self.order.len();
        let mut instants = 0;
        for chain in 0..self.heads.len() {
            while let Some(node) = self.head(chain).filter(|&node| self.is_forced(node)) {
                instants += usize::from(!self.closure.graph.is_operation(node));
                self.perform(chain, node);
            }
        }
        self.order.len() > before || instants > 0
    }

    fn do_a_write(&mut self) -> bool {
        let chains = 0..self.closure.graph.index.threads();
        let writes = chains.filter_map(|chain| self.head(chain).map(|node| (chain, node)));
        let ready = writes.filter(|(_, node)| self.is_ready(*node));
        let Some((chain, node)) = ready.min_by_key(|(_, node)| self.closure.past_size(*node))
        else {
            return false;
        };
        self.perform(chain, node);
        true
    }

    fn head(&self, chain: usize) -> Option<u32> {
        Some(self.heads[chain]).filter(|node| self.closure.graph.chain(chain).contains(node))
    }

    fn is_free(&self, node: u32) -> bool {
        self.closure.graph.stored(node).all(|(_, edge)| self.done[edge.from as usize])
    }

    /// Whether doing the node now rules nothing out.
    fn is_forced(&self, node: u32) -> bool {
        if !self.closure.graph.is_operation(node) {
            return self.is_free(node);
        }
        let op = self.closure.graph.index.op(node);
        op.kind.reads() && self.is_ready(node)
    }

    /// Whether the node can be done now.
    fn is_ready(&self, node: u32) -> bool {
        let op = self.closure.graph.index.op(node);
        let current = self.current[op.word as usize];
        let unread = match current {
            INITIAL => self.unread_initial[op.word as usize],
            write => self.unread[write as usize],
        };
        let fits = match op.kind {
            Kind::Read => current == op.source,
            Kind::Write => unread == 0,
            Kind::Exchange => current == op.source && unread == 1,
        };
        fits && self.is_free(node)
    }

    fn perform(&mut self, chain: usize, node: u32) {
        self.done[node as usize] = true;
        self.heads[chain] += 1;
        if !self.closure.graph.is_operation(node) {
            return;
        }
        let op = self.closure.graph.index.op(node);
        if op.kind.reads() {
            *self.unread_of(op.word, op.source) -= 1;
        }
        if op.kind.writes() {
            self.current[op.word as usize] = node;
        }
        self.order.push(node);
    }

    fn why_stuck(&self) -> Option<Stuck> {
        None
    }
}
