//! What happened: counts, and what went wrong.

use crate::call::{in_job, status};
use crate::error::{Failure, guarded, last_error};
use dsm::Node;
use libc::{c_char, c_int};

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

/// The counts of this rank; see dsm.h.
///
/// # Safety
/// `out` must be null, or aligned and valid for writes of a `struct dsm_stats`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dsm_stats(out: *mut dsm_stats) -> c_int {
    status(|| {
        let stats = in_job(Node::stats)?;
        if out.is_null() {
            return Err(Failure::NullPointer { what: "store the counts" });
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
