//! One connection between two ranks: frames in, frames out, never blocking.
//!
//! Each direction is a stream of frames, whose bytes are numbered from the first on. What is sent is kept until
//! the peer acknowledges it, so that a socket that fails can be replaced: both ends say how much they have
//! got, and what is missing is sent again. With a [`Cipher`] the stream travels in records, which belong to
//! one socket.

mod control;
mod inbound;
mod kept;
mod outbound;
mod pings;

use crate::record::{Cipher, RecordError};
use control::Control;
use dsm_core::wire::{self, Limits, WireError};
use dsm_core::{Message, PageId};
use inbound::{Inbound, Read, ReadError};
use outbound::Outbound;
use pings::Pings;
use rustix::io::Errno;
use rustix::net::{RecvFlags, sockopt};
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use thiserror::Error;

pub use outbound::MAX_OUTBOUND;

/// A peer, connected or to be connected again.
///
/// Invariant: bytes leave in the order they were given; while some wait in the queue, later ones join it.
#[derive(Debug)]
pub struct Connection {
    /// None while the connection is lost.
    stream: Option<TcpStream>,
    cipher: Option<Cipher>,
    limits: Limits,
    next: Next,
    inbound: Inbound,
    /// How much of the peer's stream it was told that it has arrived.
    acknowledged: u64,
    /// The socket gave less than there was room for.
    is_drained: bool,
    is_ending: bool,
    /// Nothing has come through the socket that replaced another.
    is_unproven: bool,
    outbound: Outbound,
    /// The socket took less than it was given.
    is_blocked: bool,
    pings: Pings,
    /// How many messages were given.
    said: u64,
}

/// What comes next.
#[derive(Debug)]
enum Next {
    Header,
    Content { message: Message, page: PageId, filled: usize },
}

/// What the peer's bytes give next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A complete message.
    Message(Message),
    /// A message whose content must be moved from the socket into its page, from `offset` on.
    /// Tell with [`Connection::content_arrived`] how much was.
    Content {
        /// The page.
        page: PageId,
        /// Bytes of it that are there already.
        offset: usize,
    },
    /// Nothing until the socket is readable again.
    Nothing,
    /// The peer has closed its side.
    Closed,
}

/// Why a connection cannot be used any more.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The socket failed.
    #[error("{operation} failed: {source}")]
    Socket {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The peer sent what is no frame.
    #[error("it sent a malformed frame: {0}")]
    Malformed(#[from] WireError),
    /// The peer does not take what it is sent.
    #[error(
        "{waiting} bytes wait for it to take and acknowledge them, over the limit of {MAX_OUTBOUND}"
    )]
    QueueFull {
        /// Bytes in the queue.
        waiting: usize,
    },
    /// The peer acknowledged what it cannot have got, or takes back what it acknowledged.
    #[error("it acknowledged {offset} bytes, expected {least} to {most}")]
    Acknowledged {
        /// What it says.
        offset: u64,
        /// What it acknowledged before.
        least: u64,
        /// What it was sent.
        most: u64,
    },
    /// The peer asked out of turn whether this rank is there.
    #[error("it sent ping {number}, expected {least} to {most}")]
    Ping {
        /// Its number.
        number: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// The peer answered what it was not asked.
    #[error("it answered ping {number}, expected {least} to {most}")]
    Pong {
        /// Its number.
        number: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// The peer sent a frame that is no message, and more than belongs in it.
    #[error("it sent an acknowledgement, ping or pong with other fields set")]
    Padded,
    /// The peer, or somebody between, sent what is no record of this connection.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl ConnectionError {
    /// Whether the socket failed although the peer may be well: another one may do.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.is_one_of(&RESETS) || self.was_silent()
    }

    /// Whether it failed because nothing was heard of the peer for some time.
    #[must_use]
    pub fn was_silent(&self) -> bool {
        self.is_one_of(&SILENCES)
    }

    fn is_one_of(&self, errnos: &[Errno]) -> bool {
        let Self::Socket { source, .. } = self else { return false };
        Errno::from_io_error(source).is_some_and(|errno| errnos.contains(&errno))
    }
}

