mod joining;

use crate::calls::{CallError, Calls};
use crate::counters::{Counters, Stats};
use crate::heap::Arena;
use crate::launch::JobError;
use crate::locks::Locks;
use crate::pr204::{Foreign, ForeignError};
use crate::settings::{MOST_PREFETCH, SettingError};
use crate::supervisor::Supervisor;
use crate::typed;
use dsm_core::{Answer, BarrierKind, Call, Rank, Space};
use dsm_mem::{FaultsError, Region, RegionError, Word, WordsError, is_forked_child};
use dsm_net::launch::Status;
use dsm_net::rendezvous::RendezvousError;
use dsm_net::wipe;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use thiserror::Error;

/// This process as a member of its job, from [`join`](Node::join) to [`finalize`](Node::finalize).
///
/// All threads of the process may use it at once.
#[derive(Debug)]
pub struct Node {
    rank: Rank,
    pub(crate) space: Space,
    pub(crate) region: Arc<Region>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) locks: Arc<Locks>,
    pub(crate) arena: Arc<Arena>,
    /// None once the job is left.
    driver: Mutex<Option<JoinHandle<()>>>,
    supervisor: Option<Arc<Supervisor>>,
    /// Of all ranks; none if there are no others.
    addresses: Arc<[IpAddr]>,
    /// Among ranks of another family, with which pages are shared and nothing else.
    foreign: Option<Foreign>,
}

