use super::ConnectionError;
use crate::record::{Cipher, LENGTH_BYTES, MAX_CIPHERTEXT, ciphertext_length};
use dsm_core::wire::HEADER_BYTES;
use rustix::buffer::spare_capacity;
use rustix::fd::AsFd;
use rustix::net::RecvFlags;

/// The stream of bytes from a peer, as far as it was read from the socket and not looked at yet: many small
/// messages come with one system call.
#[derive(Debug)]
pub(super) struct Inbound {
    /// Of the stream.
    plain: Buffer,
    /// Records and the beginning of one, if the connection is encrypted.
    sealed: Buffer,
    /// Bytes of the stream that were looked at, or went from the socket to their place.
    consumed: u64,
}

/// What one look at the socket gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Something, and there may be more.
    Some,
    /// Something, and that was all.
    Rest,
    /// The peer has ended its side.
    End,
}

/// Bytes in the order in which they came. Its capacity is fixed when it is made.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Inbound {
    pub(super) fn new(is_encrypted: bool) -> Self {
        let (plain, sealed) =
            if is_encrypted { (OPENED_BYTES, SEALED_BYTES) } else { (PLAIN_BYTES, 0) };
        Self { plain: Buffer::new(plain), sealed: Buffer::new(sealed), consumed: 0 }
    }

    /// How many bytes of the stream are here.
    pub(super) fn received(&self) -> u64 {
        self.consumed + self.plain.rest().len() as u64
    }

    /// Whether everything was looked at that was read.
    pub(super) fn is_empty(&self) -> bool {
        self.plain.rest().is_empty()
    }

    /// The next header, once it is complete.
    pub(super) fn take_header(&mut self) -> Option<[u8; HEADER_BYTES]> {
        let header = *self.plain.rest().first_chunk()?;
        self.plain.start += HEADER_BYTES;
        self.consumed += HEADER_BYTES as u64;
        Some(header)
    }

    /// The next bytes, which [`on_content`](Self::on_content) counts.
    pub(super) fn take(&mut self, at_most: usize) -> &[u8] {
        let from = self.plain.start;
        self.plain.start = self.plain.bytes.len().min(from + at_most);
        &self.plain.bytes[from..self.plain.start]
    }

    /// So many bytes of content were moved, out of here or from the socket.
    pub(super) fn on_content(&mut self, count: usize) {
        self.consumed += count as u64;
    }

    /// Reads what the socket has, at most as much as there is room for.
    pub(super) fn read(
        &mut self,
        socket: &impl AsFd,
        cipher: Option<&mut Cipher>,
    ) -> Result<Read, ReadError> {
        let into = if cipher.is_some() { &mut self.sealed } else { &mut self.plain };
        let asked = into.make_room();
        let count = rustix::net::recv(socket, spare_capacity(&mut into.bytes), RecvFlags::DONTWAIT)
            .map_err(ReadError::Socket)?
            .0;
        if count == 0 {
            return Ok(Read::End);
        }
        if let Some(cipher) = cipher {
            self.open(cipher).map_err(ReadError::Peer)?;
        }
        Ok(if count < asked { Read::Rest } else { Read::Some })
    }

    /// Opens the records that are complete.
    fn open(&mut self, cipher: &mut Cipher) -> Result<(), ConnectionError> {
        self.plain.make_room();
        while let Some((field, rest)) = self.sealed.rest().split_first_chunk::<LENGTH_BYTES>() {
            let length = ciphertext_length(*field)?;
            let Some(ciphertext) = rest.get(..length) else { break };
            cipher.open(ciphertext, &mut self.plain.bytes)?;
            self.sealed.start += LENGTH_BYTES + length;
        }
        Ok(())
    }

    /// The connection is gone. What was read of the stream is not asked for again; a record of which a part is
    /// missing will come once more.
    pub(super) fn on_lost(&mut self) {
        self.sealed.bytes.clear();
        self.sealed.start = 0;
    }
}

/// Why nothing was read.
#[derive(Debug)]
pub(super) enum ReadError {
    Socket(rustix::io::Errno),
    Peer(ConnectionError),
}

impl Buffer {
    fn new(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), start: 0 }
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Moves what is left to the front; gives how many bytes there is room for.
    fn make_room(&mut self) -> usize {
        let left = self.bytes.len() - self.start;
        self.bytes.copy_within(self.start.., 0);
        self.bytes.truncate(left);
        self.start = 0;
        self.bytes.capacity() - left
    }
}

/// As many pages as come with one system call while a thread walks through memory.
const PLAIN_BYTES: usize = 256 << 10;
/// A few records, more than one in any case.
const SEALED_BYTES: usize = 2 * (LENGTH_BYTES + MAX_CIPHERTEXT);
/// What those hold, behind less than a header.
const OPENED_BYTES: usize = SEALED_BYTES + HEADER_BYTES;
