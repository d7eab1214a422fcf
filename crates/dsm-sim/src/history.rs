//! What threads did to shared words, as they saw it themselves.
//!
//! A [`History`] is the input of [`check`](crate::check): it knows no engine, no page and no rank. Every
//! value written to a word is different from all others written to it and from [`Value::INITIAL`], so that
//! a read says which write it saw.

use std::fmt;

/// The content of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u64);

impl Value {
    /// What every word holds before the first write.
    pub const INITIAL: Self = Self(0);
}

/// Names a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WordId(pub u32);

/// What an operation did to its word, at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Found this value.
    Read(Value),
    /// Left this value.
    Write(Value),
    /// Found one value and left another: exchange, fetch-and-add, a compare-exchange that succeeded.
    Exchange {
        /// The value found.
        read: Value,
        /// The value left.
        wrote: Value,
    },
}

/// When an operation was under way, by a clock that all threads share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Not later than its effect.
    pub began_ns: u64,
    /// Not earlier than its effect.
    pub ended_ns: u64,
}

impl Span {
    /// Nobody looked at a clock: no operation is known to precede another by time.
    pub const UNKNOWN: Self = Self { began_ns: 0, ended_ns: u64::MAX };
}

/// One access of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation {
    /// The word.
    pub word: WordId,
    /// What was done.
    pub action: Action,
    /// When.
    pub span: Span,
}

/// All operations on a set of words, from the words' birth on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Each thread's operations, in the order of its program.
    pub threads: Vec<Vec<Operation>>,
}

impl History {
    /// How many operations there are.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.threads.iter().map(Vec::len).sum()
    }
}

impl Action {
    /// The value found, if any was looked at.
    #[must_use]
    pub fn read(self) -> Option<Value> {
        match self {
            Self::Read(read) | Self::Exchange { read, .. } => Some(read),
            Self::Write(_) => None,
        }
    }

    /// The value left, if any was.
    #[must_use]
    pub fn wrote(self) -> Option<Value> {
        match self {
            Self::Write(wrote) | Self::Exchange { wrote, .. } => Some(wrote),
            Self::Read(_) => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WordId(word) = self.word;
        match self.action {
            Action::Read(Value(read)) => write!(f, "word {word} is {read}"),
            Action::Write(Value(wrote)) => write!(f, "word {word} := {wrote}"),
            Action::Exchange { read: Value(read), wrote: Value(wrote) } => {
                write!(f, "word {word} is {read} := {wrote}")
            }
        }
    }
}
