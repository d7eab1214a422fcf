//! Locks for one writer or many readers.

use crate::call::{check_object, object_status, status};
use dsm::Node;
use libc::c_int;

/// A lock for one writer or many readers, as C lays it out; its address is all that counts.
#[repr(C)]
#[derive(Debug)]
pub struct dsm_rwlock_t {
    dsm_opaque_: u64,
}

/// Checks where a lock is to be; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_rwlock_init(l: *mut dsm_rwlock_t) -> c_int {
    status(|| check_object("set up a rwlock", l))
}

/// Locks for reading; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_rwlock_rdlock(l: *mut dsm_rwlock_t) -> c_int {
    object_status("lock the rwlock for reading", l, Node::rwlock_read)
}

/// Locks for writing; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_rwlock_wrlock(l: *mut dsm_rwlock_t) -> c_int {
    object_status("lock the rwlock for writing", l, Node::rwlock_write)
}

/// Locks for reading if nobody has it for writing; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_rwlock_tryrdlock(l: *mut dsm_rwlock_t) -> c_int {
    object_status("lock the rwlock for reading at once", l, Node::rwlock_try_read)
}

/// Locks for writing if nobody has it; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_rwlock_trywrlock(l: *mut dsm_rwlock_t) -> c_int {
    object_status("lock the rwlock for writing at once", l, Node::rwlock_try_write)
}

/// Unlocks; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_rwlock_unlock(l: *mut dsm_rwlock_t) -> c_int {
    object_status("unlock the rwlock", l, Node::rwlock_unlock)
}

/// Makes sure that nobody has it; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_rwlock_destroy(l: *mut dsm_rwlock_t) -> c_int {
    object_status("destroy the rwlock", l, Node::rwlock_destroy)
}
