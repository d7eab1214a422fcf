//! What a program of the PR204 family finds: two descriptors, which some members expect to be 3 and 4.

use dsm_mem::inherited_fd;
use dsm_net::pr204::{BARE_FDS, LAUNCHER_FD, LISTENER_FD};
use rustix::io::{FdFlags, dup2, fcntl_dupfd_cloexec, fcntl_setfd};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// The variables that name the two descriptors.
pub(super) fn variables() -> [(&'static str, String); 2] {
    let [launcher, listener] = BARE_FDS;
    [(LAUNCHER_FD, launcher.to_string()), (LISTENER_FD, listener.to_string())]
}

/// Moves a descriptor out of the way of 3 and 4; the copy is closed on exec.
///
/// # Errors
/// If there is no descriptor to be had.
pub(super) fn aside(fd: &impl AsFd) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(fd, ASIDE)?)
}

/// Makes the connection to the launcher and the listener the descriptors 3 and 4 of whatever this process
/// executes while the result lives. Both must have been put [`aside`] before.
///
/// # Errors
/// What the kernel says.
pub(super) fn place(launcher: &OwnedFd, listener: &OwnedFd) -> io::Result<[OwnedFd; 2]> {
    let [launcher_at, listener_at] = BARE_FDS;
    Ok([place_one(launcher, launcher_at)?, place_one(listener, listener_at)?])
}

fn place_one(fd: &OwnedFd, at: RawFd) -> io::Result<OwnedFd> {
    assert!(fd.as_raw_fd() >= ASIDE, "what is placed was put aside");
    let free = fcntl_dupfd_cloexec(fd, at)?;
    let placed = if free.as_raw_fd() == at {
        free
    } else {
        // Whoever started this process left something there, which a program would take for ours.
        let mut taken = inherited_fd(at)?;
        dup2(fd, &mut taken)?;
        taken
    };
    fcntl_setfd(&placed, FdFlags::empty())?;
    Ok(placed)
}

const ASIDE: RawFd = 10;
