//! How the ranks of a job find each other: each connects to all lower ranks and accepts all higher ones.
//!
//! Whoever connects speaks first, with the first message of a [handshake](crate::handshake); the accepting side
//! answers only if it was made with the key of the two ranks, and not before, so a stranger gets no byte.
//! The accepting side takes the connection for the rank's when the answer to its answer is there, which nobody
//! has who repeats what he has heard. A job without a key has a key of zeros, which every job with one takes for
//! a stranger's. What strangers can hold is bounded in number, time and bytes; when all ranks have met, nobody
//! listens any more.
//!
//! A connection that is lost later is made again in the same way, by the same one of the two; only then, and as
//! long as one is missing, do ranks listen again.
//!
//! A launcher of ours has every rank's socket listen before any rank starts. One of the PR204 family may
//! leave that to the ranks; then a refused connection means nothing, and is tried again. One that is not
//! taken in time, or ends before an answer, is tried again too: strangers may have filled the rank's queue.

mod asking;
mod attempt;
mod callers;
mod error;
mod listening;
mod meeting;
mod notice;
mod partial;

pub use error::RendezvousError;
pub use notice::Notice;

use crate::encryption::Encryption;
use crate::keys::PairKeys;
use crate::record::Cipher;
use crate::strangers::Strangers;
use crate::wipe;
use attempt::Patience;
use dsm_core::Rank;
use dsm_core::wire::{Hello, Secrecy};
use meeting::{Listens, Meeting, Occasion, Terms};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// What a rank brings to the rendezvous.
#[derive(Debug)]
pub struct Party {
    /// Who it is; what depends on the peer is filled in for each: `to`, `secrecy` and `received`.
    pub hello: Hello,
    /// What it shares with each peer.
    pub keys: PairKeys,
    /// Between which ranks connections are encrypted, if the job has a key.
    pub encryption: Encryption,
    /// Where the ranks listen, in rank order.
    pub addresses: Vec<SocketAddr>,
    /// This rank's own listening socket.
    pub listener: TcpListener,
}

/// One rank's part in meeting the others, again and again if need be.
#[derive(Debug)]
pub struct Rendezvous {
    party: Party,
    /// The number of the last connection that was made from here.
    attempt: u32,
    /// The number of the last connection each higher rank made to here: its first message is not taken again.
    answered: BTreeMap<Rank, u32>,
    strangers: Strangers,
}

/// How long a rank waits for the others, and for what else.
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    /// What a refused connection means.
    pub refusals: Refusals,
    /// Becomes readable when the job is over before it began; `None` if nobody tells.
    pub ended: Option<BorrowedFd<'a>>,
    /// When to name, once, the ranks that are missing.
    pub remind_after: Duration,
    /// When to give up.
    pub give_up_after: Duration,
}

/// What it means when a rank's address refuses a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// All sockets listen since before the ranks began: the rank is gone.
    Final,
    /// The rank may not listen yet: try again until the time is up.
    Early,
}

/// A connection to another rank, which is the one it says it is.
#[derive(Debug)]
pub struct Met {
    /// The connection, with nothing read beyond the handshake. It does not block.
    pub stream: TcpStream,
    /// What seals and opens all that follows; `None` if that is plain.
    pub cipher: Option<Cipher>,
    /// How many bytes of this rank's stream the other has had, on all connections before this one.
    pub received: u64,
}

impl Rendezvous {
    /// Prepares to meet; nothing happens yet.
    #[must_use]
    pub fn new(party: Party) -> Self {
        let strangers = Strangers::default();
        Self { party, attempt: 0, answered: BTreeMap::new(), strangers }
    }

    /// Meets every other rank, and stops listening: from then on whoever connects is refused, whatever other
    /// process holds the socket too.
    ///
    /// # Errors
    /// The first thing that keeps the ranks from meeting.
    pub fn meet(
        &mut self,
        waiting: &Waiting<'_>,
        mut tell: impl FnMut(Notice<'_>),
    ) -> Result<BTreeMap<Rank, Met>, RendezvousError> {
        let own = self.party.hello.from;
        let others = (0..self.party.hello.nodes).map(Rank).filter(|rank| *rank != own);
        let terms = Terms {
            occasion: Occasion::First,
            listens: Listens::Yes,
            patience: Patience::of(waiting.refusals),
            ended: waiting.ended,
            remind_at: Some(Instant::now() + waiting.remind_after),
            report_at: Some(Instant::now() + REPORT_AFTER),
            give_up_at: Instant::now() + waiting.give_up_after,
        };
        let mut all = BTreeMap::new();
        let mut met = |rank, met| {
            all.insert(rank, met);
        };
        let missing = others.map(|rank| (rank, 0)).collect();
        listening::prepare(&self.party.listener)?;
        Meeting::new(self, terms, missing, &mut met, &mut tell).hold()?;
        listening::stop(&self.party.listener)?;
        Ok(all)
    }

    /// Meets those ranks again to which connections were lost, and stops listening. `lost` says of each how many
    /// bytes of its stream have come; `met` is told of each as it comes. When `interrupt` becomes readable, or
    /// after an error, it can be called again, for those that did not come and others.
    ///
    /// # Errors
    /// [`RendezvousError::Ended`] if it was interrupted, [`RendezvousError::Missing`] if a rank did not come
    /// in time, or else the first thing that keeps the ranks from meeting.
    pub fn meet_again(
        &mut self,
        lost: &BTreeMap<Rank, u64>,
        give_up_at: Instant,
        interrupt: Option<BorrowedFd<'_>>,
        mut met: impl FnMut(Rank, Met),
        mut tell: impl FnMut(Notice<'_>),
    ) -> Result<(), RendezvousError> {
        let is_called = lost.keys().any(|rank| *rank > self.party.hello.from);
        let terms = Terms {
            occasion: Occasion::Again,
            listens: if is_called { Listens::Yes } else { Listens::No },
            patience: Patience::UntilItIsOver,
            ended: interrupt,
            remind_at: None,
            report_at: None,
            give_up_at,
        };
        if is_called {
            let own = self.party.addresses[usize::from(self.party.hello.from.0)];
            listening::begin_again(&self.party.listener, own)?;
        }
        let held = Meeting::new(self, terms, lost.clone(), &mut met, &mut tell).hold();
        if is_called {
            listening::stop(&self.party.listener)?;
        }
        // Keys were there.
        wipe::stack();
        held
    }

    /// Whether what this rank and `peer` say to each other is encrypted.
    #[must_use]
    pub fn secrecy(&self, peer: Rank) -> Secrecy {
        if !self.party.keys.are_secret() {
            return Secrecy::Plain;
        }
        let address = |rank: Rank| self.party.addresses[usize::from(rank.0)].ip();
        self.party.encryption.between(address(self.party.hello.from), address(peer))
    }

    /// What this rank says of itself to `peer`.
    fn hello_to(&self, peer: Rank, received: u64) -> Hello {
        Hello { to: peer, secrecy: self.secrecy(peer), received, ..self.party.hello }
    }

    fn address(&self, rank: Rank) -> SocketAddr {
        self.party.addresses[usize::from(rank.0)]
    }
}

/// Ranks begin within moments of one another.
const REPORT_AFTER: Duration = Duration::from_secs(2);
