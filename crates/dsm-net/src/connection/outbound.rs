use super::ConnectionError;
use crate::record::{Cipher, MAX_PLAINTEXT};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::io;

/// Bytes that may wait for one peer, to be sent or to be acknowledged. The protocol bounds what a peer can
/// ask for at a time; this bounds what it costs when the peer asks and does not read, or does not say that
/// it has.
pub const MAX_OUTBOUND: usize = 64 << 20;

/// The stream of bytes to a peer, from the first that it has not acknowledged.
///
/// Invariant: `start <= sent <= kept.len()`; what is before `start` is of no use any more.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    kept: Vec<u8>,
    /// The offset of `kept[0]` in the stream.
    base: u64,
    start: usize,
    /// What the last acknowledgement in the peer's stream said. A peer that is met again says more at once, and
    /// repeats what it had said before.
    told: u64,
    /// Up to where bytes were given to the socket, or are in `sealed`.
    sent: usize,
    /// Records that hold what is before `sent`, as far as the socket did not take them.
    sealed: Vec<u8>,
    sealed_sent: usize,
}

impl Outbound {
    /// Adds bytes to the end of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }

    /// Has bytes added to the end of the stream.
    pub(super) fn push_with(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        append(&mut self.kept);
    }

    /// What the socket was not given yet.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.kept[self.sent..]
    }

    /// The socket has taken so many of those, as they are.
    pub(super) fn on_sent(&mut self, count: usize) {
        self.sent += count;
        assert!(self.sent <= self.kept.len(), "a socket takes no more than it is given");
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.sent == self.kept.len() && self.sealed_sent == self.sealed.len()
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
            let bytes = match cipher {
                Some(_) => &self.sealed[self.sealed_sent..],
                None => self.unsent(),
            };
            if bytes.is_empty() {
                return Ok(true);
            }
            match rustix::net::send(socket, bytes, SEND_FLAGS) {
                Ok(count) if cipher.is_some() => self.sealed_sent += count,
                Ok(count) => self.on_sent(count),
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes records of what is to be sent next, once the socket has taken those before.
    fn seal(&mut self, cipher: &mut Cipher) {
        if self.sealed_sent < self.sealed.len() {
            return;
        }
        self.sealed.clear();
        self.sealed_sent = 0;
        while self.sent < self.kept.len() && self.sealed.len() < SEALED_AT_ONCE {
            let end = self.kept.len().min(self.sent + MAX_PLAINTEXT);
            cipher.seal(&[&self.kept[self.sent..end]], &mut self.sealed);
            self.sent = end;
        }
    }

    /// The peer says in its stream that it has everything before this offset.
    pub(super) fn acknowledge(&mut self, offset: u64) -> Result<(), ConnectionError> {
        self.check_offset(offset, self.told)?;
        self.told = offset;
        self.drop_until(offset);
        Ok(())
    }

    fn drop_until(&mut self, offset: u64) {
        let index = usize::try_from(offset.saturating_sub(self.base)).expect("memory has it");
        self.start = self.start.max(index);
        if self.start == self.kept.len() {
            self.base += self.start as u64;
            self.kept.clear();
            self.kept.shrink_to(CAPACITY_KEPT);
            (self.start, self.sent) = (0, 0);
        } else if self.start >= COMPACT_AT.max(self.kept.len() / 2) {
            self.kept.drain(..self.start);
            self.base += self.start as u64;
            self.sent -= self.start;
            self.start = 0;
        }
    }

    /// A new connection begins, on which the peer awaits the stream from this offset on.
    pub(super) fn rewind(&mut self, offset: u64) -> Result<(), ConnectionError> {
        self.check_offset(offset, self.base + self.start as u64)?;
        self.drop_until(offset);
        self.sent = self.start;
        self.sealed.clear();
        self.sealed_sent = 0;
        Ok(())
    }

    fn check_offset(&self, offset: u64, least: u64) -> Result<(), ConnectionError> {
        let most = self.base + self.sent as u64;
        if (least..=most).contains(&offset) {
            return Ok(());
        }
        Err(ConnectionError::Acknowledged { offset, least, most })
    }

    /// # Errors
    /// If the peer lets too much pile up.
    pub(super) fn check_limit(&self) -> Result<(), ConnectionError> {
        let waiting = self.kept.len() - self.start;
        if waiting > MAX_OUTBOUND { Err(ConnectionError::QueueFull { waiting }) } else { Ok(()) }
    }
}

const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
/// Acknowledged bytes at the front that are worth moving the rest for.
const COMPACT_AT: usize = 64 << 10;
/// What an idle connection keeps of the memory that it once needed.
const CAPACITY_KEPT: usize = 1 << 20;
/// Records that are made before the socket is asked to take them.
const SEALED_AT_ONCE: usize = 64 << 10;
