//! The C interface of dsm: what `include/dsm.h` declares, over the crate `dsm`.
//!
//! The header has the contracts. Here stands only what the border needs: pointers, statics, errno, the
//! error of each thread, and a net under every function so that no unwinding reaches C.
#![allow(unsafe_code, reason = "this is the C border")]

mod error;
mod membership;

use error::{Failure, guarded, last_error, recorded};
use libc::{c_char, c_int, c_void, size_t};
use membership::{join, leave, with_node};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

/// This rank. C sees an `int`; an atomic has its layout.
#[unsafe(no_mangle)]
pub static DSM_NODE_ID: AtomicI32 = AtomicI32::new(0);

/// The number of ranks.
#[unsafe(no_mangle)]
pub static DSM_NODE_NUM: AtomicI32 = AtomicI32::new(1);

/// The counts of this rank, laid out as C has them.
#[repr(C)]
#[derive(Debug)]
pub struct dsm_stats {
    read_faults: u64,
    write_faults: u64,
    upgrades: u64,
    invalidations: u64,
    pages_in: u64,
    pages_out: u64,
    messages_sent: u64,
    bytes_sent: u64,
    lock_local: u64,
    lock_remote: u64,
    barriers: u64,
    fault_ns: u64,
}

/// Joins the job; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_init(_argc: c_int, _argv: *mut *mut c_char) -> *mut c_char {
    let joined = guarded(|| {
        let place = join()?;
        DSM_NODE_ID.store(i32::from(place.rank), Ordering::SeqCst);
        DSM_NODE_NUM.store(i32::from(place.nodes), Ordering::SeqCst);
        Ok(ptr::with_exposed_provenance_mut(place.base))
    });
    joined.unwrap_or_else(|failure| {
        recorded(&failure);
        // SAFETY: the function has no requirement; the pointer it gives is this thread's errno.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: the pointer is valid for writes as long as the thread lives, and only the thread uses it.
        unsafe { errno.write(failure.errno()) };
        ptr::null_mut()
    })
}

/// Leaves the job; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_finalize() {
    let _ = status(leave);
}

/// Bytes of the area; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_size() -> size_t {
    value(0, || Ok(with_node(|node| node.size()).unwrap_or(0)))
}

/// Bytes of a page; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_page_size() -> size_t {
    let own = rustix::param::page_size();
    value(own, || Ok(with_node(|node| node.page_bytes()).unwrap_or(own)))
}

/// First byte of the area; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_base() -> *mut c_char {
    let base = value(0, || Ok(with_node(|node| node.base()).unwrap_or(0)));
    ptr::with_exposed_provenance_mut(base)
}

/// The home of a page; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_home(p: *const c_void) -> c_int {
    value(-1, || Ok(with_node(|node| node.home(p.addr())).flatten().map_or(-1, c_int::from)))
}

/// Whether a pointer is into shared memory; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_is_shared(p: *const c_void) -> c_int {
    value(0, || Ok(with_node(|node| node.is_shared(p.addr())).unwrap_or(false).into()))
}

/// The barrier of all ranks; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_barrier() -> c_int {
    status(|| Ok(with_node(dsm::Node::barrier).ok_or(Failure::NotJoined)??))
}

/// The counts of this rank; see dsm.h.
///
/// # Safety
/// `out` must be null, or aligned and valid for writes of a `struct dsm_stats`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dsm_stats(out: *mut dsm_stats) -> c_int {
    status(|| {
        let stats = with_node(dsm::Node::stats).ok_or(Failure::NotJoined)?;
        if out.is_null() {
            return Err(Failure::NullPointer { function: "dsm_stats" });
        }
        // SAFETY: it is not null, so by this function's contract it is aligned and valid for writes.
        unsafe { out.write(stats.into()) };
        Ok(())
    })
}

/// What the last failing call of this thread failed of; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_last_error() -> *const c_char {
    guarded(|| Ok(last_error())).unwrap_or(c"".as_ptr())
}

impl From<dsm::Stats> for dsm_stats {
    fn from(stats: dsm::Stats) -> Self {
        Self {
            read_faults: stats.read_faults,
            write_faults: stats.write_faults,
            upgrades: stats.upgrades,
            invalidations: stats.invalidations,
            pages_in: stats.pages_in,
            pages_out: stats.pages_out,
            messages_sent: stats.messages_sent,
            bytes_sent: stats.bytes_sent,
            lock_local: stats.lock_local,
            lock_remote: stats.lock_remote,
            barriers: stats.barriers,
            fault_ns: stats.fault_ns,
        }
    }
}

/// Runs a body whose result C sees as 0 or an errno value.
fn status(body: impl FnOnce() -> Result<(), Failure>) -> c_int {
    guarded(body).map_or_else(|failure| recorded(&failure), |()| 0)
}

/// Runs a body whose failure C sees as a value.
fn value<T>(failed: T, body: impl FnOnce() -> Result<T, Failure>) -> T {
    guarded(body).unwrap_or_else(|failure| {
        recorded(&failure);
        failed
    })
}
