use super::EDGE;
use crate::fatal::Fatal;
use dsm_core::wire::HEADER_BYTES;
use dsm_core::{Message, PageId, Rank};
use dsm_mem::Region;
use dsm_net::connection::{Connection, ConnectionError, Received};
use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

/// The connections to all other ranks.
#[derive(Debug)]
pub(super) struct Peers {
    connections: BTreeMap<Rank, Connection>,
    /// Those with messages that were queued and not sent yet.
    queued: BTreeSet<Rank>,
}

/// What came from a peer.
pub(super) enum Arrival {
    /// A message; its content, if any, is in the page's service view.
    Message(Message),
    Nothing,
}

impl Peers {
    pub(super) fn new(connections: BTreeMap<Rank, Connection>) -> Self {
        Self { connections, queued: BTreeSet::new() }
    }

    /// An event told that a peer has sent something.
    pub(super) fn on_readable(&mut self, rank: Rank) {
        if let Some(connection) = self.connections.get_mut(&rank) {
            connection.on_readable();
        }
    }

    /// The peer has ended its side, or the connection failed.
    pub(super) fn hang_up(&mut self, rank: Rank) {
        if let Some(connection) = self.connections.get_mut(&rank) {
            connection.hang_up();
        }
    }

    pub(super) fn remove(&mut self, rank: Rank) {
        self.connections.remove(&rank);
    }

