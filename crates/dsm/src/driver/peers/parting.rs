use super::{Break, Peers};
use crate::fatal::Fatal;
use dsm_core::Rank;
use dsm_net::connection::Received;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::Shutdown;
use std::collections::BTreeMap;
use std::time::Instant;

/// How far the goodbye to a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is something that it was not sent.
    Sends,
    /// It has been told that nothing more comes, and has not said the same.
    Hears,
}

impl Peers {
    /// Sends all peers what is queued, says that nothing more comes, and hears every one say so too. A
    /// connection that is closed with something unread is reset, and then what this rank sent last may be
    /// lost, such as the release of the peer. So a reset in between is mended for those that `matters` names;
    /// others may have gone.
    pub(in crate::driver) fn part(
        mut self,
        matters: impl Fn(Rank) -> bool,
        deadline: Instant,
    ) -> Result<(), Fatal> {
        let mut open: BTreeMap<Rank, Stage> =
            self.links.keys().map(|rank| (*rank, Stage::Sends)).collect();
        loop {
            for (rank, stage) in open.clone() {
                match self.part_from(rank, stage) {
                    Ok(Some(stage)) => drop(open.insert(rank, stage)),
                    Ok(None) => drop(open.remove(&rank)),
                    Err(broken) => {
                        let mended =
                            if matters(rank) { self.on_break(rank, broken) } else { Ok(()) };
                        match (mended, stage) {
                            (Ok(()), _) if matters(rank) => drop(open.insert(rank, Stage::Sends)),
                            (Err(fatal), Stage::Sends) => return Err(fatal),
                            // Whoever does not matter, or has been told everything, may be gone.
                            (Ok(()) | Err(_), _) => drop(open.remove(&rank)),
                        }
                    }
                }
            }
            open.retain(|rank, _| matters(*rank) || !self.is_lost(*rank));
            if open.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let Some((&rank, _)) = open.iter().find(|(_, stage)| **stage == Stage::Sends)
                else {
                    return Ok(());
                };
                let cause = "it does not take the last messages".to_owned();
                return Err(Fatal::ContactLost { rank, cause });
            }
            self.wait(&open, deadline);
            for (rank, _) in self.on_mended()? {
                open.remove(&rank);
            }
        }
    }

    fn is_lost(&self, rank: Rank) -> bool {
        self.links.get(&rank).is_none_or(|link| link.connection.is_lost())
    }

    /// One step of the goodbye; gives how far it is, or nothing once it is over.
    fn part_from(&mut self, rank: Rank, stage: Stage) -> Result<Option<Stage>, Break> {
        let Some(link) = self.links.get_mut(&rank) else { return Ok(None) };
        let connection = &mut link.connection;
        if connection.is_lost() {
            return Ok(Some(Stage::Sends));
        }
        connection.flush().map_err(Break::Error)?;
        let mut stage = stage;
        if stage == Stage::Sends
            && connection.is_flushed()
            && let Some(socket) = connection.socket()
        {
            // A peer that is gone hears nothing.
            let _ = rustix::net::shutdown(socket, Shutdown::Write);
            stage = Stage::Hears;
        }
        match connection.forget().map_err(Break::Error)? {
            Received::Closed if connection.is_unproven() => Err(Break::Closed),
            Received::Closed => Ok(None),
            _ => Ok(Some(stage)),
        }
    }

    /// Waits until something can have changed.
    fn wait(&self, open: &BTreeMap<Rank, Stage>, deadline: Instant) {
        let mut fds: Vec<_> =
            self.mender.iter().map(|mender| PollFd::new(mender, PollFlags::IN)).collect();
        for link in open.keys().filter_map(|rank| self.links.get(rank)) {
            let out =
                if link.connection.is_blocked() { PollFlags::OUT } else { PollFlags::empty() };
            let socket = link.connection.socket();
            fds.extend(socket.map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN | out)));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).expect("a few seconds are in range");
        // Whatever poll says, the next step finds out.
        let _ = poll(&mut fds, Some(&timeout));
    }
}
