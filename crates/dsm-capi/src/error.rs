//! What C learns of a failure: an errno value, and words kept per thread.

use dsm::{CallError, HeapError, JobError, JoinError, RendezvousError, StreamError, SyncError};
use libc::{
    EAGAIN, EALREADY, EBUSY, ECONNABORTED, EDEADLK, EEXIST, EINVAL, EIO, EMFILE, ENOMEM, ENOTCONN,
    ENOTSUP, EOVERFLOW, EPERM, EPROTO, ETIMEDOUT, c_char, c_int,
};
use std::cell::RefCell;
use std::error::Error;
use std::ffi::{CStr, CString};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;

/// Why a call of the C interface failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("cannot join the job: {0}")]
    Join(#[from] JoinError),
    #[error("cannot join the job: this process has called dsm_init before")]
    Again,
    #[error("this process is not in a job: dsm_init was not called, or dsm_finalize was")]
    NotJoined,
    #[error("this process is not in a job: it was forked by one that is")]
    Forked,
    #[error("{0}")]
    Call(#[from] CallError),
    /// Such as "cannot lock the mutex"; so for the others.
    #[error("cannot {what}: null pointer")]
    NullPointer { what: &'static str },
    #[error("cannot {what}: {nanoseconds} nanoseconds, expected 0 to 999999999")]
    Time { what: &'static str, nanoseconds: i64 },
    #[error("cannot {what}{}: {source}", at(*address, source))]
    Object { what: &'static str, address: usize, source: SyncError },
    #[error("{0}")]
    Heap(#[from] HeapError),
    #[error("cannot meet at {name:?}: a name is UTF-8")]
    NotText { name: CString },
    #[error("the library failed: {0}")]
    Panic(String),
}

impl Failure {
    pub(crate) fn errno(&self) -> c_int {
        match self {
            Self::Join(error) => of_join(error),
            Self::Again => EALREADY,
            Self::NotJoined | Self::Forked | Self::Call(CallError::Left) => ENOTCONN,
            Self::Call(CallError::BarrierBusy) => EBUSY,
            Self::Call(CallError::ForeignRanks { .. }) => ENOTSUP,
            Self::NullPointer { .. } | Self::Time { .. } | Self::NotText { .. } => EINVAL,
            Self::Object { source, .. } => of_sync(source),
            Self::Heap(error) => of_heap(error),
            Self::Panic(_) => EIO,
        }
    }

    /// Whether the call is for jobs of dsm's own ranks.
    fn is_for_own_ranks(&self) -> bool {
        matches!(
            self,
            Self::Call(CallError::ForeignRanks { .. })
                | Self::Object { source: SyncError::ForeignRanks { .. }, .. }
                | Self::Heap(HeapError::ForeignRanks { .. })
        )
    }
}

/// Runs `body`; unwinding ends here, since C frames must not be unwound. errno is as it was before, whatever
/// happens inside.
pub(crate) fn guarded<T>(body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let before = errno();
    // What the body may leave half changed is behind locks, which a panic poisons.
    let done = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let words = payload.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(Failure::Panic(words.unwrap_or_else(|| "no reason given".to_owned())))
    });
    set_errno(before);
    done
}

pub(crate) fn set_errno(value: c_int) {
    // SAFETY: the function has no requirement; the pointer it gives is this thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the pointer is valid for writes as long as the thread lives, and only the thread uses it.
    unsafe { errno.write(value) };
}

fn errno() -> c_int {
    // SAFETY: the function has no requirement; the pointer it gives is this thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the pointer is valid for reads as long as the thread lives, and only the thread uses it.
    unsafe { errno.read() }
}

/// Keeps a failure for [`last_error`] and gives its errno value.
pub(crate) fn recorded(failure: &Failure) -> c_int {
    let words = failure.to_string().replace('\0', " ");
    let words = CString::new(words).expect("the only byte it cannot hold was replaced");
    // A thread that is ending has no place for it any more, and nobody who could ask.
    let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = words);
    if failure.is_for_own_ranks() && !TOLD_OF_FOREIGN.swap(true, Ordering::Relaxed) {
        // Programs that never saw a barrier fail do not look, and would go on with wrong values.
        let line = format!("dsm: {failure}; locks, barriers and the heap fail here (told once)\n");
        // Standard error may be closed; who closed it wants no word.
        let _ = io::stderr().write_all(line.as_bytes());
    }
    failure.errno()
}

/// The words of this thread's last failure, valid until its next.
pub(crate) fn last_error() -> *const c_char {
    let words = LAST_ERROR.try_with(|last| last.borrow().as_ptr());
    words.unwrap_or(const { CStr::as_ptr(c"") })
}

/// Where the object is, unless the cause says it.
fn at(address: usize, source: &SyncError) -> String {
    match source {
        SyncError::NotShared { .. } | SyncError::Unaligned { .. } => String::new(),
        _ => format!(" at {address:#x}"),
    }
}

fn of_sync(error: &SyncError) -> c_int {
    match error {
        SyncError::NotShared { .. }
        | SyncError::Unaligned { .. }
        | SyncError::CountMismatch { .. } => EINVAL,
        SyncError::Deadlock => EDEADLK,
        SyncError::NotHolder => EPERM,
        SyncError::Busy => EBUSY,
        SyncError::TimedOut => ETIMEDOUT,
        SyncError::WouldBlock => EAGAIN,
        SyncError::Overflow => EOVERFLOW,
        SyncError::Left => ENOTCONN,
        SyncError::ForeignRanks { .. } => ENOTSUP,
    }
}

fn of_heap(error: &HeapError) -> c_int {
    match error {
        HeapError::Exhausted { .. } => ENOMEM,
        HeapError::SizeDiffers { .. } => EEXIST,
        HeapError::BadAlignment { .. }
        | HeapError::NotAllocated { .. }
        | HeapError::DoubleFree { .. }
        | HeapError::BadName { .. } => EINVAL,
        HeapError::Left => ENOTCONN,
        HeapError::ForeignRanks { .. } => ENOTSUP,
    }
}

/// What the kernel said, if it said something; else what kind of failure it is.
fn of_join(error: &JoinError) -> c_int {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let errno = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if let Some(errno) = errno {
            return errno;
        }
        cause = error.source();
    }
    match error {
        JoinError::Again => EALREADY,
        JoinError::Setting(_) => EINVAL,
        JoinError::Region(_) | JoinError::Room { .. } => ENOMEM,
        JoinError::Descriptors { .. } => EMFILE,
        JoinError::Faults(_) | JoinError::Foreign(_) => ENOTSUP,
        JoinError::Rendezvous(RendezvousError::Missing { .. })
        | JoinError::Job(
            JobError::Block { source: StreamError::Late { .. }, .. }
            | JobError::Ask { source: StreamError::Late { .. }, .. },
        ) => ETIMEDOUT,
        JoinError::Job(_) | JoinError::Rendezvous(RendezvousError::Refused { .. }) => EPROTO,
        JoinError::Rendezvous(_) => ECONNABORTED,
        JoinError::System { .. } => EIO,
    }
}

static TOLD_OF_FOREIGN: AtomicBool = AtomicBool::new(false);

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_failure_with_its_words() {
        let failure = guarded::<()>(|| panic!("page 7 has two owners")).unwrap_err();
        assert_eq!(recorded(&failure), EIO);
        // SAFETY: the pointer is to this thread's words, which the next failure would replace.
        let words = unsafe { CStr::from_ptr(last_error()) };
        assert_eq!(words.to_str(), Ok("the library failed: page 7 has two owners"));
    }

    #[test]
    fn what_the_kernel_said_is_the_errno_value() {
        let source = io::Error::from_raw_os_error(libc::EMFILE);
        let error = JoinError::System { operation: "make an eventfd", source };
        assert_eq!(Failure::Join(error).errno(), libc::EMFILE);
    }
}
