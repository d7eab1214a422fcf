//! Barriers: of a count of threads, and of all ranks.

use crate::call::{in_job, on_object, status, value_or_status};
use dsm::{BarrierRole, Node};
use libc::{c_int, c_uint};

/// A barrier, as C lays it out; its address is all that counts.
#[repr(C)]
#[derive(Debug)]
pub struct dsm_barrier_t {
    dsm_opaque_: u64,
}

/// Waits for `count` threads; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_barrier_wait(b: *mut dsm_barrier_t, count: c_uint) -> c_int {
    value_or_status(|| {
        let role = on_object("wait at the barrier", b, |node, at| node.barrier_wait(at, count))?;
        Ok(match role {
            BarrierRole::Serial => DSM_BARRIER_SERIAL,
            BarrierRole::Other => 0,
        })
    })
}

/// Waits for all ranks; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_barrier() -> c_int {
    status(|| Ok(in_job(Node::barrier)??))
}

/// No errno value is negative.
const DSM_BARRIER_SERIAL: c_int = -1;
