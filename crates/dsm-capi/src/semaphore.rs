//! Counting semaphores.

use crate::call::object_status;
use dsm::Node;
use libc::{c_int, c_uint};

/// A counting semaphore, as C lays it out; its address is all that counts.
#[repr(C)]
#[derive(Debug)]
pub struct dsm_sem_t {
    dsm_opaque_: u64,
}

/// Sets the value; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_sem_init(s: *mut dsm_sem_t, value: c_uint) -> c_int {
    object_status("set up the semaphore", s, |node, at| node.semaphore_init(at, value))
}

/// Takes 1 from the value; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_sem_wait(s: *mut dsm_sem_t) -> c_int {
    object_status("wait for the semaphore", s, Node::semaphore_wait)
}

/// Takes 1 from the value if there is one; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_sem_trywait(s: *mut dsm_sem_t) -> c_int {
    object_status("take from the semaphore at once", s, Node::semaphore_try_wait)
}

/// Adds 1 to the value; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_sem_post(s: *mut dsm_sem_t) -> c_int {
    object_status("post the semaphore", s, Node::semaphore_post)
}

/// Makes the value 0 if nobody waits; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_sem_destroy(s: *mut dsm_sem_t) -> c_int {
    object_status("destroy the semaphore", s, Node::semaphore_destroy)
}
