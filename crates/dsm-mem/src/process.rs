use rustix::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes over a descriptor that this process was started with, and keeps it from programs this one
/// starts.
///
/// # Errors
/// If the number is one of the standard streams, is not open, or was taken over before.
pub fn inherited_fd(number: i32) -> io::Result<OwnedFd> {
    let mut adopted = checked(number)?;
    // SAFETY: F_SETFD takes an integer and touches no memory; a closed descriptor is an error.
    let set = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if set == -1 {
        return Err(io::Error::last_os_error());
    }
    adopted.insert(number);
    // SAFETY: the descriptor is open, as fcntl just said, and nothing else in this process owns it:
    // it was handed to the process when it started, and this function gives each number out once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Looks at a descriptor that this process was started with, and leaves it where it is.
///
/// # Errors
/// If the number is one of the standard streams, is not open, or was taken over.
pub fn with_inherited_fd<T>(number: i32, look: impl FnOnce(BorrowedFd<'_>) -> T) -> io::Result<T> {
    let adopted = checked(number)?;
    // SAFETY: F_GETFD takes no argument and touches no memory; a closed descriptor is an error.
    let get = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if get == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, as fcntl just said, and it is not -1. Nothing closes it while it is
    // borrowed: nobody owns it, and the lock keeps those out who would take it over.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let seen = look(borrowed);
    drop(adopted);
    Ok(seen)
}

/// Ends the process at once: no handlers of atexit(3), which could touch shared pages that nobody
/// serves any more.
pub fn end_process(code: i32) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

/// The numbers taken over so far, if this one is not among them and may be one day.
fn checked(number: i32) -> io::Result<MutexGuard<'static, BTreeSet<i32>>> {
    if number <= libc::STDERR_FILENO {
        return Err(invalid(format!("descriptor {number} is not one that can be handed over")));
    }
    let adopted = ADOPTED.lock().unwrap_or_else(PoisonError::into_inner);
    if adopted.contains(&number) {
        return Err(invalid(format!("descriptor {number} is in use already")));
    }
    Ok(adopted)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

static ADOPTED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
