use super::ConnectionError;
use crate::record::{Cipher, LENGTH_BYTES, MAX_CIPHERTEXT, ciphertext_length};
use dsm_core::wire::HEADER_BYTES;
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

/// Bytes in the order in which they came: `bytes[start..end]`. The room for them grows when a look at the socket
/// filled it, because most connections never carry more than a few messages at a time.
///
/// All of `bytes` is initialised, because writing it anew before each read costs as much as a copy.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbound {
    pub(super) fn new(is_encrypted: bool) -> Self {
        let (plain, sealed) =
            if is_encrypted { (FIRST_BYTES + HEADER_BYTES, FIRST_BYTES) } else { (FIRST_BYTES, 0) };
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
        self.plain.start = self.plain.end.min(from + at_most);
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
        let room = into.make_room();
        let asked = room.len();
        let count =
            rustix::net::recv(socket, room, RecvFlags::DONTWAIT).map_err(ReadError::Socket)?.0;
        if count == 0 {
            return Ok(Read::End);
        }
        into.end += count;
        if let Some(cipher) = cipher {
            self.open(cipher).map_err(ReadError::Peer)?;
        }
        if count < asked {
            return Ok(Read::Rest);
        }
        self.grow();
        Ok(Read::Some)
    }

    /// Opens the records that are complete.
    fn open(&mut self, cipher: &mut Cipher) -> Result<(), ConnectionError> {
        self.plain.make_room();
        while let Some((field, rest)) = self.sealed.rest().split_first_chunk::<LENGTH_BYTES>() {
            let length = ciphertext_length(*field)?;
            let Some(ciphertext) = rest.get(..length) else { break };
            self.plain.end += cipher.open_into(ciphertext, self.plain.room())?;
            self.sealed.start += LENGTH_BYTES + length;
        }
        Ok(())
    }

    /// More comes at a time than there is room for.
    fn grow(&mut self) {
        if self.sealed.bytes.is_empty() {
            self.plain.grow(PLAIN_BYTES);
        } else {
            self.sealed.grow(SEALED_BYTES);
            self.plain.grow(SEALED_BYTES + HEADER_BYTES);
        }
    }

    /// The connection is gone. What was read of the stream is not asked for again; a record of which a part is
    /// missing will come once more.
    pub(super) fn on_lost(&mut self) {
        (self.sealed.start, self.sealed.end) = (0, 0);
    }
}

/// Why nothing was read.
#[derive(Debug)]
pub(super) enum ReadError {
    Socket(rustix::io::Errno),
    Peer(ConnectionError),
}

impl Buffer {
    fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes], start: 0, end: 0 }
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Where bytes can be added.
    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// Moves what is left to the front; gives the room behind it.
    fn make_room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        self.room()
    }

    fn grow(&mut self, at_most: usize) {
        let bytes = self.bytes.len();
        self.bytes.resize(at_most.min(2 * bytes).max(bytes), 0);
    }
}

/// What an idle connection needs; whatever fills it makes it larger, so that there is always room for more. An
/// encrypted connection has as much for the text of records as for records, and for the part of a header that is left
/// before them.
const FIRST_BYTES: usize = 4 << 10;
/// As many pages as come with one system call while a thread walks through memory.
const PLAIN_BYTES: usize = 256 << 10;
/// Half as many: these bytes pass through the processor's caches twice.
const SEALED_BYTES: usize = 128 << 10;
const _: () = assert!(SEALED_BYTES > LENGTH_BYTES + MAX_CIPHERTEXT, "a record fits");