    /// The next message of a peer. Content goes straight into its page, if `awaits` says that the engine
    /// asked for it.
    pub(super) fn receive(
        &mut self,
        from: Rank,
        region: &Region,
        awaits: impl Fn(PageId) -> bool,
    ) -> Result<Arrival, Fatal> {
        let Some(connection) = self.connections.get_mut(&from) else { return Ok(Arrival::Nothing) };
        loop {
            if connection.acknowledge() {
                self.queued.insert(from);
            }
            match connection.receive().map_err(|error| Fatal::of_peer(from, error))? {
                Received::Message(message) => return Ok(Arrival::Message(message)),
                Received::Nothing => return Ok(Arrival::Nothing),
                Received::Closed => return Err(closed(from)),
                Received::Content { page, offset } => {
                    if !awaits(page) {
                        return Err(Fatal::Unasked { rank: from, page });
                    }
                    let here = connection.take_content();
                    if !here.is_empty() {
                        region.write_page(page, offset, here);
                        let count = here.len();
                        if let Some(message) = connection.content_arrived(count) {
                            return Ok(Arrival::Message(message));
                        }
                        continue;
                    }
                    let Some(socket) = connection.socket() else { return Ok(Arrival::Nothing) };
                    match region.receive_page(page, offset, socket) {
                        Ok(0) => return Err(closed(from)),
                        Ok(count) => {
                            if let Some(message) = connection.content_arrived(count) {
                                return Ok(Arrival::Message(message));
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Ok(Arrival::Nothing);
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                        Err(source) => {
                            let error = ConnectionError::Socket { operation: "recv", source };
                            return Err(Fatal::of_peer(from, error));
                        }
                    }
                }
            }
        }
    }

    /// Sends a message with the page it names as attached, or queues one without; returns how many bytes
    /// that are.
    pub(super) fn send(
        &mut self,
        to: Rank,
        message: &Message,
        region: &Region,
        epoll: &OwnedFd,
    ) -> Result<u64, Fatal> {
        let Some(connection) = self.connections.get_mut(&to) else { return Err(closed(to)) };
        let was_blocked = connection.is_blocked();
        let sent = match message.attached_page() {
            None => {
                self.queued.insert(to);
                connection.queue(message)
            }
            Some(page) => connection.send_content(
                message,
                |stream, first| region.send_page(first, page, stream),
                |queue| region.copy_page(page, queue),
            ),
        };
        sent.map_err(|error| Fatal::of_peer(to, error))?;
        if !was_blocked && connection.is_blocked() {
            watch(epoll, connection, to, epoll::EventFlags::IN | epoll::EventFlags::OUT)?;
        }
        let content = message.attached_page().map_or(0, |_| region.page_bytes());
        Ok(u64::try_from(HEADER_BYTES + content).expect("a frame is short"))
    }

    /// Sends the messages that were queued since the last time.
    pub(super) fn flush_queued(&mut self, epoll: &OwnedFd) -> Result<(), Fatal> {
        for rank in std::mem::take(&mut self.queued) {
            let Some(connection) = self.connections.get_mut(&rank) else { continue };
            if connection.is_blocked() {
                // An event tells when it takes more.
                continue;
            }
            connection.flush().map_err(|error| Fatal::of_peer(rank, error))?;
            if connection.is_blocked() {
                watch(epoll, connection, rank, epoll::EventFlags::IN | epoll::EventFlags::OUT)?;
            }
        }
        Ok(())
    }

    /// The socket of a peer takes bytes again.
    pub(super) fn flush(&mut self, rank: Rank, epoll: &OwnedFd) -> Result<(), Fatal> {
        let Some(connection) = self.connections.get_mut(&rank) else { return Ok(()) };
        connection.flush().map_err(|error| Fatal::of_peer(rank, error))?;
        if !connection.is_blocked() {
            watch(epoll, connection, rank, epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    /// Ends all connections: says that nothing more comes, and hears every peer say so too. A connection
    /// that is closed with something unread is reset, and then what this rank sent last may be lost, such
    /// as the release of the peer.
    pub(super) fn part(self, deadline: Instant) {
        let sockets = || self.connections.values().filter_map(Connection::socket);
        for socket in sockets() {
            // A peer that is gone hears nothing.
            let _ = rustix::net::shutdown(socket, Shutdown::Write);
        }
        for socket in sockets() {
            hear_out(socket, deadline);
        }
    }

    /// Sends everything that is queued.
    pub(super) fn flush_all(&mut self, deadline: Instant) -> Result<(), Fatal> {
        for (&rank, connection) in &mut self.connections {
            while !connection.is_flushed() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let cause = "it does not take the last messages".to_owned();
                    return Err(Fatal::ContactLost { rank, cause });
                }
                let timeout = Timespec::try_from(left).expect("a few seconds are in range");
                let Some(socket) = connection.socket() else { break };
                let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::OUT)];
                // Whatever poll says, the next flush finds out.
                let _ = rustix::event::poll(&mut fds, Some(&timeout));
                connection.flush().map_err(|error| Fatal::of_peer(rank, error))?;
            }
        }
        Ok(())
    }
}

/// Reads and forgets what a peer still says, until it has said everything.
fn hear_out(socket: BorrowedFd<'_>, deadline: Instant) {
    let mut unread = [0; 4096];
    loop {
        match rustix::net::recv(socket, &mut unread, RecvFlags::DONTWAIT) {
            Ok((1.., _)) | Err(Errno::INTR) => (),
            Err(Errno::AGAIN) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return;
                }
                let timeout = Timespec::try_from(left).expect("a few seconds are in range");
                let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
                // Whatever poll says, the next recv finds out.
                let _ = rustix::event::poll(&mut fds, Some(&timeout));
            }
            // It has, or it is gone.
            Ok((0, _)) | Err(_) => return,
        }
    }
}

fn watch(
    epoll: &OwnedFd,
    connection: &Connection,
    rank: Rank,
    flags: epoll::EventFlags,
) -> Result<(), Fatal> {
    let Some(socket) = connection.socket() else { return Ok(()) };
    let data = epoll::EventData::new_u64(rank.0.into());
    epoll::modify(epoll, socket, data, flags | EDGE)
        .map_err(|error| Fatal::System { operation: "epoll_ctl", source: error.into() })
}

fn closed(rank: Rank) -> Fatal {
    Fatal::ContactLost { rank, cause: "it closed the connection".to_owned() }
}
