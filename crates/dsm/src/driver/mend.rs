//! Meets ranks again to which the connection was lost, on a thread of its own: it waits for sockets of
//! strangers, which the driver cannot.

use crate::fatal::Fatal;
use dsm_core::Rank;
use dsm_mem::block_signals;
use dsm_net::rendezvous::{Met, Notice, Rendezvous, RendezvousError};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// What is told of strangers and of ranks that do not answer.
pub(crate) type Tell = Box<dyn Fn(Notice<'_>) + Send>;

/// The driver's side. Readable when there is an [`Outcome`].
#[derive(Debug)]
pub(crate) struct Mender(Arc<Shared>);

/// What became of a lost connection.
#[derive(Debug)]
pub(super) enum Outcome {
    Met {
        rank: Rank,
        met: Met,
    },
    /// Not in time, or not at all.
    Failed {
        rank: Rank,
        cause: String,
    },
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Readable when `lost` has changed.
    changed: OwnedFd,
    /// Readable when there are outcomes.
    outcome: OwnedFd,
}

#[derive(Debug)]
struct State {
    /// None while the thread runs.
    worker: Option<Worker>,
    lost: BTreeMap<Rank, Lost>,
    outcomes: Vec<Outcome>,
    is_over: bool,
}

/// A rank that is to be met again.
#[derive(Clone, Copy, Debug)]
struct Lost {
    /// How many bytes of its stream are here.
    received: u64,
    until: Instant,
}

/// What the thread works with.
struct Worker {
    rendezvous: Rendezvous,
    tell: Tell,
}

impl Mender {
    pub(crate) fn new(rendezvous: Rendezvous, tell: Tell) -> io::Result<Self> {
        let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let (changed, outcome) = (event()?, event()?);
        let worker = Some(Worker { rendezvous, tell });
        let (lost, outcomes) = (BTreeMap::new(), Vec::new());
        let state = Mutex::new(State { worker, lost, outcomes, is_over: false });
        Ok(Self(Arc::new(Shared { state, changed, outcome })))
    }

    /// Meets the rank again, until then at the latest. It has sent so many bytes that are here.
    pub(super) fn mend(&self, rank: Rank, received: u64, until: Instant) -> Result<(), Fatal> {
        let shared = &self.0;
        let mut state = shared.state();
        state.lost.insert(rank, Lost { received, until });
        raise(&shared.changed);
        let Some(worker) = state.worker.take() else { return Ok(()) };
        drop(state);
        // The thread begins with the mask of this one.
        let _blocked = block_signals();
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("dsm-mender".to_owned());
        let spawned = thread.spawn(move || shared.run(worker));
        spawned.map_err(|source| Fatal::System { operation: "starting a thread", source })?;
        Ok(())
    }

    /// What has come of it so far.
    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        lower(&self.0.outcome);
        std::mem::take(&mut self.0.state().outcomes)
    }
}

impl AsFd for Mender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.outcome.as_fd()
    }
}

impl Drop for Mender {
    /// The thread ends as soon as it can; nobody waits for it.
    fn drop(&mut self) {
        self.0.state().is_over = true;
        raise(&self.0.changed);
    }
}

impl Shared {
    fn run(&self, mut worker: Worker) {
        // No handler of the program's may come and touch shared memory here.
        std::mem::forget(block_signals());
        loop {
            let lost = {
                let mut state = self.state();
                lower(&self.changed);
                if state.lost.is_empty() || state.is_over {
                    state.worker = Some(worker);
                    return;
                }
                state.lost.clone()
            };
            let until = lost.values().map(|lost| lost.until).min();
            let received = lost.iter().map(|(rank, lost)| (*rank, lost.received)).collect();
            let Worker { rendezvous, tell } = &mut worker;
            let met = rendezvous.meet_again(
                &received,
                until.expect("somebody is lost"),
                Some(self.changed.as_fd()),
                |rank, met| self.settle(rank, Outcome::Met { rank, met }),
                tell,
            );
            if let Err(error) = met {
                self.on_failure(&error);
            }
        }
    }

    /// Gives those up who are not worth another attempt.
    fn on_failure(&self, error: &RendezvousError) {
        let now = Instant::now();
        let is_hopeless = |rank: Rank, lost: &Lost| match error {
            RendezvousError::Ended => false,
            RendezvousError::Missing { .. } => lost.until <= now,
            RendezvousError::Connect { rank: named, .. }
            | RendezvousError::Lost { rank: named, .. }
            | RendezvousError::Unauthentic { rank: named, .. }
            | RendezvousError::Refused { rank: named, .. } => rank == *named,
            RendezvousError::System { .. } => true,
        };
        let lost = self.state().lost.clone();
        for (rank, _) in lost.into_iter().filter(|(rank, lost)| is_hopeless(*rank, lost)) {
            let cause = match error {
                RendezvousError::Missing { .. } => "it was not met again in time".to_owned(),
                error => error.to_string(),
            };
            self.settle(rank, Outcome::Failed { rank, cause });
        }
    }

    fn settle(&self, rank: Rank, outcome: Outcome) {
        let mut state = self.state();
        state.lost.remove(&rank);
        state.outcomes.push(outcome);
        raise(&self.outcome);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("rendezvous", &self.rendezvous).finish_non_exhaustive()
    }
}

fn raise(event: &OwnedFd) {
    rustix::io::write(event, &1_u64.to_ne_bytes()).expect("an eventfd takes one more");
}

fn lower(event: &OwnedFd) {
    // Nothing to read is fine.
    let _ = rustix::io::read(event, &mut [0; 8]);
}
