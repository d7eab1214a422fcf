//! What C learns of a failure: an errno value, and words kept per thread.

use dsm::{CallError, JoinError, RendezvousError};
use libc::{
    EALREADY, EBUSY, ECONNABORTED, EINVAL, EIO, ENOMEM, ENOTSUP, EPROTO, ETIMEDOUT, c_char, c_int,
};
use std::cell::RefCell;
use std::error::Error;
use std::ffi::{CStr, CString};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("{function} was given a null pointer")]
    NullPointer { function: &'static str },
    #[error("the library failed: {0}")]
    Panic(String),
}

impl Failure {
    pub(crate) fn errno(&self) -> c_int {
        match self {
            Self::Join(error) => of_join(error),
            Self::Again => EALREADY,
            Self::NotJoined | Self::NullPointer { .. } | Self::Call(CallError::Left) => EINVAL,
            Self::Call(CallError::BarrierBusy) => EBUSY,
            Self::Panic(_) => EIO,
        }
    }
}

/// Runs `body`; unwinding ends here, since C frames must not be unwound.
pub(crate) fn guarded<T>(body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    // What the body may leave half changed is behind locks, which a panic poisons.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let words = payload.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(Failure::Panic(words.unwrap_or_else(|| "no reason given".to_owned())))
    })
}

/// Keeps a failure for [`last_error`] and gives its errno value.
pub(crate) fn recorded(failure: &Failure) -> c_int {
    let words = failure.to_string().replace('\0', " ");
    let words = CString::new(words).expect("the only byte it cannot hold was replaced");
    // A thread that is ending has no place for it any more, and nobody who could ask.
    let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = words);
    failure.errno()
}

/// The words of this thread's last failure, valid until its next.
pub(crate) fn last_error() -> *const c_char {
    let words = LAST_ERROR.try_with(|last| last.borrow().as_ptr());
    words.unwrap_or(const { CStr::as_ptr(c"") })
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
        JoinError::Region(_) => ENOMEM,
        JoinError::Faults(_) => ENOTSUP,
        JoinError::Rendezvous(RendezvousError::Missing { .. }) => ETIMEDOUT,
        JoinError::Job(_) | JoinError::Rendezvous(RendezvousError::Refused { .. }) => EPROTO,
        JoinError::Rendezvous(_) => ECONNABORTED,
        JoinError::System { .. } => EIO,
    }
}

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
