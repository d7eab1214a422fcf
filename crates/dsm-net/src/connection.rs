//! One connection between two ranks: frames in, frames out, never blocking.

use dsm_core::wire::{self, HEADER_BYTES, Limits, WireError};
use dsm_core::{Message, PageId};
use rustix::net::{RecvFlags, SendFlags};
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use thiserror::Error;

/// A connected peer.
///
/// Invariant: bytes leave in the order they were given; while some wait in the queue, later ones join it.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    limits: Limits,
    inbound: Inbound,
    buffer: Buffer,
    /// The socket gave less than there was room for.
    is_drained: bool,
    is_ending: bool,
    outbound: Vec<u8>,
    sent: usize,
    /// The socket took less than it was given.
    is_blocked: bool,
}

/// What comes next.
#[derive(Debug)]
enum Inbound {
    Header,
    Content { message: Message, page: PageId, filled: usize },
}

/// What was read from the socket and not looked at yet: many small messages come with one system call.
#[derive(Debug)]
struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
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
    #[error("{waiting} bytes wait to be sent, over the limit of {MAX_OUTBOUND}")]
    QueueFull {
        /// Bytes in the queue.
        waiting: usize,
    },
}

/// Bytes that may wait for one peer. The protocol bounds what a peer can ask for at a time; this bounds
/// what it costs when the peer asks and does not read.
pub const MAX_OUTBOUND: usize = 64 << 20;

