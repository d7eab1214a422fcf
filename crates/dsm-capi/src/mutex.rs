//! Mutexes.

use crate::call::{check_object, in_job, object_status, on_object, status};
use crate::deadline::Deadline;
use dsm::{Node, SyncError};
use libc::{c_int, timespec};

/// A mutex, as C lays it out; its address is all that counts.
#[repr(C)]
#[derive(Debug)]
pub struct dsm_mutex_t {
    dsm_opaque_: u64,
}

/// Checks where a mutex is to be; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_mutex_init(m: *mut dsm_mutex_t) -> c_int {
    status(|| check_object("set up a mutex", m))
}

/// Locks; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_mutex_lock(m: *mut dsm_mutex_t) -> c_int {
    object_status("lock the mutex", m, Node::mutex_lock)
}

/// Locks if nobody has it; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_mutex_trylock(m: *mut dsm_mutex_t) -> c_int {
    object_status("lock the mutex at once", m, Node::mutex_try_lock)
}

/// Locks before a point in time; see dsm.h.
///
/// # Safety
/// `abs_monotonic` must be null, or aligned and valid for reads of a `struct timespec`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dsm_mutex_timedlock(
    m: *mut dsm_mutex_t,
    abs_monotonic: *const timespec,
) -> c_int {
    let what = "lock the mutex in time";
    status(|| {
        in_job(|_| ())?;
        // SAFETY: what is needed of the pointer is this function's contract.
        let deadline = unsafe { Deadline::read(what, abs_monotonic) }?;
        on_object(what, m, |node, at| lock_until(node, at, deadline))
    })
}

/// Unlocks; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_mutex_unlock(m: *mut dsm_mutex_t) -> c_int {
    object_status("unlock the mutex", m, Node::mutex_unlock)
}

/// Makes sure that nobody has it; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_mutex_destroy(m: *mut dsm_mutex_t) -> c_int {
    object_status("destroy the mutex", m, Node::mutex_destroy)
}

/// A mutex that nobody has can be locked at any time, though another rank may have to send it first.
fn lock_until(node: &Node, mutex: usize, deadline: Deadline) -> Result<(), SyncError> {
    if deadline.has_passed {
        match node.mutex_try_lock(mutex) {
            Err(SyncError::Busy) => {}
            other => return other,
        }
    }
    node.mutex_lock_until(mutex, deadline.at)
}
