use crate::{Mutant, Op};
use dsm_core::{Hold, Placement, Space};
use std::fmt;
use std::sync::Arc;

/// What a world is made of. Two worlds of equal setup behave the same.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many pages there are that are not the heap's.
    pub pages: u64,
    /// How many pages the heap has; its first one is never handed out.
    pub heap: u64,
    /// Which rank is home to which of the pages that are not the heap's.
    pub placement: Placement,
    /// Whether granted pages stay for a minimum time.
    pub hold: Hold,
    /// How a page's bytes come in.
    pub arrival: Arrival,
    /// When a driver learns of a fault.
    pub faults: Faults,
    /// Which promises are watched.
    pub watch: Watch,
    /// How many ranks are below one in the tree of the barrier of all ranks, if not as many as in a real job.
    pub fan_in: Option<u16>,
    /// After how many writes in a row a page is expected to move, if not after as many as in a real job; 0 is always.
    pub moves_after: Option<u8>,
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

impl Setup {
    /// The world of these scripts, written as for [`scripts`], with nothing special about it.
    ///
    /// # Errors
    /// If a script cannot be read.
    pub fn new(pages: u64, text: &str) -> Result<Self, ScriptError> {
        Ok(Self {
            pages,
            heap: 0,
            placement: Placement::Cyclic,
            hold: Hold::None,
            arrival: Arrival::Whole,
            faults: Faults::AtOnce,
            watch: Watch::Everything,
            fan_in: None,
            moves_after: None,
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

    /// How the region is laid out: a word a page.
    pub(crate) fn space(&self) -> Space {
        let pages = self.pages + self.heap;
        let (nodes, area_pages, placement) = (self.nodes(), self.pages, self.placement);
        Space { nodes, pages, area_pages, page_words: 1, placement }
    }

    /// All that any thread does.
    pub(crate) fn ops(&self) -> impl Iterator<Item = Op> {
        self.scripts.iter().flatten().flat_map(|ops| ops.iter().copied())
    }

    /// How many threads each rank has at most.
    pub(crate) fn threads(&self) -> u64 {
        self.scripts.iter().map(|threads| threads.len() as u64).max().unwrap_or(0)
    }
}

/// Reads scripts: ranks are separated by `|`, threads of a rank by `/`, operations by spaces.
///
/// | | |
/// |---|---|
/// | `r0` `w0` `m0>1` | loads from page 0; stores to it; moves from page 0 to page 1 |
/// | `R0` `W0` | prefetches page 0 to read, to write |
/// | `b` `f` `x` | the barrier of all ranks; leaves the job; ends its rank without a word |
/// | `l0` `s0` `u0` | takes lock 0 to write, to read; gives it back |
/// | `L0` `S0` `t0` `T0` | takes it to write, to read, if patience lasts; tries to |
/// | `c1>0` `d1>0` | waits at condition variable 1 with mutex 0, for ever or if patience lasts |
/// | `n1` `a1` `e1` | signals it; broadcasts; ends its use |
/// | `p0` `q0` `v0` `i0>2` | waits at semaphore 0; tries to take one; posts; sets it to 2, or ends its use |
/// | `g0>3` | waits until three threads are at barrier 0 |
/// | `o0` `z0` | adds to word 0 at its owner; does so if it is what the thread saw last |
/// | `H1` `J1` | prefetches page 1 of the heap to read, to write |
/// | `h1` `j` `k` `y` | gets a run of one page of the heap; stores to it; gives it back; frees a block in somebody's |
///
/// # Errors
/// If an operation is none of these, names a page or word that is not there, or there are too many ranks.
pub fn scripts(text: &str, pages: u64) -> Result<Vec<Vec<Arc<[Op]>>>, ScriptError> {
    scripts_with(text, pages, READABLE)
}

/// What stands between the parts of scripts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Separators {
    pub(crate) rank: &'static str,
    pub(crate) thread: &'static str,
    pub(crate) op: &'static str,
    /// Between the two things an operation names.
    pub(crate) to: &'static str,
}

pub(crate) fn scripts_with(
    text: &str,
    pages: u64,
    between: Separators,
) -> Result<Vec<Vec<Arc<[Op]>>>, ScriptError> {
    let op = |word: &str| Op::read(&word.replace(between.to, READABLE.to), pages);
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

/// A script that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    pub(crate) word: String,
    pub(crate) expected: &'static str,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read script: {:?} found, expected {}", self.word, self.expected)
    }
}

impl std::error::Error for ScriptError {}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pages, heap, placement, hold, arrival, faults, watch, mutant, scripts, .. } =
            self;
        write!(f, "{} ranks, {pages} pages, hold {hold:?}, arrival {arrival:?}", scripts.len())?;
        write!(f, ", faults {faults:?}, watch {watch:?}")?;
        if *heap > 0 {
            write!(f, ", {heap} pages of heap")?;
        }
        if *placement != Placement::Cyclic {
            write!(f, ", placed {placement}")?;
        }
        if let Some(fan_in) = self.fan_in {
            write!(f, ", {fan_in} ranks below one")?;
        }
        if let Some(moves) = self.moves_after {
            write!(f, ", pages move after {moves} writes in a row")?;
        }
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
        for text in [
            "r0 w1 / b x | m0>1 |  / w0 f",
            "R0 W1 | l0 s1 u0 u1 | L0 S0 t0 T0 | c1>0 d0>1 n0 a0 e0",
            "p0 q1 v0 i0>2 i1>0 | g0>3 | o0 z1 | h2 j k y",
        ] {
            let shown = Setup::new(2, text).unwrap().to_string();
            assert!(shown.ends_with(&format!("scripts {text}")), "{shown}");
        }
    }

    #[test]
    fn what_is_no_script_is_quoted() {
        for wrong in
            ["?", "r", "r2", "w-1", "m0", "m0>2", "bb", "é", "g0>0", "h", "h0", "c0", "l0>1"]
        {
            let error = Setup::new(2, &format!("r0 {wrong}")).unwrap_err();
            assert!(error.to_string().contains(&format!("{wrong:?} found")), "{error}");
        }
    }
}
