mod looks;
mod parting;

use super::EDGE;
use super::burst::When;
use super::mend::{Mender, Outcome};
use super::pulse::Pulse;
use crate::fatal::Fatal;
use crate::supervisor::Supervisor;
use dsm_core::wire::HEADER_BYTES;
use dsm_core::{Message, PageId, Rank};
use dsm_mem::Region;
use dsm_net::connection::{Connection, ConnectionError, Received};
use dsm_net::launch::Status;
use dsm_net::rendezvous::Met;
use looks::Looks;
use rustix::event::epoll;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The connections to all other ranks.
///
/// A connection that is reset is made again, if the job has somebody who ends it when that fails; what is to be
/// sent waits meanwhile. Whoever uses this does not notice.
#[derive(Debug)]
pub(super) struct Peers {
    own: Rank,
    links: BTreeMap<Rank, Link>,
    /// Those with messages that were queued and not sent yet.
    queued: BTreeSet<Rank>,
    epoll: Arc<OwnedFd>,
    mender: Option<Mender>,
    supervisor: Option<Arc<Supervisor>>,
    looks: Looks,
}

#[derive(Debug)]
struct Link {
    connection: Connection,
    pulse: Pulse,
    /// How many sockets it had before this one, whose events may still come.
    before: u32,
    /// It was lost, and nothing has come through the next socket yet.
    loss: Option<Loss>,
    /// The last loss that is over.
    mended: Option<Mended>,
}

/// A loss that is over, if more than the handshake and acknowledgements comes through the new socket.
#[derive(Debug)]
struct Mended {
    at: Instant,
    /// How much of the peer's stream was here then.
    received: u64,
    until: Instant,
}

#[derive(Debug)]
struct Loss {
    since: Instant,
    until: Instant,
    cause: String,
}

/// What came from a peer.
pub(super) enum Arrival {
    /// A message; its content, if any, is in the page's service view.
    Message(Message),
    Nothing,
}

/// Why nothing more comes through a socket, or goes.
#[derive(Debug)]
enum Break {
    /// The peer has ended its side.
    Closed,
    Error(ConnectionError),
    Unasked(PageId),
}

impl Peers {
    pub(super) fn new(
        own: Rank,
        connections: BTreeMap<Rank, Connection>,
        epoll: &Arc<OwnedFd>,
        mender: Option<Mender>,
        supervisor: Option<Arc<Supervisor>>,
    ) -> Result<Self, Fatal> {
        let link = |connection| Link {
            connection,
            pulse: Pulse::default(),
            before: 0,
            loss: None,
            mended: None,
        };
        let links: BTreeMap<_, _> =
            connections.into_iter().map(|(rank, connection)| (rank, link(connection))).collect();
        links.iter().try_for_each(|(rank, link)| link.begin_watch(*rank, epoll))?;
        let (queued, epoll) = (BTreeSet::new(), Arc::clone(epoll));
        let looks = Looks::default();
        Ok(Self { own, links, queued, epoll, mender, supervisor, looks })
    }

    /// Whose event this is; nobody's if it is of a socket that was given up.
    pub(super) fn of_token(&self, token: u64) -> Option<Rank> {
        let rank = Rank(u16::try_from(token & u64::from(u16::MAX)).expect("sixteen bits"));
        let link = self.links.get(&rank)?;
        (link.token(rank) == token).then_some(rank)
    }

    /// An event told that a peer has sent something.
    pub(super) fn on_readable(&mut self, rank: Rank) {
        if let Some(link) = self.links.get_mut(&rank) {
            link.connection.on_readable();
        }
    }

    /// The peer has ended its side, or the connection failed.
    pub(super) fn hang_up(&mut self, rank: Rank) {
        if let Some(link) = self.links.get_mut(&rank) {
            link.connection.hang_up();
        }
    }

    pub(super) fn remove(&mut self, rank: Rank) {
        self.links.remove(&rank);
    }

    /// The next message of a peer. Content goes straight into its page, if `awaits` says that the engine
    /// asked for it.
    pub(super) fn receive(
        &mut self,
        from: Rank,
        region: &Region,
        awaits: impl Fn(PageId) -> bool,
    ) -> Result<Arrival, Fatal> {
        let Some(link) = self.links.get_mut(&from) else { return Ok(Arrival::Nothing) };
        if link.connection.acknowledge() {
            self.queued.insert(from);
        }
        match next_message(&mut link.connection, region, awaits) {
            Ok(arrival) => {
                let is_asked = link.connection.is_asked();
                if link.loss.is_some() {
                    self.tell_resumed(from);
                }
                if is_asked {
                    self.answer(from)?;
                }
                Ok(arrival)
            }
            Err(broken) => self.on_break(from, broken).map(|()| Arrival::Nothing),
        }
    }

