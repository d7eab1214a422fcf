//! How the ranks of a job find each other: each connects to all lower ranks and accepts all higher ones.
//!
//! Whoever connects speaks first, with a [`Hello`]; the accepting side answers with its own only after
//! it has found the job's key in it, so a stranger gets no byte. A job without a key has a key of zeros,
//! which every job with one takes for a stranger's. What strangers can hold is bounded in number, time and
//! bytes; when all ranks have met, nobody listens any more.
//!
//! A launcher of ours has every rank's socket listen before any rank starts. One of the PR204 family may
//! leave that to the ranks; then a refused connection means nothing, and is tried again. One that is not
//! taken in time, or ends before an answer, is tried again too: strangers may have filled the rank's queue.

mod asking;
mod attempt;
mod callers;
mod error;
mod greeting;
mod meeting;

pub use error::RendezvousError;

use crate::strangers::Strangers;
use attempt::{Attempt, FIRST_PAUSE};
use dsm_core::Rank;
use dsm_core::wire::Hello;
use error::system;
use meeting::Meeting;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::Shutdown;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// What a rank brings to the rendezvous.
#[derive(Debug)]
pub struct Rendezvous<'a> {
    /// Who it is; `to` is filled in for each peer.
    pub hello: Hello,
    /// Where the ranks listen, in rank order.
    pub addresses: &'a [SocketAddr],
    /// This rank's own listening socket.
    pub listener: &'a TcpListener,
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

/// What whoever waits for the ranks to meet may want to know meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// These ranks are missing after [`Rendezvous::remind_after`]. Said once.
    Missing(&'a [Rank]),
    /// A lower rank's host does not answer; it is tried on. Said once for each.
    Silent {
        /// The lower rank.
        rank: Rank,
        /// Where it should listen.
        address: SocketAddr,
    },
    /// Connections of others were closed without a byte. Said at most once a minute, and at the end.
    TurnedAway {
        /// How many, since the last time.
        count: u64,
        /// Where the last of them came from.
        last: IpAddr,
    },
}

impl Rendezvous<'_> {
    /// Meets every other rank, and stops listening: from then on whoever connects is refused, whatever other
    /// process holds the socket too.
    ///
    /// # Errors
    /// The first thing that keeps the ranks from meeting.
    pub fn meet(
        &self,
        mut tell: impl FnMut(Notice<'_>),
    ) -> Result<BTreeMap<Rank, TcpStream>, RendezvousError> {
        self.listener.set_nonblocking(true).map_err(system("making the listener nonblocking"))?;
        let now = Attempt { at: Instant::now(), pause: FIRST_PAUSE };
        let mut meeting = Meeting {
            met: BTreeMap::new(),
            to_ask: (0..self.hello.from.0).map(|rank| (Rank(rank), now)).collect(),
            asked: BTreeMap::new(),
            silent: BTreeMap::new(),
            callers: VecDeque::new(),
            strangers: Strangers::default(),
        };
        let ran = self.run(&mut meeting, &mut tell);
        let uninvited = meeting.callers.iter().map(|caller| caller.address);
        uninvited.for_each(|address| meeting.strangers.on_turned_away(address, Instant::now()));
        meeting.strangers.rest().into_iter().for_each(tell);
        ran?;
        rustix::net::shutdown(self.listener, Shutdown::Both)
            .map_err(|error| system("closing the listener")(error.into()))?;
        Ok(meeting.met)
    }

    fn run(
        &self,
        meeting: &mut Meeting,
        tell: &mut impl FnMut(Notice<'_>),
    ) -> Result<(), RendezvousError> {
        let begun = Instant::now();
        let mut reminder = Some(begun + self.remind_after);
        let give_up = begun + self.give_up_after;
        loop {
            self.ask(meeting, tell)?;
            let missing = self.missing(meeting);
            let Some(&first) = missing.first() else { return Ok(()) };
            let now = Instant::now();
            if now >= give_up {
                return Err(self.give_up(meeting, first));
            }
            if reminder.is_some_and(|at| now >= at) {
                reminder = None;
                tell(Notice::Missing(&missing));
            }
            meeting.drop_late(now);
            meeting.strangers.due(now).into_iter().for_each(&mut *tell);
            let callers = meeting.callers.iter().map(|caller| caller.until);
            let attempts = meeting.to_ask.values().map(|attempt| attempt.at);
            let notice = meeting.strangers.tell_at();
            let wake = callers.chain(attempts).chain(reminder).chain(notice);
            let wake = wake.fold(give_up, Instant::min);
            self.wait(meeting, wake.saturating_duration_since(now))?;
        }
    }

    fn give_up(&self, meeting: &Meeting, missing: Rank) -> RendezvousError {
        if meeting.silent.contains_key(&missing) {
            let (address, source) = (self.address(missing), io::ErrorKind::TimedOut.into());
            return RendezvousError::Connect { rank: missing, address, source };
        }
        RendezvousError::Missing { missing, waited_s: self.give_up_after.as_secs() }
    }

    /// One round: waits, then moves every greeting on that can move.
    fn wait(&self, meeting: &mut Meeting, timeout: Duration) -> Result<(), RendezvousError> {
        let ended = self.ended.map(|ended| PollFd::from_borrowed_fd(ended, PollFlags::IN));
        let mut fds: Vec<_> = ended.into_iter().collect();
        fds.push(PollFd::new(self.listener, PollFlags::IN));
        let greetings =
            meeting.asked.values().map(|(greeting, _)| greeting).chain(&meeting.callers);
        fds.extend(greetings.map(|greeting| PollFd::new(&greeting.stream, PollFlags::IN)));
        let timeout = Timespec::try_from(timeout).expect("rendezvous times are within range");
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(source) => return Err(system("poll")(source.into())),
        }
        if self.ended.is_some() && !fds[0].revents().is_empty() {
            return Err(RendezvousError::Ended);
        }
        drop(fds);
        self.hear_answers(meeting)?;
        self.hear_callers(meeting)?;
        self.accept(meeting)
    }

    fn address(&self, rank: Rank) -> SocketAddr {
        self.addresses[usize::from(rank.0)]
    }

    fn missing(&self, meeting: &Meeting) -> Vec<Rank> {
        let others = (0..self.hello.nodes).map(Rank).filter(|rank| *rank != self.hello.from);
        others.filter(|rank| !meeting.met.contains_key(rank)).collect()
    }
}