impl Connection {
    /// Takes a connected stream over; it becomes nonblocking.
    ///
    /// # Errors
    /// If the socket refuses its options.
    pub fn new(stream: TcpStream, limits: Limits) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            limits,
            inbound: Inbound::Header,
            buffer: Buffer::new(),
            is_drained: false,
            is_ending: false,
            outbound: Vec::new(),
            sent: 0,
            is_blocked: false,
        })
    }

    /// The next thing the peer's bytes give. After [`Received::Nothing`] an event tells of more, also when
    /// it tells of each arrival once only; tell of each event with [`on_readable`](Self::on_readable).
    ///
    /// # Errors
    /// If the socket fails or the peer breaks the format.
    pub fn receive(&mut self) -> Result<Received, ConnectionError> {
        loop {
            if let Inbound::Content { page, filled, .. } = self.inbound {
                return Ok(Received::Content { page, offset: filled });
            }
            if let Some(header) = self.buffer.take_header() {
                let message = wire::decode(&header, &self.limits)?;
                match message.attached_page() {
                    Some(page) => self.inbound = Inbound::Content { message, page, filled: 0 },
                    None => return Ok(Received::Message(message)),
                }
                continue;
            }
            if std::mem::take(&mut self.is_drained) && !self.is_ending {
                return Ok(Received::Nothing);
            }
            let room = self.buffer.room();
            let asked = room.len();
            match rustix::net::recv(&self.stream, room, RecvFlags::empty()) {
                Ok((0, _)) => return Ok(Received::Closed),
                Ok((count, _)) => {
                    self.buffer.filled(count);
                    self.is_drained = count < asked;
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(Received::Nothing),
                Err(rustix::io::Errno::INTR) => (),
                Err(source) => return Err(socket_error("recv", source.into())),
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
    /// are to be read from the socket.
    pub fn take_content(&mut self) -> &[u8] {
        let left = match self.inbound {
            Inbound::Content { filled, .. } => self.limits.page_bytes as usize - filled,
            Inbound::Header => 0,
        };
        if self.buffer.is_empty() {
            // Whoever reads on from the socket may leave something there.
            self.is_drained = false;
        }
        self.buffer.take(left)
    }

    /// `count` more bytes of the content asked for by [`Received::Content`] are in their page; gives the
    /// message once all are.
    ///
    /// # Panics
    /// If no content is expected, or more arrived than a page holds.
    pub fn content_arrived(&mut self, count: usize) -> Option<Message> {
        let page_bytes = self.limits.page_bytes as usize;
        let Inbound::Content { message, filled, .. } = &mut self.inbound else {
            panic!("content arrives after a header that announces it");
        };
        *filled += count;
        assert!(*filled <= page_bytes, "content is one page");
        if *filled < page_bytes {
            return None;
        }
        let message = *message;
        self.inbound = Inbound::Header;
        Some(message)
    }

    /// Queues a message that has no content; [`flush`](Self::flush) sends it together with what is queued
    /// before and after, because a system call costs more than the bytes.
    ///
    /// # Errors
    /// If the queue is full.
    pub fn queue(&mut self, message: &Message) -> Result<(), ConnectionError> {
        self.outbound.extend_from_slice(&wire::encode(message, &self.limits));
        self.check_queue()
    }

    /// Sends what is queued and a message with its content: `write` sends the given bytes and the page with
    /// one system call and says how many bytes were taken; `copy` appends the page, for what must wait in
    /// the queue.
    ///
    /// # Errors
    /// If the socket fails or the queue is full.
    pub fn send_content(
        &mut self,
        message: &Message,
        write: impl FnOnce(BorrowedFd<'_>, &[u8]) -> io::Result<usize>,
        copy: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), ConnectionError> {
        self.outbound.extend_from_slice(&wire::encode(message, &self.limits));
        if !self.is_blocked {
            let first = &self.outbound[self.sent..];
            let all = first.len() + self.limits.page_bytes as usize;
            match write(self.stream.as_fd(), first) {
                Ok(count) if count == all => {
                    self.outbound.clear();
                    self.sent = 0;
                    return Ok(());
                }
                Ok(count) => self.sent += count,
                Err(error) if is_transient(&error) => (),
                Err(source) => return Err(socket_error("send", source)),
            }
            self.is_blocked = true;
        }
        copy(&mut self.outbound);
        self.check_queue()
    }

    fn check_queue(&self) -> Result<(), ConnectionError> {
        let waiting = self.outbound.len() - self.sent;
        if waiting > MAX_OUTBOUND { Err(ConnectionError::QueueFull { waiting }) } else { Ok(()) }
    }

    /// Sends what is queued, as far as the socket takes it.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        self.is_blocked = false;
        while !self.is_flushed() {
            match rustix::net::send(&self.stream, &self.outbound[self.sent..], SEND_FLAGS) {
                Ok(count) => self.sent += count,
                Err(rustix::io::Errno::AGAIN) => {
                    self.is_blocked = true;
                    break;
                }
                Err(rustix::io::Errno::INTR) => (),
                Err(source) => return Err(socket_error("send", source.into())),
            }
        }
        if self.is_flushed() {
            self.outbound.clear();
            self.sent = 0;
        } else if self.sent > COMPACT_AT {
            self.outbound.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Whether nothing waits in the queue.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.sent == self.outbound.len()
    }

    /// Whether the queue waits for the socket to take more.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: vec![0; BUFFER_BYTES].into_boxed_slice(), start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn take_header(&mut self) -> Option<[u8; HEADER_BYTES]> {
        let header = *self.bytes[self.start..self.end].first_chunk()?;
        self.start += HEADER_BYTES;
        Some(header)
    }

    fn take(&mut self, at_most: usize) -> &[u8] {
        let from = self.start;
        self.start = self.end.min(from + at_most);
        &self.bytes[from..self.start]
    }

    /// Where to read to, behind less than a header.
    fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.bytes[self.end..]
    }

    fn filled(&mut self, count: usize) {
        self.end += count;
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn socket_error(operation: &'static str, source: io::Error) -> ConnectionError {
    ConnectionError::Socket { operation, source }
}

const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
/// Three pages and a few headers.
const BUFFER_BYTES: usize = 12 << 10;
/// Sent bytes at the front of the queue that are worth moving the rest for.
const COMPACT_AT: usize = 1 << 20;
