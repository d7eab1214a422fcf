//! Reading what a launcher of the PR204 family says, in time.

use super::StreamError;
use dsm_net::pr204::{BlockReader, LaunchBlock};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// When to stop waiting for a launcher.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    patience: Duration,
}

impl Deadline {
    pub(super) fn after(patience: Duration) -> Self {
        Self { at: Instant::now() + patience, patience }
    }

    pub(super) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    pub(super) fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}

/// Reads a block to its end and nothing behind it. The socket may block or not.
pub(super) fn read_block(
    socket: BorrowedFd<'_>,
    mut reader: BlockReader,
    deadline: Deadline,
) -> Result<LaunchBlock, StreamError> {
    let mut bytes = [0; 4096];
    loop {
        let wanted = reader.wanted().min(bytes.len());
        match rustix::net::recv(socket, &mut bytes[..wanted], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err(reader.short().into()),
            Ok((count, _)) => {
                if let Some(block) = reader.push(&bytes[..count])? {
                    return Ok(block);
                }
            }
            Err(Errno::INTR) => (),
            Err(Errno::AGAIN) if deadline.is_over() => {
                let waited_s = deadline.patience.as_secs();
                return Err(StreamError::Late { waited_s, so_far: reader.short() });
            }
            Err(Errno::AGAIN) => wait(socket, PollFlags::IN, deadline)?,
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
}

/// Sends all bytes. A launcher that is gone is an error, never a signal.
pub(super) fn send(socket: BorrowedFd<'_>, mut bytes: &[u8], deadline: Deadline) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => (),
            Err(Errno::AGAIN) if deadline.is_over() => return Err(io::ErrorKind::TimedOut.into()),
            Err(Errno::AGAIN) => wait(socket, PollFlags::OUT, deadline)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits until a descriptor is ready, or until the deadline; a signal may end the wait too.
fn wait(socket: BorrowedFd<'_>, flags: PollFlags, deadline: Deadline) -> io::Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(socket, flags)];
    let timeout = Timespec::try_from(deadline.left()).expect("join timeouts are within range");
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