    /// Sends a message with the page it names as attached, or queues one without, or one to be sent soon; returns
    /// how many bytes that are.
    pub(super) fn send(
        &mut self,
        to: Rank,
        message: &Message,
        when: When,
        region: &Region,
    ) -> Result<u64, Fatal> {
        let Some(Link { connection, .. }) = self.links.get_mut(&to) else { return Err(closed(to)) };
        self.looks.is_wanted = true;
        let was_blocked = connection.is_blocked();
        let sent = match message.attached_page() {
            None => {
                self.queued.insert(to);
                connection.queue(message)
            }
            Some(page) if when == When::Soon => {
                self.queued.insert(to);
                connection.queue_content(message, |queue| region.copy_page(page, queue))
            }
            Some(page) => connection.send_content(
                message,
                |stream, first| region.send_page(first, page, stream),
                |queue| region.copy_page(page, queue),
            ),
        };
        let is_blocked = connection.is_blocked();
        if let Err(error) = sent {
            self.on_break(to, Break::Error(error))?;
        } else if !was_blocked && is_blocked {
            self.watch(to)?;
        }
        let content = message.attached_page().map_or(0, |_| region.page_bytes());
        Ok(u64::try_from(HEADER_BYTES + content).expect("a frame is short"))
    }

    /// Sends the messages that were queued since the last time.
    pub(super) fn flush_queued(&mut self) -> Result<(), Fatal> {
        for rank in std::mem::take(&mut self.queued) {
            let link = self.links.get(&rank);
            // An event tells when it takes more.
            if link.is_some_and(|link| !link.connection.is_blocked()) {
                self.flush(rank)?;
            }
        }
        Ok(())
    }

    /// Sends what waits for a peer, as far as its socket takes it.
    pub(super) fn flush(&mut self, rank: Rank) -> Result<(), Fatal> {
        let Some(Link { connection, .. }) = self.links.get_mut(&rank) else { return Ok(()) };
        let was_blocked = connection.is_blocked();
        match connection.flush() {
            Ok(()) if connection.is_blocked() == was_blocked => Ok(()),
            Ok(()) => self.watch(rank),
            Err(error) => self.on_break(rank, Break::Error(error)),
        }
    }

    /// Watches for what the connection waits for.
    fn watch(&self, rank: Rank) -> Result<(), Fatal> {
        let link = &self.links[&rank];
        let Some(socket) = link.connection.socket() else { return Ok(()) };
        epoll::modify(&self.epoll, socket, link.data(rank), link.flags()).map_err(not_watched)
    }

    /// A socket can be used no more. Either the connection is lost for now, or the job is over.
    fn on_break(&mut self, rank: Rank, broken: Break) -> Result<(), Fatal> {
        let (Some(link), Some(mender)) = (self.links.get_mut(&rank), &self.mender) else {
            return Err(broken.fatal(rank));
        };
        let may_be_well = match &broken {
            Break::Closed => link.connection.is_unproven(),
            Break::Error(error @ ConnectionError::Socket { .. }) => {
                error.is_reset() || link.connection.is_unproven()
            }
            // It can say nothing while it is not there.
            Break::Error(ConnectionError::QueueFull { .. }) if link.connection.is_lost() => {
                let loss = link.loss.take();
                let cause = loss.map_or_else(String::new, |loss| loss.cause);
                return Err(Fatal::Unresumed { rank, cause: format!("{cause}; {broken}") });
            }
            Break::Error(_) | Break::Unasked(_) => false,
        };
        if !may_be_well {
            return Err(broken.fatal(rank));
        }
        if let Some(socket) = link.connection.socket() {
            // Another process may hold it open, which would keep it watched.
            let _ = epoll::delete(&self.epoll, socket);
        }
        link.connection.lose();
        link.before += 1;
        let received = link.connection.received();
        let mended = link.mended.take().filter(|mended| mended.was_in_vain(received));
        let loss = link.loss.get_or_insert_with(|| Loss::begin(&broken, mended));
        mender.mend(rank, link.connection.received(), loss.until)
    }

    /// Goes on with the connections that were made again. Gives those that could not be.
    pub(super) fn on_mended(&mut self) -> Result<Vec<(Rank, Fatal)>, Fatal> {
        let outcomes = self.mender.as_ref().map(Mender::outcomes).unwrap_or_default();
        let mut failed = Vec::new();
        for outcome in outcomes {
            match outcome {
                Outcome::Met { rank, met } => self.resume(rank, met)?,
                Outcome::Failed { rank, cause } => {
                    let loss = self.links.get_mut(&rank).and_then(|link| link.loss.take());
                    let cause = loss.map_or_else(String::new, |loss| loss.cause) + "; " + &cause;
                    failed.push((rank, Fatal::Unresumed { rank, cause }));
                }
            }
        }
        Ok(failed)
    }

    fn resume(&mut self, rank: Rank, met: Met) -> Result<(), Fatal> {
        let Some(link) = self.links.get_mut(&rank) else { return Ok(()) };
        let Met { stream, cipher, received } = met;
        if let Err(error) = link.connection.resume(stream, cipher, received) {
            return self.on_break(rank, Break::Error(error));
        }
        link.begin_watch(rank, &self.epoll)?;
        self.flush(rank)
    }

