use super::HistoryError;
use crate::history::{Action, History, Operation, Span, Value, WordId};
use std::iter;

/// A history, numbered: operations thread by thread in program order, words by their place among those
/// that occur, and each read with the write it saw.
#[derive(Debug)]
pub(super) struct Index {
    ops: Vec<Op>,
    spans: Vec<Span>,
    values: Vec<Action>,
    /// The first operation of each thread, and the end.
    first: Vec<u32>,
    words: Vec<WordId>,
    /// Where the writes of each thread to each word begin in `places`, word by word.
    writes: Vec<u32>,
    /// Places, in their threads, of all writes.
    places: Vec<u32>,
}

/// An operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub(super) thread: u16,
    pub(super) kind: Kind,
    /// Place in its thread.
    pub(super) place: u32,
    pub(super) word: u32,
    /// The write that a read saw, or [`INITIAL`], or [`NEVER_WRITTEN`]; not for writes.
    pub(super) source: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Exchange,
}

impl Kind {
    pub(super) fn reads(self) -> bool {
        self != Self::Write
    }

    pub(super) fn writes(self) -> bool {
        self != Self::Read
    }
}

impl Index {
    pub(super) fn new(history: &History) -> Result<Self, HistoryError> {
        let operations = history.operations();
        if operations > MAX_OPERATIONS || history.threads.len() > MAX_THREADS {
            return Err(HistoryError::TooLarge { operations, threads: history.threads.len() });
        }
        let mut words: Vec<WordId> = history.threads.iter().flatten().map(|op| op.word).collect();
        words.sort_unstable();
        words.dedup();
        let mut index = Self {
            ops: Vec::with_capacity(operations),
            spans: Vec::with_capacity(operations),
            values: Vec::with_capacity(operations),
            first: vec![0],
            words,
            writes: Vec::new(),
            places: Vec::new(),
        };
        for (thread, operations) in (0..).zip(&history.threads) {
            index.add_thread(thread, operations)?;
        }
        index.find_sources()?;
        index.list_writes();
        Ok(index)
    }

    fn add_thread(&mut self, thread: u16, operations: &[Operation]) -> Result<(), HistoryError> {
        for (place, operation) in (0..).zip(operations) {
            let Operation { word, action, span } = *operation;
            if span.ended_ns < span.began_ns {
                return Err(HistoryError::EndsBeforeItBegins { operation: *operation });
            }
            let kind = match action {
                Action::Read(_) => Kind::Read,
                Action::Write(_) => Kind::Write,
                Action::Exchange { .. } => Kind::Exchange,
            };
            let word = self.words.binary_search(&word).expect("every word was listed");
            self.ops.push(Op { thread, kind, place, word: number(word), source: INITIAL });
            self.values.push(action);
            self.spans.push(span);
        }
        self.first.push(number(self.ops.len()));
        Ok(())
    }

    /// Joins what was read with what was written, both sorted.
    fn find_sources(&mut self) -> Result<(), HistoryError> {
        let (mut reads, mut written) = (Vec::new(), Vec::new());
        for (at, (op, action)) in (0..).zip(self.ops.iter().zip(&self.values)) {
            written.extend(action.wrote().map(|value| (op.word, value, at)));
            let seen = action.read().filter(|value| *value != Value::INITIAL);
            reads.extend(seen.map(|value| (op.word, value, at)));
        }
        written.sort_unstable();
        reads.sort_unstable();
        let twice = written.windows(2).find(|w| (w[0].0, w[0].1) == (w[1].0, w[1].1));
        let initial = written.iter().find(|(_, value, _)| *value == Value::INITIAL);
        if let Some(&(.., at)) = twice.map(|pair| &pair[1]).or(initial) {
            return Err(HistoryError::NotUnique { operation: self.operation(at) });
        }
        let mut written = written.into_iter().peekable();
        for (word, value, read) in reads {
            while written.next_if(|&(w, v, _)| (w, v) < (word, value)).is_some() {}
            let found = written.peek().filter(|&&(w, v, _)| (w, v) == (word, value));
            self.ops[read as usize].source = found.map_or(NEVER_WRITTEN, |&(.., write)| write);
        }
        Ok(())
    }

    fn list_writes(&mut self) {
        let lists = self.words.len() * self.threads();
        let list = |op: &Op| op.word as usize * (self.first.len() - 1) + usize::from(op.thread);
        let writers = || self.ops.iter().filter(|op| op.kind.writes());
        let mut ends = vec![0; lists + 1];
        writers().for_each(|op| ends[list(op)] += 1);
        let mut total = 0;
        for end in &mut ends {
            total += *end;
            *end = total;
        }
        // Backwards, so that each list ends up in order and `ends` says where each begins.
        let mut places = vec![0; total as usize];
        for op in self.ops.iter().rev().filter(|op| op.kind.writes()) {
            let end = &mut ends[list(op)];
            *end -= 1;
            places[*end as usize] = op.place;
        }
        (self.writes, self.places) = (ends, places);
    }

    pub(super) fn operations(&self) -> usize {
        self.ops.len()
    }

    pub(super) fn threads(&self) -> usize {
        self.first.len() - 1
    }

    pub(super) fn words(&self) -> usize {
        self.words.len()
    }

    pub(super) fn op(&self, at: u32) -> Op {
        self.ops[at as usize]
    }

    pub(super) fn span(&self, at: u32) -> Span {
        self.spans[at as usize]
    }

    pub(super) fn action(&self, at: u32) -> Action {
        self.values[at as usize]
    }

    /// The operation as its history has it.
    pub(super) fn operation(&self, at: u32) -> Operation {
        let word = self.words[self.op(at).word as usize];
        Operation { word, action: self.action(at), span: self.span(at) }
    }

    pub(super) fn numbers(&self) -> impl DoubleEndedIterator<Item = u32> + use<> {
        0..number(self.ops.len())
    }

    /// The operation at a place of a thread.
    pub(super) fn at(&self, thread: usize, place: u32) -> u32 {
        self.first[thread] + place
    }

    /// The operations of a thread.
    pub(super) fn thread(&self, thread: usize) -> std::ops::Range<u32> {
        self.first[thread]..self.first[thread + 1]
    }

    /// Which list [`writes`](Self::writes) gives for this word and thread; below `words * threads`.
    pub(super) fn list(&self, word: u32, thread: usize) -> usize {
        word as usize * self.threads() + thread
    }

    /// Places, in their thread, of all writes of one thread to one word.
    pub(super) fn writes(&self, list: usize) -> &[u32] {
        &self.places[self.writes[list] as usize..self.writes[list + 1] as usize]
    }

    /// The writes to one word, of all threads.
    pub(super) fn writers(&self, word: u32) -> impl Iterator<Item = u32> {
        (0..self.threads()).flat_map(move |thread| {
            let places = self.writes(self.list(word, thread)).iter();
            iter::zip(places, iter::repeat(thread)).map(|(&place, thread)| self.at(thread, place))
        })
    }
}

/// Operations and the nodes of the graph are numbered by 32 bits.
pub(super) fn number(of: usize) -> u32 {
    u32::try_from(of).expect("the number of operations is limited")
}

/// The source of a read that saw the word's initial value.
pub(super) const INITIAL: u32 = u32::MAX;
/// The source of a read that saw a value nobody wrote.
pub(super) const NEVER_WRITTEN: u32 = u32::MAX - 1;
/// A row of clocks is this long at most.
pub(super) const MAX_THREADS: usize = 128;
pub(super) const MAX_OPERATIONS: usize = 1 << 26;
