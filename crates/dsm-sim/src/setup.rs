use crate::Mutant;
use dsm_core::{Access, BarrierKind, Hold, PageId};
use std::fmt;
use std::sync::Arc;

/// What a world is made of. Two worlds of equal setup behave the same.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many pages there are.
    pub pages: u64,
    /// Whether granted pages stay for a minimum time.
    pub hold: Hold,
    /// How a page's bytes come in.
    pub arrival: Arrival,
    /// When a driver learns of a fault.
    pub faults: Faults,
    /// Which promises are watched.
    pub watch: Watch,
    /// The bug planted in every engine, if any.
    pub mutant: Option<Mutant>,
    /// What each thread of each rank does, rank by rank. Its length is the number of ranks.
    pub scripts: Vec<Vec<Arc<[Op]>>>,
}

/// How a page's bytes come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// With their message, at once.
    Whole,
    /// Straight into the service view, over time, while the driver serves other peers.
    Split,
}

/// When a driver learns of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    /// The fault is the engine's next input.
    AtOnce,
    /// Some time later: it reads all that wait at once and tells one after the other. Meanwhile their
    /// threads may be resumed by an answer to somebody else, as with userfaultfd.
    Batched,
    /// As before, but a thread is out of reach of a resume until its fault is read, as a thread on its
    /// way into a signal handler is.
    Posted,
}

/// Which promises are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// All, with a look into the memory of every rank after each step.
    Everything,
    /// What a program can notice: what its loads find, whether its operations end, failures.
    Program,
}

/// One thing a thread does. A store is also a load of the rest of its page: it must not be lost on an old copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Reads a word of the page.
    Load(PageId),
    /// Writes a word of the page, or reads and writes it in one instruction.
    Store(PageId),
    /// Reads the first page and writes the second in one instruction, which needs both at the same time.
    Move(PageId, PageId),
    /// Waits at the barrier of all ranks.
    Barrier,
    /// Leaves the job, as all ranks must together. Nothing follows it.
    Finalize,
    /// Ends its rank without a word.
    Crash,
}

impl Setup {
    /// The world of these scripts, written as for [`scripts`], with nothing special about it.
    ///
    /// # Errors
    /// If a script cannot be read.
    pub fn new(pages: u64, text: &str) -> Result<Self, ScriptError> {
        Ok(Self {
            pages,
            hold: Hold::None,
            arrival: Arrival::Whole,
            faults: Faults::AtOnce,
            watch: Watch::Everything,
            mutant: None,
            scripts: scripts(text, pages)?,
        })
    }

    /// How many ranks there are.
    ///
    /// # Panics
    /// If there are more than a rank's number can tell apart.
    #[must_use]
    pub fn nodes(&self) -> u16 {
        u16::try_from(self.scripts.len()).expect("ranks are numbered by u16")
    }
}

impl Op {
    /// The accesses the operation needs at one instant, in the order its instruction makes them.
    pub(crate) fn needs(self) -> impl Iterator<Item = (PageId, Access)> {
        let needs = match self {
            Self::Load(page) => [Some((page, Access::Read)), None],
            Self::Store(page) => [Some((page, Access::Write)), None],
            Self::Move(from, to) => [Some((from, Access::Read)), Some((to, Access::Write))],
            Self::Barrier | Self::Finalize | Self::Crash => [None, None],
        };
        needs.into_iter().flatten()
    }

    /// The barrier the operation waits at, if it does.
    pub(crate) fn barrier(self) -> Option<BarrierKind> {
        match self {
            Self::Barrier => Some(BarrierKind::Program),
            Self::Finalize => Some(BarrierKind::Finalize),
            _ => None,
        }
    }
}

/// Reads scripts: ranks are separated by `|`, threads of a rank by `/`, operations by spaces. `r0` loads
/// from page 0, `w0` stores to it, `m0>1` moves from page 0 to page 1, `b` waits at the barrier, `f` leaves
/// the job, `x` ends its rank without a word.
///
/// # Errors
/// If an operation is none of these, names a page that is not there, or there are no ranks or too many.
pub fn scripts(text: &str, pages: u64) -> Result<Vec<Vec<Arc<[Op]>>>, ScriptError> {
    scripts_with(text, pages, READABLE)
}