    /// One of the two ranks tells the launcher, once something has come through the new socket.
    fn tell_resumed(&mut self, rank: Rank) {
        let Some(link) = self.links.get_mut(&rank) else { return };
        if link.connection.is_unproven() || link.connection.is_lost() {
            return;
        }
        let Some(loss) = link.loss.take() else { return };
        let (at, received) = (Instant::now(), link.connection.received());
        link.mended = Some(Mended { at, received, until: loss.until });
        if let Some(supervisor) = &self.supervisor
            && self.own < rank
        {
            let after_ms = u32::try_from(loss.since.elapsed().as_millis()).unwrap_or(u32::MAX);
            let cause = loss.cause;
            supervisor.mention(&Status::Resumed { rank: rank.0, after_ms, cause });
        }
    }
}

impl Link {
    fn token(&self, rank: Rank) -> u64 {
        u64::from(self.before) << u16::BITS | u64::from(rank.0)
    }

    fn data(&self, rank: Rank) -> epoll::EventData {
        epoll::EventData::new_u64(self.token(rank))
    }

    fn flags(&self) -> epoll::EventFlags {
        let out = epoll::EventFlags::OUT;
        let wanted = if self.connection.is_blocked() { out } else { epoll::EventFlags::empty() };
        epoll::EventFlags::IN | EDGE | wanted
    }

    fn begin_watch(&self, rank: Rank, epoll: &OwnedFd) -> Result<(), Fatal> {
        let Some(socket) = self.connection.socket() else { return Ok(()) };
        epoll::add(epoll, socket, self.data(rank), self.flags()).map_err(not_watched)
    }
}

impl Mended {
    /// Whether it was lost again at once, with nothing of the peer's stream in between: who resets every
    /// connection after the handshake gets no more time than who resets it before.
    fn was_in_vain(&self, received: u64) -> bool {
        received <= self.received && self.at.elapsed() < AT_ONCE
    }
}

impl Loss {
    fn begin(broken: &Break, mended_in_vain: Option<Mended>) -> Self {
        let since = Instant::now();
        let within = match broken {
            Break::Error(error) if error.was_silent() => SILENT_WITHIN,
            _ => RESUMED_WITHIN,
        };
        let until = mended_in_vain.map_or(since + within, |mended| mended.until);
        Self { since, until, cause: broken.to_string() }
    }
}

impl Break {
    fn fatal(self, rank: Rank) -> Fatal {
        match self {
            Self::Closed => closed(rank),
            Self::Error(error) => Fatal::of_peer(rank, error),
            Self::Unasked(page) => Fatal::Unasked { rank, page },
        }
    }
}

impl std::fmt::Display for Break {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str(CLOSED),
            Self::Error(error) => error.fmt(f),
            Self::Unasked(page) => write!(f, "it sent page {page}"),
        }
    }
}

fn next_message(
    connection: &mut Connection,
    region: &Region,
    awaits: impl Fn(PageId) -> bool,
) -> Result<Arrival, Break> {
    loop {
        let (page, offset) = match connection.receive().map_err(Break::Error)? {
            Received::Message(message) => return Ok(Arrival::Message(message)),
            Received::Nothing => return Ok(Arrival::Nothing),
            Received::Closed => return Err(Break::Closed),
            Received::Content { page, offset } => (page, offset),
        };
        if !awaits(page) {
            return Err(Break::Unasked(page));
        }
        let here = connection.take_content();
        let arrived = if here.is_empty() {
            let Some(socket) = connection.socket() else { return Ok(Arrival::Nothing) };
            match receive_page(region, page, offset, socket)? {
                Some(count) => count,
                None => return Ok(Arrival::Nothing),
            }
        } else {
            region.write_page(page, offset, here);
            here.len()
        };
        if let Some(message) = connection.content_arrived(arrived) {
            return Ok(Arrival::Message(message));
        }
    }
}

/// Moves what the socket has of a page to its place; `None` if that is nothing for now.
fn receive_page(
    region: &Region,
    page: PageId,
    offset: usize,
    socket: BorrowedFd<'_>,
) -> Result<Option<usize>, Break> {
    match region.receive_page(page, offset, socket) {
        Ok(0) => Err(Break::Closed),
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(source) => Err(Break::Error(ConnectionError::Socket { operation: "recv", source })),
    }
}

fn not_watched(error: rustix::io::Errno) -> Fatal {
    Fatal::System { operation: "epoll_ctl", source: error.into() }
}

fn closed(rank: Rank) -> Fatal {
    Fatal::ContactLost { rank, cause: CLOSED.to_owned() }
}

const CLOSED: &str = "it closed the connection";
/// How long it may take to go on with a connection that was reset.
const RESUMED_WITHIN: Duration = Duration::from_secs(4);
/// The same where nothing was heard of the peer for seconds before it was called lost.
const SILENT_WITHIN: Duration = Duration::from_secs(1);
/// A connection that was made again and is lost before that may never have been of use.
const AT_ONCE: Duration = Duration::from_millis(500);
