//! The time that all ranks of one host share.

use rustix::time::{ClockId, clock_gettime};
use std::hint;

/// Nanoseconds of CLOCK_MONOTONIC.
#[must_use]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (s, ns) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    let (s, ns) = (s.unwrap_or_default(), ns.unwrap_or_default());
    s * 1_000_000_000 + ns
}

/// Computes until this time: the calling thread keeps its processor, as a program between two accesses.
pub fn compute_until(time_ns: u64) {
    while now_ns() < time_ns {
        hint::spin_loop();
    }
}

/// Computes for so long.
pub fn compute_for(duration_ns: u64) {
    if duration_ns > 0 {
        compute_until(now_ns() + duration_ns);
    }
}
