//! SIGUSR1 asks a process that does nothing else about it, and leaves other programs alone.
#![allow(unsafe_code, reason = "handlers and signals")]
#![allow(clippy::unwrap_used, reason = "a test")]

use dsm_mem::inquiries;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::BorrowedFd;

fn raise() {
    // SAFETY: the signal exists.
    assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
}

fn is_told(event: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&event, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
}

fn set(handler: usize) {
    // SAFETY: the signal exists; the handler is a default or a function that does nothing.
    let before = unsafe { libc::signal(libc::SIGUSR1, handler) };
    assert_ne!(before, libc::SIG_ERR);
}

extern "C" fn nothing(_: libc::c_int) {}

#[test]
fn a_program_without_an_action_is_asked() {
    let event = inquiries().unwrap().expect("nothing was set");
    assert!(!is_told(event));
    raise();
    assert!(is_told(event));
    rustix::io::read(event, &mut [0; 8]).unwrap();
    let again = inquiries().unwrap().expect("what was set is our own");
    raise();
    assert!(is_told(again));
}

#[test]
fn a_program_with_an_action_keeps_it() {
    set(nothing as extern "C" fn(libc::c_int) as usize);
    assert!(inquiries().unwrap().is_none());
    raise();
    set(libc::SIG_IGN);
    assert!(inquiries().unwrap().is_none());
    raise();
}

#[test]
fn a_program_that_sets_one_later_has_it_for_itself() {
    let event = inquiries().unwrap().expect("nothing was set");
    set(nothing as extern "C" fn(libc::c_int) as usize);
    raise();
    assert!(!is_told(event));
}

#[test]
fn a_forked_child_is_ended_as_it_would_be_without() {
    assert!(inquiries().unwrap().is_some());
    let layout = dsm_mem::Layout { base: 0x2000_0000_0000, bytes: 4096 * 16, heap_bytes: 0 };
    // Who has a region knows its forked children.
    let _region = dsm_mem::Region::reserve(layout).unwrap();
    // SAFETY: the child calls only raise and _exit, which are allowed after fork in a process with threads.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the signal exists.
        unsafe { libc::raise(libc::SIGUSR1) };
        // SAFETY: an integer.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the status is valid for writes; the child is this process's own.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGUSR1, "{status:#x}");
}
