use crate::wipe;
use dsm_core::wire::HELLO_BYTES;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A connection on which a hello is awaited.
pub(super) struct Greeting {
    pub(super) stream: TcpStream,
    /// Of the other end.
    pub(super) address: SocketAddr,
    bytes: Secret,
    pub(super) filled: usize,
    pub(super) until: Instant,
}

/// The bytes of a hello: in one place however they are moved, and gone afterwards, because they hold the key.
struct Secret(Box<[u8; HELLO_BYTES]>);

impl Drop for Secret {
    fn drop(&mut self) {
        wipe::bytes(&mut *self.0);
    }
}

impl Greeting {
    pub(super) fn new(stream: TcpStream, address: SocketAddr) -> Self {
        let until = Instant::now() + CALLER_TIMEOUT;
        Self { stream, address, bytes: Secret(Box::new([0; HELLO_BYTES])), filled: 0, until }
    }

    /// The hello, once all its bytes are here. Never reads beyond it.
    pub(super) fn read(&mut self) -> io::Result<Option<[u8; HELLO_BYTES]>> {
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

/// A caller that has not shown its key by then is dropped.
const CALLER_TIMEOUT: Duration = Duration::from_secs(3);
