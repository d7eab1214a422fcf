use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// A connection to a foreign rank: bytes in, bytes out, never blocking.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    /// What came and was not taken.
    pub(super) inbound: Vec<u8>,
    /// When something came last.
    pub(super) heard: Instant,
    outbound: Vec<u8>,
    sent: usize,
    /// The other rank says nothing any more.
    pub(super) has_ended: bool,
    has_shut: bool,
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            inbound: Vec::new(),
            heard: Instant::now(),
            outbound: Vec::new(),
            sent: 0,
            has_ended: false,
            has_shut: false,
        })
    }

    /// What to wait for.
    pub(super) fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        if !self.has_ended {
            flags |= PollFlags::IN;
        }
        if !self.is_flushed() {
            flags |= PollFlags::OUT;
        }
        flags
    }

    /// Takes what is there, up to a limit. A connection that failed has ended.
    pub(super) fn receive(&mut self) {
        let mut bytes = [0; 16 << 10];
        loop {
            match rustix::net::recv(&self.stream, &mut bytes[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => self.has_ended = true,
                Ok((count, _)) => {
                    self.inbound.extend_from_slice(&bytes[..count]);
                    self.heard = Instant::now();
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => (),
                Err(_) => self.has_ended = true,
            }
            return;
        }
    }

    /// Where to put what is to be sent; `None` if too much waits already.
    pub(super) fn outbound(&mut self) -> Option<&mut Vec<u8>> {
        (self.outbound.len() - self.sent < MAX_OUTBOUND).then_some(&mut self.outbound)
    }

    /// Sends what the socket takes.
    pub(super) fn flush(&mut self) {
        while !self.is_flushed() {
            match rustix::net::send(&self.stream, &self.outbound[self.sent..], SEND_FLAGS) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => return,
                // What the other rank said last is still there to be read, and ends with the failure.
                Err(_) => self.sent = self.outbound.len(),
            }
        }
        self.outbound.clear();
        self.sent = 0;
    }

    /// Says nothing any more, once all is sent.
    pub(super) fn shut(&mut self) {
        if self.is_flushed() && !self.has_shut {
            self.has_shut = true;
            // Who is gone needs not be told.
            let _ = rustix::net::shutdown(&self.stream, Shutdown::Write);
        }
    }

    fn is_flushed(&self) -> bool {
        self.sent == self.outbound.len()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
/// Bytes that may wait for a rank that does not read: the whole area many times over.
const MAX_OUTBOUND: usize = 16 << 20;
