use crate::nonblocking::{Arrival, Outbox, read};
use dsm_net::frame::{self, Decoder};
use dsm_net::launch::{Job, Question, Status};
use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The socket on which the runtime inside the rank is told its job and tells its status. A program
/// without a runtime never touches it.
#[derive(Debug)]
pub(super) struct RankSocket {
    socket: OwnedFd,
    outbox: Outbox,
    decoder: Decoder,
}

/// Whether the rank can still say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Open,
    Closed,
}

impl RankSocket {
    /// A socket on which `job` will be told, and the rank's end of it, closed on exec.
    pub(super) fn new(job: &Job) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let mut outbox = Outbox::default();
        outbox.push(frame::encode(job));
        Ok((Self { socket: ours, outbox, decoder: Decoder::default() }, theirs))
    }

    pub(super) fn interest(&self) -> PollFlags {
        if self.outbox.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT }
    }

    /// Asks the rank, unless it has not read what it was told before: nothing piles up.
    pub(super) fn ask(&mut self, question: &Question) -> bool {
        let is_idle = self.outbox.is_empty();
        if is_idle {
            self.outbox.push(frame::encode(question));
            // Whatever goes wrong, serving the socket finds it out.
            let _ = self.outbox.flush(&self.socket);
        }
        is_idle
    }

    /// Writes and reads what can be; gives what the rank said. A rank that breaks the format is not
    /// listened to any more: it harms nobody but itself.
    pub(super) fn serve(&mut self) -> (Vec<Status>, Line) {
        let sent = self.outbox.flush(&self.socket);
        let mut buffer = [0; 4096];
        let line = match read(&self.socket, &mut buffer) {
            Arrival::Bytes(bytes) => {
                self.decoder.push(bytes);
                if sent.is_ok() { Line::Open } else { Line::Closed }
            }
            Arrival::End => Line::Closed,
            Arrival::NotYet => Line::Open,
        };
        let mut said = Vec::new();
        loop {
            match self.decoder.next_message() {
                Ok(Some(status)) => said.push(status),
                Ok(None) => return (said, line),
                Err(_) => return (said, Line::Closed),
            }
        }
    }
}

impl AsFd for RankSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
