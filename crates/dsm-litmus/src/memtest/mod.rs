//! Random programs on the ranks of a real job, and what must hold whatever they do.
//!
//! [`histories`] records random loads, stores, exchanges, additions and compare-exchanges of several threads
//! of several ranks on words that share pages, and lets the checker of dsm-sim decide. There are three
//! kinds of round, because two threads of one rank see the memory model of their host among themselves:
//!
//! - *ordered*: several threads a rank, every access `SeqCst`. On one host `SeqCst` accesses are sequentially
//!   consistent, so the whole history must be.
//! - *plain*: one thread a rank; loads and stores are plain instructions (`Relaxed`, kept in program order by
//!   the compiler), exchanges are exchanges. The promise for accesses of different ranks covers all of them.
//! - *crossing*: several threads a rank, plain instructions again; each word is stored to by the threads of
//!   one rank, and only those of other ranks load it. What a processor may delay is a store before a load, and
//!   only a thread of the same rank could tell; those do not look. So the whole history must be sequentially
//!   consistent here too.
//!
//! If the ranks share a host, each operation must also take effect between its start and its end, give or take
//! [`SLACK_NS`](histories::SLACK_NS): linearizability. A plain store counts as ended when the next instruction
//! begins, although it may still be in the processor's store buffer: another rank cannot tell.
//!
//! [`torn`], [`lost`] and [`progress`] look for half installed pages, lost stores and threads that starve.

pub mod histories;
pub mod lost;
pub mod progress;
pub mod torn;

mod record;
mod round;
mod word;

pub use round::{Kind, Round, Shared, Size};

use crate::hub::{Hub, HubError};
use dsm::{Node, WordsError};
use std::fmt;
use thiserror::Error;

/// What every test works on.
#[derive(Debug)]
pub struct Bench<'a> {
    /// This rank.
    pub node: &'a Node,
    /// The connections to the others.
    pub hub: &'a mut Hub,
    /// What everything but time follows from.
    pub seed: u64,
}

/// What a test came to. Rank 0 has it; at the others it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Figures, in words.
    pub figures: Vec<String>,
    /// What must not have happened, in words.
    pub failures: Vec<String>,
}

/// Why a test could not go on.
#[derive(Debug, Error)]
pub enum TestError {
    /// The ranks could not talk.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The shared area is too small.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// Another rank sent something else than it should.
    #[error("rank {rank} sent {bytes} bytes that cannot be read")]
    Malformed {
        /// Which rank.
        rank: usize,
        /// How many bytes it sent.
        bytes: usize,
    },
    /// A recorded history is none.
    #[error("round {round}: {source}")]
    History {
        /// Which round.
        round: u64,
        /// What is wrong with it.
        source: dsm_sim::check::HistoryError,
    },
}

impl Findings {
    fn fail(&mut self, failure: impl fmt::Display) {
        // The first few tell what is wrong; the rest only that it goes on.
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(failure.to_string());
        }
    }

    /// Everything found by any rank, at rank 0.
    fn gathered(self, hub: &mut Hub) -> Result<Self, HubError> {
        let mut all = Self { figures: self.figures.clone(), failures: Vec::new() };
        for (rank, theirs) in hub.gather(self.failures.join("\0").into_bytes())?.iter().enumerate()
        {
            let text = String::from_utf8_lossy(theirs);
            for failure in text.split('\0').filter(|failure| !failure.is_empty()) {
                all.fail(format!("rank {rank}: {failure}"));
            }
        }
        Ok(all)
    }
}

/// Numbers that every rank has, at every rank, in rank order.
fn exchange(hub: &mut Hub, mine: &[u64]) -> Result<Vec<Vec<u64>>, TestError> {
    let all = hub.gather(mine.iter().flat_map(|number| number.to_le_bytes()).collect())?;
    let lengths = all.iter().map(Vec::len).collect::<Vec<_>>();
    let flat = hub.spread(all.concat())?;
    let each = mine.len() * 8;
    if let Some(rank) = lengths.iter().position(|bytes| *bytes != each) {
        return Err(TestError::Malformed { rank, bytes: lengths[rank] });
    }
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let numbers = |rank: &[u8]| rank.chunks_exact(8).map(number).collect();
    Ok(flat.chunks_exact(each.max(1)).map(numbers).collect())
}

const MAX_FAILURES: usize = 20;
