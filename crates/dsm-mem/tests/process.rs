//! Descriptors handed over by a parent, and the end of a process.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "handlers of atexit and descriptors given away need it")]

mod support;

use dsm_mem::{end_process, inherited_fd, with_inherited_fd};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, IntoRawFd};
use support::{ending, role, run_self};

#[test]
fn an_inherited_descriptor_is_taken_over_once() {
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    fcntl_setfd(&ours, FdFlags::empty()).unwrap();
    let number = ours.into_raw_fd();
    let taken = inherited_fd(number).unwrap();
    assert_eq!(taken.as_raw_fd(), number);
    assert_eq!(fcntl_getfd(&taken).unwrap(), FdFlags::CLOEXEC);
    assert_eq!(inherited_fd(number).unwrap_err().kind(), ErrorKind::InvalidInput);
    drop(taken);
    assert_eq!(inherited_fd(number).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn an_inherited_descriptor_can_be_looked_at_until_it_is_taken_over() {
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let number = ours.into_raw_fd();
    assert_eq!(with_inherited_fd(number, |fd| fd.as_raw_fd()).unwrap(), number);
    let taken = inherited_fd(number).unwrap();
    assert!(with_inherited_fd(number, |_| ()).is_err());
    drop(taken);
    assert!(with_inherited_fd(number, |_| ()).is_err());
    assert!(with_inherited_fd(1, |_| ()).is_err(), "a standard stream");
    assert_eq!(with_inherited_fd(90_000, |_| ()).unwrap_err().raw_os_error(), Some(libc::EBADF));
}

#[test]
fn what_is_not_an_inherited_descriptor_is_refused() {
    for number in [-1, 0, 1, 2] {
        let error = inherited_fd(number).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}");
        assert!(error.to_string().contains(&number.to_string()), "{error}");
    }
    assert_eq!(inherited_fd(90_000).unwrap_err().raw_os_error(), Some(libc::EBADF));
}

#[test]
fn the_end_of_a_process_runs_no_handlers() {
    const TEST: &str = "the_end_of_a_process_runs_no_handlers";
    if role().is_some() {
        // SAFETY: the handler is a function without requirements.
        assert_eq!(unsafe { libc::atexit(complain) }, 0);
        end_process(74);
    }
    assert_eq!(ending(&run_self(TEST, "end")), Ok(74));
}

extern "C" fn complain() {
    end_process(1);
}
