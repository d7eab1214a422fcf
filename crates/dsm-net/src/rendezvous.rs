//! How the ranks of a job find each other: each connects to all lower ranks and accepts all higher ones.
//!
//! Whoever connects speaks first, with a [`Hello`]; the accepting side answers with its own only after
//! it has found the job's key in it, so a stranger gets no byte. A job without a key has a key of zeros,
//! which every job with one takes for a stranger's.
//!
//! A launcher of ours has every rank's socket listen before any rank starts. One of the PR204 family may
//! leave that to the ranks; then a refused connection means nothing, and is tried again.

use dsm_core::Rank;
use dsm_core::wire::{HELLO_BYTES, Hello, HelloError};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use thiserror::Error;

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

/// Why the ranks did not meet.
#[derive(Debug, Error)]
pub enum RendezvousError {
    /// A lower rank cannot be reached.
    #[error("cannot connect to rank {rank} at {address}: {source}")]
    Connect {
        /// The lower rank.
        rank: Rank,
        /// Where it should listen.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A connection broke before the peer's hello was read.
    #[error("contact with rank {rank} at {address} lost during the handshake: {source}")]
    Lost {
        /// The peer.
        rank: Rank,
        /// Where it listens, or called from.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A peer is set up differently.
    #[error("cannot join rank {rank}: {source}")]
    Refused {
        /// The peer.
        rank: Rank,
        /// What differs.
        source: HelloError,
    },
    /// The time is up.
    #[error("rank {missing} did not call dsm_init within {waited_s} s")]
    Missing {
        /// The lowest rank that is missing.
        missing: Rank,
        /// How long it was waited for.
        waited_s: u64,
    },
    /// The launcher has gone or ended the job.
    #[error("the launcher ended the job before all ranks called dsm_init")]
    Ended,
    /// Waiting or accepting failed.
    #[error("{operation} failed while the ranks met: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Rendezvous<'_> {
    /// Meets every other rank. `remind` is told once which ranks are missing after a while.
    ///
    /// # Errors
    /// The first thing that keeps the ranks from meeting.
    pub fn meet(
        &self,
        remind: impl FnMut(&[Rank]),
    ) -> Result<BTreeMap<Rank, TcpStream>, RendezvousError> {
        self.listener.set_nonblocking(true).map_err(system("making the listener nonblocking"))?;
        let now = Attempt { at: Instant::now(), pause: FIRST_PAUSE };
        let mut meeting = Meeting {
            met: BTreeMap::new(),
            to_ask: (0..self.hello.from.0).map(|rank| (Rank(rank), now)).collect(),
            asked: BTreeMap::new(),
            callers: Vec::new(),
        };
        self.run(&mut meeting, remind)?;
        Ok(meeting.met)
    }

    fn run(
        &self,
        meeting: &mut Meeting,
        mut remind: impl FnMut(&[Rank]),
    ) -> Result<(), RendezvousError> {
        let begun = Instant::now();
        let mut reminder = Some(begun + self.remind_after);
        let give_up = begun + self.give_up_after;
        loop {
            self.ask(meeting)?;
            let missing = self.missing(meeting);
            let Some(&first) = missing.first() else { return Ok(()) };
            let now = Instant::now();
            if now >= give_up {
                let waited_s = self.give_up_after.as_secs();
                return Err(RendezvousError::Missing { missing: first, waited_s });
            }
            if reminder.is_some_and(|at| now >= at) {
                reminder = None;
                remind(&missing);
            }
            meeting.callers.retain(|caller| now < caller.until);
            let callers = meeting.callers.iter().map(|caller| caller.until);
            let attempts = meeting.to_ask.values().map(|attempt| attempt.at);
            let wake = callers.chain(attempts).chain(reminder).fold(give_up, Instant::min);
            self.wait(meeting, wake.saturating_duration_since(now))?;
        }
    }

    /// One round: waits, then moves every greeting on that can move.
    fn wait(&self, meeting: &mut Meeting, timeout: Duration) -> Result<(), RendezvousError> {
        let ended = self.ended.map(|ended| PollFd::from_borrowed_fd(ended, PollFlags::IN));
        let mut fds: Vec<_> = ended.into_iter().collect();
        if meeting.callers.len() < MAX_CALLERS {
            fds.push(PollFd::new(self.listener, PollFlags::IN));
        }
        let greetings = meeting.asked.values().chain(&meeting.callers);
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

    /// Connects to the lower ranks whose time has come.
    fn ask(&self, meeting: &mut Meeting) -> Result<(), RendezvousError> {
        let now = Instant::now();
        let due = meeting.to_ask.extract_if(.., |_, attempt| attempt.at <= now);
        for (rank, attempt) in due.collect::<Vec<_>>() {
            match self.connect(rank) {
                Ok(stream) => {
                    meeting.asked.insert(rank, Greeting::new(stream, self.address(rank)));
                }
                Err(error) if self.is_early(&error) => {
                    let (at, pause) = (now + attempt.pause, MAX_PAUSE.min(attempt.pause * 2));
                    meeting.to_ask.insert(rank, Attempt { at, pause });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_early(&self, error: &RendezvousError) -> bool {
        let RendezvousError::Connect { source, .. } = error else { return false };
        self.refusals == Refusals::Early && source.kind() == io::ErrorKind::ConnectionRefused
    }

    fn connect(&self, rank: Rank) -> Result<TcpStream, RendezvousError> {
        let address = self.address(rank);
        let connect = || {
            let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
            stream.set_nodelay(true)?;
            stream.write_all(&Hello { to: rank, ..self.hello }.encode())?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        connect().map_err(|source| RendezvousError::Connect { rank, address, source })
    }

    fn hear_answers(&self, meeting: &mut Meeting) -> Result<(), RendezvousError> {
        let ranks: Vec<Rank> = meeting.asked.keys().copied().collect();
        for rank in ranks {
            let Some(greeting) = meeting.asked.get_mut(&rank) else { continue };
            match greeting.read() {
                Ok(None) => (),
                Ok(Some(bytes)) => {
                    self.check(&bytes, rank)?;
                    let greeting = meeting.asked.remove(&rank).expect("the greeting just read");
                    meeting.met.insert(rank, greeting.stream);
                }
                Err(source) => {
                    let address = greeting.address;
                    return Err(RendezvousError::Lost { rank, address, source });
                }
            }
        }
        Ok(())
    }

    /// Whoever connected to this rank: a higher rank of the job is answered, a stranger is dropped.
    fn hear_callers(&self, meeting: &mut Meeting) -> Result<(), RendezvousError> {
        let mut at = 0;
        while at < meeting.callers.len() {
            match meeting.callers[at].read() {
                Ok(None) => at += 1,
                Err(_) => drop(meeting.callers.swap_remove(at)),
                Ok(Some(bytes)) => {
                    let caller = meeting.callers.swap_remove(at);
                    self.answer(meeting, caller, &bytes)?;
                }
            }
        }
        Ok(())
    }

    fn answer(
        &self,
        meeting: &mut Meeting,
        Greeting { mut stream, address, .. }: Greeting,
        bytes: &[u8; HELLO_BYTES],
    ) -> Result<(), RendezvousError> {
        let checked = self.hello.check(bytes);
        if checked == Err(HelloError::Stranger) {
            return Ok(());
        }
        let rank = Hello::speaker(bytes);
        let lost = |source| RendezvousError::Lost { rank, address, source };
        // A member that is set up differently is answered too: it must be able to say why as well.
        stream.write_all(&Hello { to: rank, ..self.hello }.encode()).map_err(lost)?;
        checked.map_err(|source| RendezvousError::Refused { rank, source })?;
        let expected = rank > self.hello.from && rank.0 < self.hello.nodes;
        if expected && !meeting.met.contains_key(&rank) {
            meeting.met.insert(rank, stream);
        }
        Ok(())
    }

    fn check(&self, bytes: &[u8; HELLO_BYTES], rank: Rank) -> Result<(), RendezvousError> {
        let refused = |source| RendezvousError::Refused { rank, source };
        let theirs = self.hello.check(bytes).map_err(refused)?;
        if theirs.from == rank {
            return Ok(());
        }
        let (ours, theirs) = (rank.0.into(), theirs.from.0.into());
        Err(refused(HelloError::Differs { what: "own rank", ours, theirs }))
    }

    fn accept(&self, meeting: &mut Meeting) -> Result<(), RendezvousError> {
        while meeting.callers.len() < MAX_CALLERS {
            match self.listener.accept() {
                Ok((stream, address)) => {
                    stream.set_nonblocking(true).map_err(system("making a socket nonblocking"))?;
                    meeting.callers.push(Greeting::new(stream, address));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_callers_fault(&error) => (),
                Err(source) => return Err(system("accept")(source)),
            }
        }
        Ok(())
    }

    fn address(&self, rank: Rank) -> SocketAddr {
        self.addresses[usize::from(rank.0)]
    }

    fn missing(&self, meeting: &Meeting) -> Vec<Rank> {
        let others = (0..self.hello.nodes).map(Rank).filter(|rank| *rank != self.hello.from);
        others.filter(|rank| !meeting.met.contains_key(rank)).collect()
    }
}

struct Meeting {
    met: BTreeMap<Rank, TcpStream>,
    /// Lower ranks to connect to.
    to_ask: BTreeMap<Rank, Attempt>,
    /// Lower ranks, which were sent our hello.
    asked: BTreeMap<Rank, Greeting>,
    /// Whoever connected to us and has not shown its key yet.
    callers: Vec<Greeting>,
}

/// When to connect, and how long to wait before the next time if that is refused.
#[derive(Clone, Copy)]
struct Attempt {
    at: Instant,
    pause: Duration,
}

/// A connection on which a hello is awaited.
struct Greeting {
    stream: TcpStream,
    /// Of the other end.
    address: SocketAddr,
    bytes: [u8; HELLO_BYTES],
    filled: usize,
    until: Instant,
}

impl Greeting {
    fn new(stream: TcpStream, address: SocketAddr) -> Self {
        let until = Instant::now() + CALLER_TIMEOUT;
        Self { stream, address, bytes: [0; HELLO_BYTES], filled: 0, until }
    }

    /// The hello, once all its bytes are here. Never reads beyond it.
    fn read(&mut self) -> io::Result<Option<[u8; HELLO_BYTES]>> {
        while self.filled < HELLO_BYTES {
            match self.stream.read(&mut self.bytes[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(self.bytes))
    }
}

impl AsFd for Greeting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Errors of accept(2) that are about the connection, not about the listener.
fn is_callers_fault(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

fn system(operation: &'static str) -> impl FnOnce(io::Error) -> RendezvousError {
    move |source| RendezvousError::System { operation, source }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// No event tells that a socket of another process listens. A refusal costs a packet each way, and ranks
/// begin milliseconds after one another.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const MAX_PAUSE: Duration = Duration::from_millis(250);
/// A caller that has not shown its key by then is dropped.
const CALLER_TIMEOUT: Duration = Duration::from_secs(3);
/// Callers beyond these wait in the kernel's backlog.
const MAX_CALLERS: usize = 64;
