//! `launch/pr204`: the launcher speaks on a descriptor, and another is the rank's bound socket.

use super::descriptor::{Purpose, is_evidently_for, number_of, take_over_for};
use super::stream::{Deadline, read_block};
use super::{Found, JobError, Told};
use dsm_net::pr204::{BARE_FDS, BlockReader, LAUNCHER_FD, LISTENER_FD};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};

/// What the launcher said, if the environment names both descriptors. One without the other is an error.
pub(super) fn find(deadline: Deadline) -> Result<Option<Found>, JobError> {
    let missing = |present, missing| JobError::Unset { present, missing };
    match (number_of(LAUNCHER_FD)?, number_of(LISTENER_FD)?) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(missing(LAUNCHER_FD, LISTENER_FD)),
        (None, Some(_)) => Err(missing(LISTENER_FD, LAUNCHER_FD)),
        (Some(launcher), Some(listener)) => read(launcher, listener, deadline).map(Some),
    }
}

/// What the launcher said, if it names no descriptor and two are evidently those of a member that does
/// not.
pub(super) fn find_bare(deadline: Deadline) -> Result<Option<Found>, JobError> {
    let [launcher, listener] = BARE_FDS;
    let purposes = [(Purpose::Launcher, launcher), (Purpose::Listener, listener)];
    if !purposes.into_iter().all(|(purpose, number)| is_evidently_for(purpose, number)) {
        return Ok(None);
    }
    read(launcher, listener, deadline).map(Some)
}

/// Closes what the environment names for programs without this library: those this one starts have no
/// business with it. What is not there, or something else, is left alone.
pub(super) fn close() {
    for (purpose, variable) in [(Purpose::Launcher, LAUNCHER_FD), (Purpose::Listener, LISTENER_FD)]
    {
        if let Ok(Some(number)) = number_of(variable) {
            let _ = take_over_for(purpose, variable, number);
        }
    }
}

fn read(launcher: i32, listener: i32, deadline: Deadline) -> Result<Found, JobError> {
    let socket = take_over_for(Purpose::Launcher, LAUNCHER_FD, launcher)?;
    let listener = take_over_for(Purpose::Listener, LISTENER_FD, listener)?;
    // Before anything is waited for: a rank that was told earlier may connect already.
    let listener = listen(listener).map_err(JobError::Listen)?;
    let block = read_block(socket.as_fd(), BlockReader::new(), deadline);
    let block = block.map_err(|source| JobError::Block { number: launcher, source })?;
    Found::told_by_family(Told::Pr204, listener, block)
}

fn listen(bound: OwnedFd) -> io::Result<TcpListener> {
    rustix::net::listen(&bound, BACKLOG)?;
    Ok(TcpListener::from(bound))
}

/// All ranks may connect at once.
const BACKLOG: i32 = 512;