impl Connection {
    /// Takes a connected stream over; it becomes nonblocking, and finds out by itself when the other end of an
    /// idle connection has forgotten it.
    ///
    /// # Errors
    /// If the socket refuses its options.
    pub fn new(stream: TcpStream, cipher: Option<Cipher>, limits: Limits) -> io::Result<Self> {
        prepare(&stream)?;
        Ok(Self {
            stream: Some(stream),
            limits,
            next: Next::Header,
            inbound: Inbound::new(cipher.is_some()),
            acknowledged: 0,
            is_drained: false,
            is_ending: false,
            is_unproven: false,
            outbound: Outbound::default(),
            is_blocked: false,
            pings: Pings::default(),
            said: 0,
            cipher,
        })
    }

    /// The socket has failed: it is given up. Messages are queued meanwhile, within the same limit.
    pub fn lose(&mut self) {
        if let Some(stream) = self.stream.take() {
            // The other end is not to take this for the end of the process.
            let _ = sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
        }
        self.inbound.on_lost();
        self.is_drained = false;
        self.is_ending = false;
        self.is_blocked = false;
    }

    /// Whether there is no socket.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.stream.is_none()
    }

    /// How many bytes of the peer's stream are here: what it is told when it is met again.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.inbound.received()
    }

    /// Goes on through another socket, at whose other end the peer said that it has got `delivered` bytes of
    /// the stream to it. What it misses is sent by the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// If the socket refuses its options, or the peer cannot have got that many bytes.
    ///
    /// # Panics
    /// If the connection is not lost, or was encrypted before and is not to be any more, or the other way round.
    pub fn resume(
        &mut self,
        stream: TcpStream,
        cipher: Option<Cipher>,
        delivered: u64,
    ) -> Result<(), ConnectionError> {
        assert!(self.is_lost(), "a socket is replaced when it has failed");
        let is_encrypted = cipher.is_some();
        assert_eq!(is_encrypted, self.cipher.is_some(), "two ranks encrypt always or never");
        prepare(&stream).map_err(|source| socket_error("setsockopt", source))?;
        self.outbound.rewind(delivered)?;
        self.stream = Some(stream);
        self.cipher = cipher;
        self.is_unproven = true;
        // The peer's first proof that this end has taken the connection.
        self.push_acknowledgement();
        Ok(())
    }

    /// Whether the other end may have given up the socket that replaced another before it used it: nothing
    /// has come through it.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        self.is_unproven
    }

    /// Whether what passes through the socket is encrypted, so that nobody but this connection may read it.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.cipher.is_some()
    }

    /// The socket, unless it is lost.
    #[must_use]
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    /// The next thing the peer's bytes give. After [`Received::Nothing`] an event tells of more, also when
    /// it tells of each arrival once only; tell of each event with [`on_readable`](Self::on_readable).
    ///
    /// # Errors
    /// If the socket fails or the peer breaks the format.
    pub fn receive(&mut self) -> Result<Received, ConnectionError> {
        loop {
            if let Some(received) = self.look()? {
                return Ok(received);
            }
            if std::mem::take(&mut self.is_drained) && !self.is_ending {
                return Ok(Received::Nothing);
            }
            let Some(stream) = &self.stream else { return Ok(Received::Nothing) };
            match self.inbound.read(stream, self.cipher.as_mut()) {
                Ok(Read::End) => return Ok(Received::Closed),
                Ok(read) => {
                    self.is_unproven = false;
                    self.is_drained = read == Read::Rest;
                }
                Err(ReadError::Socket(Errno::AGAIN)) => return Ok(Received::Nothing),
                Err(ReadError::Socket(Errno::INTR)) => (),
                Err(ReadError::Socket(errno)) => return Err(socket_error("recv", errno.into())),
                Err(ReadError::Peer(error)) => return Err(error),
            }
        }
    }

    /// Reads and forgets what the peer still says: [`Received::Nothing`] until the socket is readable again, or
    /// [`Received::Closed`]. Nothing can be received afterwards.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn forget(&mut self) -> Result<Received, ConnectionError> {
        let Some(stream) = &self.stream else { return Ok(Received::Nothing) };
        let mut bytes = [0; 4096];
        loop {
            match rustix::net::recv(stream, &mut bytes, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Ok(Received::Closed),
                Ok(_) => self.is_unproven = false,
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(Errno::INTR) => (),
                Err(errno) => return Err(socket_error("recv", errno.into())),
            }
        }
    }

    /// What the bytes give that are here already; `None` if more must be read.
    fn look(&mut self) -> Result<Option<Received>, ConnectionError> {
        loop {
            if let Next::Content { page, filled, .. } = self.next {
                // Only what is not encrypted can go from the socket straight to its page.
                let is_there =
                    !self.inbound.is_empty() || (!self.is_encrypted() && !self.is_lost());
                return Ok(is_there.then_some(Received::Content { page, offset: filled }));
            }
            let Some(header) = self.inbound.take_header() else { return Ok(None) };
            if let Some(control) = Control::decode(&header)? {
                match control {
                    Control::Acknowledgement(offset) => self.outbound.acknowledge(offset)?,
                    Control::Ping(number) => self.pings.on_ping(number)?,
                    Control::Pong(number) => self.pings.on_pong(number)?,
                }
                continue;
            }
            let message = wire::decode(&header, &self.limits)?;
            match message.attached_page() {
                Some(page) => self.next = Next::Content { message, page, filled: 0 },
                None => return Ok(Some(Received::Message(message))),
            }
        }
    }

    /// An event told that the socket has something: it is read again, whatever was found before.
    pub fn on_readable(&mut self) {
        self.is_drained = false;
    }

    /// The peer has ended its side, or the connection failed: what comes is read to its end.
    pub fn hang_up(&mut self) {
        self.is_ending = true;
    }

    /// Bytes of the content asked for by [`Received::Content`] that were read already, if any; the others
    /// are to be read from the [`socket`](Self::socket).
    pub fn take_content(&mut self) -> &[u8] {
        let left = match self.next {
            Next::Content { filled, .. } => self.limits.page_bytes as usize - filled,
            Next::Header => 0,
        };
        if self.inbound.is_empty() {
            // Whoever reads on from the socket may leave something there.
            self.is_drained = false;
        }
        self.inbound.take(left)
    }

    /// `count` more bytes of the content asked for by [`Received::Content`] are in their page; gives the
    /// message once all are.
    ///
    /// # Panics
    /// If no content is expected, or more arrived than a page holds.
    pub fn content_arrived(&mut self, count: usize) -> Option<Message> {
        let page_bytes = self.limits.page_bytes as usize;
        let Next::Content { message, filled, .. } = &mut self.next else {
            panic!("content arrives after a header that announces it");
        };
        *filled += count;
        assert!(*filled <= page_bytes, "content is one page");
        self.inbound.on_content(count);
        self.is_unproven = false;
        if *filled < page_bytes {
            return None;
        }
        let message = *message;
        self.next = Next::Header;
        Some(message)
    }

    /// Queues a message that has no content; [`flush`](Self::flush) sends it together with what is queued
    /// before and after, because a system call costs more than the bytes.
    ///
    /// # Errors
    /// If the queue is full.
    pub fn queue(&mut self, message: &Message) -> Result<(), ConnectionError> {
        self.push(message);
        self.outbound.check_limit()
    }

    /// Queues a message with its content, which `copy` appends: to be sent with others that follow.
    ///
    /// # Errors
    /// If the queue is full.
    pub fn queue_content(
        &mut self,
        message: &Message,
        copy: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), ConnectionError> {
        self.push(message);
        self.outbound.push_with(self.limits.page_bytes as usize, copy);
        self.outbound.check_limit()
    }

    /// Queues an acknowledgement if the peer has waited for one for long; whether it did.
    pub fn acknowledge(&mut self) -> bool {
        self.acknowledge_after(ACKNOWLEDGE_ALONE)
    }

    fn acknowledge_after(&mut self, bytes: u64) -> bool {
        let is_due = self.inbound.received() - self.acknowledged >= bytes;
        if is_due {
            self.push_acknowledgement();
        }
        is_due
    }

    fn push_acknowledgement(&mut self) {
        self.acknowledged = self.inbound.received();
        self.outbound.push(&Control::Acknowledgement(self.acknowledged).encode());
    }

    fn push(&mut self, message: &Message) {
        self.acknowledge_after(ACKNOWLEDGE_WITH_OTHERS);
        self.outbound.push(&wire::encode(message, &self.limits));
        self.said += 1;
    }

    /// How many messages the peer was given, sent or not.
    #[must_use]
    pub fn said(&self) -> u64 {
        self.said
    }

    /// Queues a question to the peer whether it is there.
    pub fn ping(&mut self) {
        let number = self.pings.ask();
        self.outbound.push(&Control::Ping(number).encode());
    }

    /// Whether the peer has answered every [`ping`](Self::ping). Then it has also got everything before the last.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.pings.is_answered()
    }

    /// Whether the peer has asked, and [`answer`](Self::answer) would.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.pings.is_due()
    }

    /// Queues the answer if the peer has asked whether this rank is there; whether it had.
    ///
    /// # Errors
    /// If the queue is full: the peer asks and does not read.
    pub fn answer(&mut self) -> Result<bool, ConnectionError> {
        let Some(number) = self.pings.answer() else { return Ok(false) };
        self.outbound.push(&Control::Pong(number).encode());
        self.outbound.check_limit().map(|()| true)
    }

    /// Sends what is queued and a message with its content: `write` sends the given bytes and the page with
    /// one system call and says how many bytes were taken; `copy` appends the page, for what must wait in
    /// the queue and for what may have to be sent again.
    ///
    /// # Errors
    /// If the socket fails or the queue is full.
    pub fn send_content(
        &mut self,
        message: &Message,
        write: impl FnOnce(BorrowedFd<'_>, &[u8]) -> io::Result<usize>,
        copy: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), ConnectionError> {
        self.push(message);
        let plain = self.stream.as_ref().filter(|_| !self.is_blocked && self.cipher.is_none());
        let written =
            plain.zip(self.outbound.unsent()).map(|(stream, before)| write(stream.as_fd(), before));
        self.outbound.push_with(self.limits.page_bytes as usize, copy);
        match written {
            None if self.is_blocked => (),
            None => self.flush()?,
            Some(Ok(count)) => {
                self.outbound.on_sent(count);
                self.is_blocked = !self.outbound.is_flushed();
            }
            Some(Err(error)) if is_transient(&error) => self.is_blocked = true,
            Some(Err(source)) => return Err(socket_error("send", source)),
        }
        self.outbound.check_limit()
    }

    /// Sends what is queued, as far as the socket takes it.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        let Some(stream) = &self.stream else { return Ok(()) };
        let flushed = self.outbound.flush(stream, self.cipher.as_mut());
        self.is_blocked = !flushed.map_err(|source| socket_error("send", source))?;
        Ok(())
    }

    /// Whether nothing waits in the queue.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.outbound.is_flushed()
    }

    /// Whether the queue waits for the socket to take more.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }
}

