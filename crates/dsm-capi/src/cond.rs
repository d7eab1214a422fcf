//! Condition variables.

use crate::call::{check_object, in_job, object_status, on_object, status};
use crate::deadline::Deadline;
use crate::error::Failure;
use crate::mutex::dsm_mutex_t;
use dsm::Node;
use libc::{c_int, timespec};

/// A condition variable, as C lays it out; its address is all that counts.
#[repr(C)]
#[derive(Debug)]
pub struct dsm_cond_t {
    dsm_opaque_: u64,
}

/// Checks where a condition variable is to be; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_cond_init(c: *mut dsm_cond_t) -> c_int {
    status(|| check_object("set up a condition variable", c))
}

/// Waits for a signal; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_cond_wait(c: *mut dsm_cond_t, m: *mut dsm_mutex_t) -> c_int {
    status(|| {
        let mutex = address_of(m)?;
        on_object(WAIT, c, |node, cond| node.cond_wait(cond, mutex))
    })
}

/// Waits for a signal, at most until a point in time; see dsm.h.
///
/// # Safety
/// `abs_monotonic` must be null, or aligned and valid for reads of a `struct timespec`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dsm_cond_timedwait(
    c: *mut dsm_cond_t,
    m: *mut dsm_mutex_t,
    abs_monotonic: *const timespec,
) -> c_int {
    status(|| {
        let mutex = address_of(m)?;
        // SAFETY: what is needed of the pointer is this function's contract.
        let deadline = unsafe { Deadline::read(WAIT, abs_monotonic) }?;
        on_object(WAIT, c, |node, cond| node.cond_wait_until(cond, mutex, deadline.at))
    })
}

/// Wakes one; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_cond_signal(c: *mut dsm_cond_t) -> c_int {
    object_status("signal the condition variable", c, Node::cond_signal)
}

/// Wakes all; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_cond_broadcast(c: *mut dsm_cond_t) -> c_int {
    object_status("broadcast to the condition variable", c, Node::cond_broadcast)
}

/// Makes sure that nobody waits; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_cond_destroy(c: *mut dsm_cond_t) -> c_int {
    object_status("destroy the condition variable", c, Node::cond_destroy)
}

/// The mutex of those who wait.
fn address_of(mutex: *mut dsm_mutex_t) -> Result<usize, Failure> {
    in_job(|_| ())?;
    if mutex.is_null() { Err(Failure::NullPointer { what: WAIT }) } else { Ok(mutex.addr()) }
}

const WAIT: &str = "wait at the condition variable";
