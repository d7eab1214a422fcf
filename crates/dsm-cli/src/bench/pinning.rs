use clap::ValueEnum;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;

/// Which processors the ranks may use, for the operation and for *R* alike: a round trip costs a third
/// where both ends share a processor, because no idle one must be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pinning {
    /// A processor for each rank.
    Each,
    /// One processor for all ranks.
    One,
    /// Where the kernel puts them.
    Free,
}

impl Pinning {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::One => "one",
            Self::Free => "free",
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Each => "each rank on a processor of its own",
            Self::One => "all ranks on one processor",
            Self::Free => "ranks where the kernel puts them",
        }
    }

    /// Pins all threads that this rank has, and so those that they start.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn apply(self, rank: u16) -> io::Result<()> {
        let allowed = sched_getaffinity(None)?;
        let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let count = cpus.clone().count().max(1);
        let cpu = match self {
            Self::Free => return Ok(()),
            Self::One => cpus.next(),
            Self::Each => cpus.nth(usize::from(rank) % count),
        };
        let mut set = CpuSet::new();
        set.set(cpu.ok_or(io::ErrorKind::NotFound)?);
        for thread in fs::read_dir("/proc/self/task")? {
            let id = thread?.file_name();
            let id = id.to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
            sched_setaffinity(id, &set)?;
        }
        Ok(())
    }
}