/// Sets what a connection between ranks needs. An idle end asks the other from time to time whether it is
/// there: after a reset that it heard nothing of, it hears that now. An end that has sent something finds out
/// because that is answered by a reset. Silence alone is no loss for minutes: the launcher decides which host is dead.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    // What is lost is sent again at a steady pace at first, so that a line that is back after two seconds is used
    // at once. Without this a short blackout lasts longer, and that is all.
    let _ = sockopt::set_tcp_thin_linear_timeouts(stream, true);
    Ok(())
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn socket_error(operation: &'static str, source: io::Error) -> ConnectionError {
    ConnectionError::Socket { operation, source }
}

/// What the kernel says of a connection that is gone without the peer's having ended it. A broken pipe is not
/// among them: the peer ended its side before it refused what it was sent.
const RESETS: [Errno; 3] = [Errno::CONNRESET, Errno::CONNABORTED, Errno::NOTCONN];
/// What it says when it has waited for the peer.
const SILENCES: [Errno; 5] =
    [Errno::TIMEDOUT, Errno::HOSTUNREACH, Errno::HOSTDOWN, Errno::NETUNREACH, Errno::NETDOWN];
/// After so many bytes the next message goes with an acknowledgement.
const ACKNOWLEDGE_WITH_OTHERS: u64 = 64 << 10;
/// After so many it goes alone: there is no message to go with.
const ACKNOWLEDGE_ALONE: u64 = 8 * ACKNOWLEDGE_WITH_OTHERS;
/// The connection was idle for so long, or the last question had no answer for so long.
const KEEPALIVE: Duration = Duration::from_secs(1);
/// The most that the kernel takes.
const KEEPALIVE_PROBES: u32 = 127;
