//! Joining and leaving the job.

use crate::call::{pointer, status};
use crate::node::{join, leave};
use libc::{c_char, c_int};
use std::sync::atomic::{AtomicI32, Ordering};

/// This rank. C sees an `int`; an atomic has its layout.
#[unsafe(no_mangle)]
pub static DSM_NODE_ID: AtomicI32 = AtomicI32::new(0);

/// The number of ranks.
#[unsafe(no_mangle)]
pub static DSM_NODE_NUM: AtomicI32 = AtomicI32::new(1);

/// Joins the job; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_init(_argc: c_int, _argv: *mut *mut c_char) -> *mut c_char {
    pointer(|| {
        let place = join()?;
        DSM_NODE_ID.store(i32::from(place.rank), Ordering::SeqCst);
        DSM_NODE_NUM.store(i32::from(place.nodes), Ordering::SeqCst);
        Ok(place.base)
    })
}

/// Leaves the job; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_finalize() {
    let _ = status(leave);
}
