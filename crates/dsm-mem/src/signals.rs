use std::cell::Cell;
use std::marker::PhantomData;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

/// A set of signals a thread does not take.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

/// As long as it lives, the thread that made it takes no signal but those its instructions raise.
#[must_use = "the signals are blocked as long as it lives"]
pub struct Blocked {
    /// A mask belongs to a thread.
    _of_this_thread: PhantomData<*const ()>,
}

thread_local! {
    /// How many [`Blocked`] there are; only the first and the last change the mask.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// The mask before the first.
    static BEFORE: Cell<Option<Mask>> = const { Cell::new(None) };
}

/// Keeps the program's signal handlers, which may touch shared memory, from running on this thread while
/// it does what serving such an access needs.
pub fn block_signals() -> Blocked {
    if DEPTH.get() == 0 {
        BEFORE.set(Some(block_asynchronous()));
    }
    DEPTH.set(DEPTH.get() + 1);
    Blocked { _of_this_thread: PhantomData }
}

/// Lets this thread take the signals again that [`block_signals`] keeps from it, whatever it does still: for a
/// process that is about to end.
pub fn unblock_signals() {
    if let Some(before) = BEFORE.get() {
        restore(&before);
    }
}

impl Blocked {
    /// Waits until the descriptor is readable, or as long as `timeout` says, or until a signal that is
    /// blocked otherwise has run its handler. Outside this wait no handler runs, so whoever has taken
    /// something from the descriptor is not interrupted with it.
    pub fn wait_readable(&self, fd: BorrowedFd<'_>, timeout: Option<Duration>) {
        let mut fds = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        let before = BEFORE.get().map_or(empty_set(), |mask| mask.0);
        // SAFETY: one pollfd is valid for reads and writes; the timeout is null or valid for reads; the mask
        // is initialised. Whatever the result is, the caller looks for itself.
        unsafe { libc::ppoll(&raw mut fds, 1, timeout, &raw const before) };
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        if DEPTH.get() == 0
            && let Some(before) = BEFORE.take()
        {
            restore(&before);
        }
    }
}

impl std::fmt::Debug for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocked").finish_non_exhaustive()
    }
}

/// Blocks every signal that no instruction of the calling thread raises, and returns the mask before.
///
/// The program's handlers for them may touch shared memory, so they must not run on a thread that
/// serves it.
pub(crate) fn block_asynchronous() -> Mask {
    let set = asynchronous();
    let mut before = empty_set();
    // SAFETY: both sets are valid, one to read and one to write.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) };
    assert_eq!(result, 0, "blocking signals has no reason to fail");
    Mask(before)
}

/// Has the calling thread take these signals.
pub(crate) fn unblock(signals: impl Iterator<Item = i32>) {
    let mut set = empty_set();
    for signal in signals {
        // SAFETY: the set is initialised and valid for writes; the signal exists.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    // SAFETY: the set is initialised; a null old mask is allowed.
    let result =
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut()) };
    assert_eq!(result, 0, "setting a signal mask has no reason to fail");
}

/// Every signal that no instruction raises.
pub(crate) fn asynchronous() -> libc::sigset_t {
    let mut set = empty_set();
    // SAFETY: the set is valid for writes.
    unsafe { libc::sigfillset(&raw mut set) };
    for signal in SYNCHRONOUS {
        // SAFETY: the set is initialised and valid for writes; the signal exists.
        unsafe { libc::sigdelset(&raw mut set, signal) };
    }
    set
}

/// Gives the calling thread a mask it had.
pub(crate) fn restore(mask: &Mask) {
    // SAFETY: the set is initialised; a null old mask is allowed.
    let result =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask.0, ptr::null_mut()) };
    assert_eq!(result, 0, "setting a signal mask has no reason to fail");
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: a C structure of integers, for which zero bytes are valid.
    unsafe { mem::zeroed() }
}

/// Raised by instructions: blocked, they would end the process without running any handler.
const SYNCHRONOUS: [i32; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
];
