use super::ConnectionError;
use super::kept::Kept;
use crate::record::{Cipher, MAX_PLAINTEXT, record_bytes};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use std::io;

/// Bytes that may wait for one peer, to be sent or to be acknowledged. The protocol bounds what a peer can
/// ask for at a time; this bounds what it costs when the peer asks and does not read, or does not say that
/// it has.
pub const MAX_OUTBOUND: usize = 64 << 20;

/// The stream of bytes to a peer, from the first that it has not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    kept: Kept,
    /// What the last acknowledgement in the peer's stream said. A peer that is met again says more at once, and
    /// repeats what it had said before.
    told: u64,
    sealed: Sealed,
}

/// Records that hold what the stream gave last, as far as the socket did not take them: `bytes[start..end]`.
///
/// All of `bytes` is initialised, because writing it anew before each record costs as much as a copy.
#[derive(Debug, Default)]
struct Sealed {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Outbound {
    /// Adds bytes to the end of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.kept.push(bytes);
    }

    /// Has so many bytes added to the end of the stream.
    pub(super) fn push_with(&mut self, bytes: usize, append: impl FnOnce(&mut Vec<u8>)) {
        self.kept.push_with(bytes, append);
    }

    /// What the socket was not given yet, if it is in one piece.
    pub(super) fn unsent(&self) -> Option<&[u8]> {
        let mut pieces = self.kept.unsent();
        let first = pieces.next().unwrap_or_default();
        pieces.next().is_none().then_some(first)
    }

    /// The socket has taken so many of those, as they are.
    pub(super) fn on_sent(&mut self, count: usize) {
        self.kept.on_sent(count);
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.kept.is_sent() && self.sealed.is_empty()
    }

    /// Gives the socket as much as it takes; whether that was all.
    pub(super) fn flush(
        &mut self,
        socket: &impl AsFd,
        mut cipher: Option<&mut Cipher>,
    ) -> io::Result<bool> {
        loop {
            if let Some(cipher) = &mut cipher {
                self.seal(cipher);
            }
            if self.is_flushed() {
                return Ok(true);
            }
            let sent = match cipher {
                Some(_) => rustix::net::send(socket, self.sealed.rest(), SEND_FLAGS),
                None => self.send_plain(socket),
            };
            match sent {
                Ok(count) if cipher.is_some() => self.sealed.start += count,
                Ok(count) => self.on_sent(count),
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn send_plain(&self, socket: &impl AsFd) -> Result<usize, Errno> {
        if let Some(piece) = self.unsent() {
            return rustix::net::send(socket, piece, SEND_FLAGS);
        }
        let mut pieces = [io::IoSlice::new(&[]); PIECES_AT_ONCE];
        let unsent = self.kept.unsent().map(io::IoSlice::new);
        let count = pieces.iter_mut().zip(unsent).map(|(place, piece)| *place = piece).count();
        let nothing = &mut SendAncillaryBuffer::default();
        rustix::net::sendmsg(socket, &pieces[..count], nothing, SEND_FLAGS)
    }

    /// Makes records of what is to be sent next, once the socket has taken those before.
    fn seal(&mut self, cipher: &mut Cipher) {
        if !self.sealed.is_empty() {
            return;
        }
        (self.sealed.start, self.sealed.end) = (0, 0);
        let Self { kept, sealed, .. } = self;
        while sealed.end < SEALED_AT_ONCE {
            let Some(piece) = kept.unsent().next() else { return };
            let text = &piece[..piece.len().min(MAX_PLAINTEXT)];
            let count = text.len();
            sealed.end += cipher.seal_into(text, sealed.room(record_bytes(count)));
            kept.on_sent(count);
        }
    }

    /// The peer says in its stream that it has everything before this offset.
    pub(super) fn acknowledge(&mut self, offset: u64) -> Result<(), ConnectionError> {
        self.check_offset(offset, self.told)?;
        self.told = offset;
        self.kept.drop_until(offset);
        Ok(())
    }

    /// A new connection begins, on which the peer awaits the stream from this offset on.
    pub(super) fn rewind(&mut self, offset: u64) -> Result<(), ConnectionError> {
        self.check_offset(offset, self.kept.start())?;
        self.kept.drop_until(offset);
        self.kept.send_again();
        (self.sealed.start, self.sealed.end) = (0, 0);
        Ok(())
    }

    fn check_offset(&self, offset: u64, least: u64) -> Result<(), ConnectionError> {
        let most = self.kept.sent();
        if (least..=most).contains(&offset) {
            return Ok(());
        }
        Err(ConnectionError::Acknowledged { offset, least, most })
    }

    /// # Errors
    /// If the peer lets too much pile up.
    pub(super) fn check_limit(&self) -> Result<(), ConnectionError> {
        let waiting = self.kept.bytes();
        if waiting > MAX_OUTBOUND { Err(ConnectionError::QueueFull { waiting }) } else { Ok(()) }
    }
}

impl Sealed {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Where a record of so many bytes can be added.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        let needed = self.end + bytes;
        if needed > self.bytes.len() {
            self.bytes.resize(needed.next_power_of_two(), 0);
        }
        &mut self.bytes[self.end..]
    }
}

const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
/// Records that are made before the socket is asked to take them.
const SEALED_AT_ONCE: usize = 64 << 10;
/// Pieces of the stream that one system call sends.
const PIECES_AT_ONCE: usize = 8;
