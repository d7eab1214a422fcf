//! The time that all ranks of one host share.

use crate::hub::{Hub, HubError};
use rustix::time::{ClockId, clock_gettime};
use std::{fs, hint, thread};

/// Nanoseconds of CLOCK_MONOTONIC.
#[must_use]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (s, ns) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    let (s, ns) = (s.unwrap_or_default(), ns.unwrap_or_default());
    s * 1_000_000_000 + ns
}

/// What a thread does between two accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// It computes and keeps its processor: a page server of this host may have to wait for one.
    Computing,
    /// It lets others run whenever they can.
    Yielding,
}

/// Lets time pass until then.
pub fn pass_until(time_ns: u64, manner: Manner) {
    while now_ns() < time_ns {
        match manner {
            Manner::Computing => hint::spin_loop(),
            Manner::Yielding => thread::yield_now(),
        }
    }
}

/// Lets so much time pass.
pub fn pass(duration_ns: u64, manner: Manner) {
    if duration_ns > 0 {
        pass_until(now_ns() + duration_ns, manner);
    }
}

/// Whether all ranks read the same clock, because they run on the same kernel.
///
/// # Errors
/// If the ranks cannot talk.
pub fn is_shared(hub: &mut Hub) -> Result<bool, HubError> {
    // Without it nothing is known, and no two ranks are alike.
    let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boots = hub.gather(boot)?;
    let same = boots.iter().all(|boot| !boot.is_empty() && *boot == boots[0]);
    Ok(hub.spread(vec![u8::from(same)])? == [1])
}
