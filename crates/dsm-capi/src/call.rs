//! How every function runs: over a net that ends unwinding, with errno as C expects it, in a job.

use crate::error::{Failure, guarded, recorded, set_errno};
use crate::node::with_node;
use dsm::{Node, SyncError, is_forked_child};
use libc::c_int;
use std::ptr;

/// Runs a body whose result C sees as 0 or an errno value.
pub(crate) fn status(body: impl FnOnce() -> Result<(), Failure>) -> c_int {
    guarded(body).map_or_else(|failure| recorded(&failure), |()| 0)
}

/// Runs a body whose result C sees as it is, and whose failure as an errno value.
pub(crate) fn value_or_status(body: impl FnOnce() -> Result<c_int, Failure>) -> c_int {
    guarded(body).unwrap_or_else(|failure| recorded(&failure))
}

/// Runs a body whose failure C sees as a value.
pub(crate) fn value<T>(failed: T, body: impl FnOnce() -> Result<T, Failure>) -> T {
    guarded(body).unwrap_or_else(|failure| {
        recorded(&failure);
        failed
    })
}

/// Runs a body whose failure C sees as a value and in errno.
pub(crate) fn value_or_errno<T>(failed: T, body: impl FnOnce() -> Result<T, Failure>) -> T {
    guarded(body).unwrap_or_else(|failure| {
        set_errno(recorded(&failure));
        failed
    })
}

/// Runs a body that gives an address; its failure C sees as a null pointer and in errno.
pub(crate) fn pointer<T>(body: impl FnOnce() -> Result<usize, Failure>) -> *mut T {
    ptr::with_exposed_provenance_mut(value_or_errno(0, body))
}

/// Does something in the job.
pub(crate) fn in_job<T>(act: impl FnOnce(&Node) -> T) -> Result<T, Failure> {
    match with_node(act) {
        Some(done) => Ok(done),
        None if is_forked_child() => Err(Failure::Forked),
        None => Err(Failure::NotJoined),
    }
}

/// Does something with the object at a pointer; `what` completes "cannot".
pub(crate) fn on_object<T, R>(
    what: &'static str,
    object: *const T,
    act: impl FnOnce(&Node, usize) -> Result<R, SyncError>,
) -> Result<R, Failure> {
    in_job(|node| {
        let address = object.addr();
        if address == 0 {
            return Err(Failure::NullPointer { what });
        }
        act(node, address).map_err(|source| Failure::Object { what, address, source })
    })?
}

/// Checks that an object can be at a pointer.
pub(crate) fn check_object<T>(what: &'static str, object: *const T) -> Result<(), Failure> {
    on_object(what, object, |node, address| {
        if !node.is_shared(address) {
            return Err(SyncError::NotShared { address });
        }
        if !address.is_multiple_of(size_of::<u64>()) {
            return Err(SyncError::Unaligned { address });
        }
        Ok(())
    })
}

/// Does something with the object at a pointer of which C sees 0 or an errno value.
pub(crate) fn object_status<T>(
    what: &'static str,
    object: *const T,
    act: impl FnOnce(&Node, usize) -> Result<(), SyncError>,
) -> c_int {
    status(|| on_object(what, object, act))
}
