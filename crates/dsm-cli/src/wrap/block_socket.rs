use crate::nonblocking::{Arrival, Outbox, read};
use dsm_net::pr204::LaunchBlock;
use rustix::event::PollFlags;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The socket on which a program of the PR204 family reads its launch block, then an end of file.
///
/// What the program writes there is read and dropped, so that it is neither stuck nor killed for it.
#[derive(Debug)]
pub(super) struct BlockSocket {
    socket: OwnedFd,
    outbox: Outbox,
}

/// Whether the program still has its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    There,
    Gone,
}

impl BlockSocket {
    /// A socket with as much of the block in it as it holds, and the program's end of it, closed on exec.
    ///
    /// # Errors
    /// If the kernel has no socket.
    pub(super) fn new(block: &LaunchBlock) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let bytes = block.encode();
        // The kernel grants what it likes; the rest is written while the program runs.
        let _ = set_socket_send_buffer_size(&ours, 2 * bytes.len());
        let mut outbox = Outbox::default();
        outbox.push(bytes);
        let mut socket = Self { socket: ours, outbox };
        socket.send();
        Ok((socket, theirs))
    }

    /// Whether all of the block is in the socket.
    pub(super) fn is_complete(&self) -> bool {
        self.outbox.is_empty()
    }

    pub(super) fn interest(&self) -> PollFlags {
        if self.is_complete() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT }
    }

    /// Writes what can be, and drops what the program says.
    pub(super) fn serve(&mut self) -> Reader {
        if !self.is_complete() {
            self.send();
        }
        match read(&self.socket, &mut [0; 4096]) {
            Arrival::Bytes(_) | Arrival::NotYet => Reader::There,
            Arrival::End => Reader::Gone,
        }
    }

    fn send(&mut self) {
        if self.outbox.flush(&self.socket).is_err() {
            // A program that is not of the family closes what it does not know.
            self.outbox.clear();
        }
        if self.is_complete() {
            // Fails only where nobody is left to see the end.
            let _ = shutdown(&self.socket, Shutdown::Write);
        }
    }
}

impl AsFd for BlockSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsm_net::pr204::{MAX_NODES, Record};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn block(nodes: u16) -> LaunchBlock {
        let record = |rank| Record { rank, machine: "127.0.0.1".into(), port: 1000 + rank };
        LaunchBlock { rank: 0, records: (0..nodes).map(record).collect() }
    }

    #[test]
    fn a_block_of_one_rank_is_there_before_the_program_and_ends() {
        let (mut socket, theirs) = BlockSocket::new(&block(1)).unwrap();
        assert!(socket.is_complete());
        let mut program = UnixStream::from(theirs);
        let mut bytes = Vec::new();
        program.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, block(1).encode());
        program.write_all(b"never read").unwrap();
        assert_eq!(socket.serve(), Reader::There);
        drop(program);
        assert_eq!(socket.serve(), Reader::Gone);
    }

    #[test]
    fn the_largest_block_arrives_whole_however_little_the_socket_holds() {
        let (mut socket, theirs) = BlockSocket::new(&block(MAX_NODES)).unwrap();
        let mut program = UnixStream::from(theirs);
        let mut bytes = vec![0; block(MAX_NODES).encode().len()];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += program.read(&mut bytes[filled..]).unwrap();
            assert_eq!(socket.serve(), Reader::There);
        }
        assert_eq!(bytes, block(MAX_NODES).encode());
        assert_eq!(program.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn who_closes_the_socket_unread_hurts_nobody() {
        let (mut socket, theirs) = BlockSocket::new(&block(MAX_NODES)).unwrap();
        drop(theirs);
        assert_eq!(socket.serve(), Reader::Gone);
        assert!(socket.is_complete());
    }
}