/// What stands between the parts of scripts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Separators {
    pub(crate) rank: &'static str,
    pub(crate) thread: &'static str,
    pub(crate) op: &'static str,
    /// Between the pages of a move.
    pub(crate) to: &'static str,
}

pub(crate) fn scripts_with(
    text: &str,
    pages: u64,
    between: Separators,
) -> Result<Vec<Vec<Arc<[Op]>>>, ScriptError> {
    let op = |word: &str| op(&word.replace(between.to, READABLE.to), pages);
    let words = |text: &str| -> Vec<String> {
        text.split(between.op).map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    let thread = |text: &str| words(text).iter().map(|word| op(word)).collect();
    let rank = |text: &str| text.split(between.thread).map(thread).collect();
    let all: Vec<_> = text.split(between.rank).map(rank).collect::<Result<_, _>>()?;
    if all.len() > MAX_RANKS {
        return Err(ScriptError { word: text.to_owned(), expected: "at most 64 ranks" });
    }
    Ok(all)
}

pub(crate) fn write_scripts(scripts: &[Vec<Arc<[Op]>>], between: Separators) -> String {
    let op = |op: &Op| op.to_string().replace(READABLE.to, between.to);
    let thread = |ops: &Arc<[Op]>| ops.iter().map(op).collect::<Vec<_>>().join(between.op);
    let rank = |r: &Vec<Arc<[Op]>>| r.iter().map(thread).collect::<Vec<_>>().join(between.thread);
    scripts.iter().map(rank).collect::<Vec<_>>().join(between.rank)
}

fn op(word: &str, pages: u64) -> Result<Op, ScriptError> {
    let expected = "r<page>, w<page>, m<page>><page>, b, f or x, of pages that are there";
    let error = || ScriptError { word: word.to_owned(), expected };
    let page = |digits: &str| match digits.parse() {
        Ok(page) if page < pages => Ok(PageId(page)),
        _ => Err(error()),
    };
    match word.split_at_checked(1) {
        Some(("r", rest)) => Ok(Op::Load(page(rest)?)),
        Some(("w", rest)) => Ok(Op::Store(page(rest)?)),
        Some(("m", rest)) => {
            let (from, to) = rest.split_once('>').ok_or_else(error)?;
            Ok(Op::Move(page(from)?, page(to)?))
        }
        Some(("b", "")) => Ok(Op::Barrier),
        Some(("f", "")) => Ok(Op::Finalize),
        Some(("x", "")) => Ok(Op::Crash),
        _ => Err(error()),
    }
}

/// A script that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    word: String,
    expected: &'static str,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read script: {:?} found, expected {}", self.word, self.expected)
    }
}

impl std::error::Error for ScriptError {}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(page) => write!(f, "r{page}"),
            Self::Store(page) => write!(f, "w{page}"),
            Self::Move(from, to) => write!(f, "m{from}>{to}"),
            Self::Barrier => f.write_str("b"),
            Self::Finalize => f.write_str("f"),
            Self::Crash => f.write_str("x"),
        }
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pages, hold, arrival, faults, watch, mutant, scripts } = self;
        write!(f, "{} ranks, {pages} pages, hold {hold:?}, arrival {arrival:?}", scripts.len())?;
        write!(f, ", faults {faults:?}, watch {watch:?}")?;
        if let Some(mutant) = mutant {
            write!(f, ", planted bug {mutant:?}")?;
        }
        write!(f, ", scripts {}", write_scripts(scripts, SPACED))
    }
}

const MAX_RANKS: usize = 64;
const READABLE: Separators = Separators { rank: "|", thread: "/", op: " ", to: ">" };
const SPACED: Separators = Separators { rank: " | ", thread: " / ", ..READABLE };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_back_as_written() {
        let text = "r0 w1 / b x | m0>1 |  / w0 f";
        let setup = Setup::new(2, text).unwrap();
        assert_eq!(setup.nodes(), 3);
        let shown = setup.to_string();
        assert!(shown.ends_with("scripts r0 w1 / b x | m0>1 |  / w0 f"), "{shown}");
    }

    #[test]
    fn what_is_no_script_is_quoted() {
        for wrong in ["y", "r", "r2", "w-1", "m0", "m0>2", "bb", "é"] {
            let error = Setup::new(2, &format!("r0 {wrong}")).unwrap_err();
            assert!(error.to_string().contains(&format!("{wrong:?} found")), "{error}");
        }
    }
}