/// Why a process could not join its job.
#[derive(Debug, Error)]
pub enum JoinError {
    /// A process joins once.
    #[error("this process has joined a job before")]
    Again,
    /// A setting of the environment.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// What the launcher left for this rank.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The ranks cannot speak as `DSM_PEER` says.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    /// The region cannot be mapped.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// No fault engine works here.
    #[error(transparent)]
    Faults(#[from] FaultsError),
    /// The ranks did not meet.
    #[error(transparent)]
    Rendezvous(#[from] RendezvousError),
    /// The process may not open as many descriptors as the job needs.
    #[error(
        "this process needs {needed} descriptors with those that it has, and its limit is {limit} (ulimit -n)"
    )]
    Descriptors {
        /// How many it needs.
        needed: u64,
        /// The most it may have.
        limit: u64,
    },
    /// A limit on this process leaves no room for the runtime.
    #[error(
        "the runtime needs {needed} {what} with what is there, and the limit is {limit} ({by})"
    )]
    Room {
        /// Of what there is too little.
        what: &'static str,
        /// How much is enough.
        needed: u64,
        /// How much there may be.
        limit: u64,
        /// What sets the limit.
        by: &'static str,
    },
    /// The kernel refused something.
    #[error("cannot {operation}: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Node {
    /// Joins the job this process was started for; waits until every rank has. A process that no launcher
    /// started becomes a job of one rank. Base and size of the region come from `DSM_BASE` and `DSM_SIZE`.
    ///
    /// Ranks that have not joined after 30 s are named on standard error, once.
    ///
    /// # Errors
    /// [`JoinError`] says what is wrong and where. A process can join once.
    pub fn join() -> Result<Self, JoinError> {
        if JOINED.swap(true, Ordering::SeqCst) {
            return Err(JoinError::Again);
        }
        let joined = Self::join_once();
        // The key was there.
        wipe::stack();
        let node = joined?;
        typed::enter(node.twin());
        Ok(node)
    }

    /// This rank, `0..nodes`.
    #[must_use]
    pub fn rank(&self) -> u16 {
        self.rank.0
    }

    /// How many ranks the job has.
    #[must_use]
    pub fn nodes(&self) -> u16 {
        self.space.nodes
    }

    /// The address at which the others reach a rank, for connections of a program's own; `None` for a rank that is
    /// not in the job, and in a job of one rank.
    #[must_use]
    pub fn address(&self, rank: u16) -> Option<IpAddr> {
        self.addresses.get(usize::from(rank)).copied()
    }

    /// The first address of the shared area, the same on every rank.
    #[must_use]
    pub fn base(&self) -> usize {
        self.region.base()
    }

    /// Bytes of the shared area, a whole number of pages.
    #[must_use]
    pub fn size(&self) -> usize {
        self.region.area_bytes()
    }

    /// Bytes of a page, the unit of sharing.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        self.region.page_bytes()
    }

    /// The rank that keeps the directory entry of the page at `address`; `None` outside shared memory,
    /// and where the home is the rank that touches a page first while this one does not know which that is: it
    /// has not touched the page, and does not register it.
    #[must_use]
    pub fn home(&self, address: usize) -> Option<u16> {
        let page = self.region.page_of(address)?;
        if !self.space.is_claimed(page) {
            return Some(self.space.home(page).0);
        }
        match self.calls.call(Call::Home { page }) {
            Ok(Answer::Owner(home)) => Some(home.0),
            _ => None,
        }
    }

    /// Whether `address` is in the shared area or in the heap.
    #[must_use]
    pub fn is_shared(&self, address: usize) -> bool {
        self.region.page_of(address).is_some()
    }

    /// Part of the shared area as atomic words, `byte_offset` from its start. Loads and stores of theirs
    /// are plain instructions; pages that are not here are fetched.
    ///
    /// # Errors
    /// If the words are not inside the area, or not aligned.
    pub fn words<W: Word>(&self, byte_offset: usize, len: usize) -> Result<&[W], WordsError> {
        self.region.words(byte_offset, len)
    }

    /// Waits until one thread of every rank is here. What any rank stored before is seen by all after.
    ///
    /// # Errors
    /// If another thread of this rank is at the barrier.
    pub fn barrier(&self) -> Result<(), CallError> {
        self.require_own_family()?;
        match self.calls.call(Call::Barrier(BarrierKind::Program))? {
            Answer::Done => {
                self.counters.barriers.add(1);
                Ok(())
            }
            _ => Err(CallError::BarrierBusy),
        }
    }

    /// From now on at most so many pages are fetched ahead of a thread that walks through memory, as if
    /// `DSM_PREFETCH` had said so: 0 for memory that is used without any order, 256 at most. Other ranks and what
    /// [`prefetch`](Self::prefetch) asks for are not concerned.
    pub fn limit_prefetch(&self, pages: u16) {
        self.calls.limit_prefetch(pages.min(MOST_PREFETCH));
    }

    /// What this rank's runtime has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.stats(self.locks.taken())
    }

    /// Leaves the job once every rank wants to; this rank's pages are served until then. The shared area
    /// is gone afterwards.
    ///
    /// # Errors
    /// If another thread of this rank is at the barrier of all ranks; the job is left all the same when
    /// it ends.
    pub fn finalize(self) -> Result<(), CallError> {
        self.leave()
    }

    /// Leaves the job as [`finalize`](Self::finalize) does, while other threads may be in calls that wait:
    /// those end, and later ones fail. The shared area must not be touched any more, though it is there
    /// until the node is dropped. Does nothing the second time, and nothing in a forked child: its parent is
    /// in the job.
    ///
    /// # Errors
    /// As for [`finalize`](Self::finalize).
    pub fn leave(&self) -> Result<(), CallError> {
        if is_forked_child() {
            return Ok(());
        }
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(driver) = driver.take() else { return Ok(()) };
        match &self.foreign {
            Some(foreign) => foreign.finalize(),
            None if self.calls.call(Call::Barrier(BarrierKind::Finalize))? != Answer::Done => {
                return Err(CallError::BarrierBusy);
            }
            None => (),
        }
        typed::leave();
        // The driver ends the process if it fails; a thread that ended did what it had to.
        let _ = driver.join();
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(&Status::Stats(self.stats().into()));
            supervisor.tell(&Status::Finalized);
        }
        Ok(())
    }

    /// Ranks of another family share pages and nothing else.
    ///
    /// # Errors
    /// If this rank is among such.
    pub(crate) fn require_own_family(&self) -> Result<(), CallError> {
        match &self.foreign {
            None => Ok(()),
            Some(foreign) => Err(CallError::ForeignRanks { profile: foreign.profile }),
        }
    }

    /// The same member of the job, which does not leave it when it is dropped.
    fn twin(&self) -> Self {
        Self {
            rank: self.rank,
            space: self.space,
            region: Arc::clone(&self.region),
            counters: Arc::clone(&self.counters),
            calls: Arc::clone(&self.calls),
            locks: Arc::clone(&self.locks),
            arena: Arc::clone(&self.arena),
            driver: Mutex::new(None),
            supervisor: None,
            addresses: Arc::clone(&self.addresses),
            foreign: self.foreign.clone(),
        }
    }
}

impl Drop for Node {
    /// Leaves as [`finalize`](Node::finalize) does, unless the thread is panicking.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Another thread at the barrier is the program's affair; the launcher will tell.
            let _ = self.leave();
        }
    }
}

impl JoinError {
    /// The exit code a rank ends with that cannot go on without its job; see `docs/running.md`.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::System { source, .. } if lacks(source) => 71,
            Self::Again | Self::System { .. } => 70,
            Self::Region(_) | Self::Faults(_) | Self::Descriptors { .. } | Self::Room { .. } => 71,
            Self::Setting(_)
            | Self::Foreign(_)
            | Self::Rendezvous(RendezvousError::Refused { .. }) => 78,
            Self::Rendezvous(RendezvousError::Unauthentic { .. }) => 76,
            Self::Rendezvous(_) => 75,
            Self::Job(error) => error.exit_code(),
        }
    }
}

/// Whether the kernel has not enough of something.
fn lacks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::NOSPC];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}

fn system(operation: &'static str) -> impl FnOnce(io::Error) -> JoinError {
    move |source| JoinError::System { operation, source }
}

static JOINED: AtomicBool = AtomicBool::new(false);
