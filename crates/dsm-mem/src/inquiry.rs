//! SIGUSR1: somebody asks what the threads of this process wait for.
//!
//! A program that does nothing about SIGUSR1 is ended by it, which nobody wants who can have an answer. A
//! program that handles, ignores or blocks it, before or after, has it for itself.

use crate::fork::is_forked_child;
use rustix::event::EventfdFlags;
use std::ffi::c_int;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

/// What becomes readable when SIGUSR1 comes; to be read by one reader. `None` if the program has an action of
/// its own for the signal.
///
/// # Errors
/// If the kernel gives no descriptor.
pub fn inquiries() -> io::Result<Option<BorrowedFd<'static>>> {
    let action = current()?;
    if action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != own() {
        return Ok(None);
    }
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let event = match EVENT.get() {
        Some(event) => event,
        None => {
            let event = rustix::event::eventfd(0, flags)?;
            EVENT.get_or_init(|| event)
        }
    };
    NUMBER.store(event.as_raw_fd(), Ordering::Relaxed);
    install()?;
    Ok(Some(event.as_fd()))
}

fn own() -> usize {
    on_sigusr1 as extern "C" fn(c_int) as usize
}

fn current() -> io::Result<libc::sigaction> {
    // SAFETY: a C structure of integers and an optional function, for which zero bytes are valid.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: a null new action is allowed; the old one is valid for writes.
    let result = unsafe { libc::sigaction(libc::SIGUSR1, ptr::null(), &raw mut action) };
    if result == 0 { Ok(action) } else { Err(io::Error::last_os_error()) }
}

fn install() -> io::Result<()> {
    // SAFETY: as in `current`.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = own();
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the action is initialised, its handler does only what its comment lists; a null old one is
    // allowed.
    let result = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Calls `write(2)`, `signal(2)` and `raise(3)`, all async-signal-safe, and keeps errno.
extern "C" fn on_sigusr1(signal: c_int) {
    // SAFETY: the C library gives every thread a valid errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: valid for reads, as above.
    let before = unsafe { *errno };
    if is_forked_child() {
        // SAFETY: the signal exists and the default action may be set for it.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // Comes when this handler returns: until then the signal is blocked.
        // SAFETY: the signal exists.
        unsafe { libc::raise(signal) };
    } else {
        let one = 1_u64.to_ne_bytes();
        let number = NUMBER.load(Ordering::Relaxed);
        // SAFETY: eight bytes are valid for reads; the descriptor stays open as long as the process. A counter
        // that is full has been told already.
        unsafe { libc::write(number, one.as_ptr().cast(), one.len()) };
    }
    // SAFETY: valid for writes, as above.
    unsafe { *errno = before };
}

static EVENT: OnceLock<OwnedFd> = OnceLock::new();
static NUMBER: AtomicI32 = AtomicI32::new(-1);
