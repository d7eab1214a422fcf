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

use crate::strangers::Strangers;
use crate::wipe;
use dsm_core::Rank;
use dsm_core::wire::{HELLO_BYTES, Hello, HelloError};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::Shutdown;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
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

    /// Connects to the lower ranks whose time has come.
    fn ask(
        &self,
        meeting: &mut Meeting,
        tell: &mut impl FnMut(Notice<'_>),
    ) -> Result<(), RendezvousError> {
        let now = Instant::now();
        let due = meeting.to_ask.extract_if(.., |_, attempt| attempt.at <= now);
        for (rank, attempt) in due.collect::<Vec<_>>() {
            match self.connect(rank) {
                Ok(stream) => {
                    let greeting = Greeting::new(stream, self.address(rank));
                    meeting.asked.insert(rank, (greeting, attempt));
                    meeting.silent.remove(&rank);
                }
                Err(RendezvousError::Connect { rank, address, source }) => {
                    let next = match Attempt::after(&source, self.refusals) {
                        Again::Soon if attempt.pause < MAX_PAUSE => attempt.next(),
                        Again::Later => attempt.next(),
                        Again::AtOnce => {
                            let tries = meeting.silent.entry(rank).or_default();
                            *tries += 1;
                            if *tries == TRIES_UNTOLD {
                                tell(Notice::Silent { rank, address });
                            }
                            Attempt { at: Instant::now(), ..attempt }
                        }
                        Again::Soon | Again::Never => {
                            return Err(RendezvousError::Connect { rank, address, source });
                        }
                    };
                    meeting.to_ask.insert(rank, next);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
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
            let Some((greeting, attempt)) = meeting.asked.get_mut(&rank) else { continue };
            let (address, attempt, filled) = (greeting.address, *attempt, greeting.filled);
            match greeting.read() {
                Ok(None) => (),
                Ok(Some(bytes)) => {
                    self.check(&bytes, rank)?;
                    let (greeting, _) =
                        meeting.asked.remove(&rank).expect("the greeting just read");
                    meeting.met.insert(rank, greeting.stream);
                }
                // Strangers may have pushed it out.
                Err(_) if filled == 0 && attempt.pause < MAX_PAUSE => {
                    meeting.asked.remove(&rank);
                    meeting.to_ask.insert(rank, attempt.next());
                }
                Err(source) => return Err(RendezvousError::Lost { rank, address, source }),
            }
        }
        Ok(())
    }

    /// Whoever connected to this rank: a higher rank of the job is answered, a stranger is dropped.
    fn hear_callers(&self, meeting: &mut Meeting) -> Result<(), RendezvousError> {
        for caller in std::mem::take(&mut meeting.callers) {
            if let Some(caller) = self.hear(meeting, caller)? {
                meeting.callers.push_back(caller);
            }
        }
        Ok(())
    }

    /// Gives the caller back if its hello is not complete.
    fn hear(
        &self,
        meeting: &mut Meeting,
        mut caller: Greeting,
    ) -> Result<Option<Greeting>, RendezvousError> {
        match caller.read() {
            Ok(None) => return Ok(Some(caller)),
            Ok(Some(bytes)) => self.answer(meeting, caller, &bytes)?,
            Err(_) => meeting.turn_away(caller),
        }
        Ok(None)
    }

    fn answer(
        &self,
        meeting: &mut Meeting,
        mut caller: Greeting,
        bytes: &[u8; HELLO_BYTES],
    ) -> Result<(), RendezvousError> {
        let checked = self.hello.check(bytes);
        let rank = Hello::speaker(bytes);
        let is_stranger = checked == Err(HelloError::Stranger);
        // With the key, but none that calls this rank: a hello that was said before, or to another.
        let is_misplaced = rank <= self.hello.from
            || rank.0 >= self.hello.nodes
            || meeting.met.contains_key(&rank)
            || Hello::addressee(bytes) != self.hello.from;
        if is_stranger || is_misplaced {
            meeting.turn_away(caller);
            return Ok(());
        }
        // A member that is set up differently is answered too: it must be able to say why as well.
        let answered = caller.stream.write_all(&Hello { to: rank, ..self.hello }.encode());
        checked.map_err(|source| RendezvousError::Refused { rank, source })?;
        match answered {
            Ok(()) => drop(meeting.met.insert(rank, caller.stream)),
            // It calls again, or its end is told by others.
            Err(_) => meeting.turn_away(caller),
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

    /// Takes callers out of the kernel's queue. Where there is no room for one more, who has been silent for
    /// longest goes: a member says its hello at once, and calls again if it was taken for a stranger.
    fn accept(&self, meeting: &mut Meeting) -> Result<(), RendezvousError> {
        for _ in 0..MAX_CALLERS {
            let (stream, address) = match self.listener.accept() {
                Ok(caller) => caller,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_callers_fault(&error) => continue,
                Err(error) if is_lack(&error) && !meeting.callers.is_empty() => {
                    meeting.drop_oldest();
                    continue;
                }
                Err(source) => return Err(system("accept")(source)),
            };
            stream.set_nonblocking(true).map_err(system("making a socket nonblocking"))?;
            if let Some(caller) = self.hear(meeting, Greeting::new(stream, address))? {
                meeting.callers.push_back(caller);
            }
            if meeting.callers.len() > MAX_CALLERS
                && let Some(oldest) = meeting.callers.pop_front()
                && let Some(oldest) = self.hear(meeting, oldest)?
            {
                meeting.turn_away(oldest);
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
    asked: BTreeMap<Rank, (Greeting, Attempt)>,
    /// Lower ranks that did not take a connection, and how often.
    silent: BTreeMap<Rank, u32>,
    /// Whoever connected to us and has not shown its key yet, the oldest first.
    callers: VecDeque<Greeting>,
    strangers: Strangers,
}

impl Meeting {
    fn turn_away(&mut self, caller: Greeting) {
        self.strangers.on_turned_away(caller.address, Instant::now());
    }

    fn drop_oldest(&mut self) {
        if let Some(caller) = self.callers.pop_front() {
            self.turn_away(caller);
        }
    }

    /// Callers come in the order in which their time is up.
    fn drop_late(&mut self, now: Instant) {
        while self.callers.front().is_some_and(|caller| caller.until <= now) {
            self.drop_oldest();
        }
    }
}

/// When to connect, and how long to wait before the next time if that is refused.
#[derive(Clone, Copy)]
struct Attempt {
    at: Instant,
    pause: Duration,
}

/// What to do about a connection that failed.
enum Again {
    /// It was not taken in time: nobody is there, or strangers stand in the rank's queue.
    AtOnce,
    /// It was closed: strangers may have pushed it out, so a few times.
    Soon,
    /// The rank may not listen yet.
    Later,
    Never,
}

impl Attempt {
    fn after(error: &io::Error, refusals: Refusals) -> Again {
        match (error.kind(), refusals) {
            (io::ErrorKind::TimedOut, _) => Again::AtOnce,
            (io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe, _) => Again::Soon,
            (io::ErrorKind::ConnectionRefused, Refusals::Early) => Again::Later,
            _ => Again::Never,
        }
    }

    fn next(self) -> Self {
        Self { at: Instant::now() + self.pause, pause: MAX_PAUSE.min(self.pause * 2) }
    }
}

/// A connection on which a hello is awaited.
struct Greeting {
    stream: TcpStream,
    /// Of the other end.
    address: SocketAddr,
    bytes: Secret,
    filled: usize,
    until: Instant,
}

/// The bytes of a hello: in one place however they are moved, and gone afterwards, because they hold the key.
struct Secret(Box<[u8; HELLO_BYTES]>);

impl Drop for Secret {
    fn drop(&mut self) {
        wipe::bytes(&mut *self.0);
    }
}

impl Greeting {
    fn new(stream: TcpStream, address: SocketAddr) -> Self {
        let until = Instant::now() + CALLER_TIMEOUT;
        Self { stream, address, bytes: Secret(Box::new([0; HELLO_BYTES])), filled: 0, until }
    }

    /// The hello, once all its bytes are here. Never reads beyond it.
    fn read(&mut self) -> io::Result<Option<[u8; HELLO_BYTES]>> {
        while self.filled < HELLO_BYTES {
            match self.stream.read(&mut self.bytes.0[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(*self.bytes.0))
    }
}

impl AsFd for Greeting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Errors of accept(2) that are about the connection, not about the listener.
fn is_callers_fault(error: &io::Error) -> bool {
    let passing = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
    ];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

/// Errors of accept(2) that go away when a connection is closed.
fn is_lack(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}

fn system(operation: &'static str) -> impl FnOnce(io::Error) -> RendezvousError {
    move |source| RendezvousError::System { operation, source }
}

/// Then the next attempt; others can be heard between two.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// So many attempts are made before anything is said of it.
const TRIES_UNTOLD: u32 = 5;
/// No event tells that a socket of another process listens. A refusal costs a packet each way, and ranks
/// begin milliseconds after one another.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const MAX_PAUSE: Duration = Duration::from_millis(250);
/// A caller that has not shown its key by then is dropped.
const CALLER_TIMEOUT: Duration = Duration::from_secs(3);
/// Callers that have not shown their key. One more, and the oldest is dropped.
const MAX_CALLERS: usize = 64;
