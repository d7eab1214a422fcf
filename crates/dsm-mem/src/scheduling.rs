use std::io;

/// Has the calling thread, which answers others and then sleeps again, run soon after it is woken, although
/// other threads compute on its processor: it asks for turns of 100 µs instead of the kernel's milliseconds, and
/// the kernel lets who asks for shorter turns in first (EEVDF, Linux 6.12 or later; before, nothing
/// changes). Its share of the processor stays the same, so no privilege is needed. What a user chose who started
/// the program under another policy than the usual one stays.
///
/// # Errors
/// If the kernel refuses, as a sandbox may; nothing has changed then, and nothing depends on it.
pub(crate) fn prefer_short_turns() -> io::Result<()> {
    let mut attr = attributes()?;
    if attr.sched_policy != libc::SCHED_OTHER as u32 {
        return Ok(());
    }
    attr.sched_runtime = TURN_NS;
    // SAFETY: sched_setattr reads as many bytes of the record as the record itself says, and 0 is this
    // thread.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
    if set == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Of the calling thread.
fn attributes() -> io::Result<libc::sched_attr> {
    let mut attr = libc::sched_attr {
        size: 0,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    let size = size_of::<libc::sched_attr>();
    // SAFETY: sched_getattr writes at most `size` bytes, which is what the record has; any bytes make a
    // valid one.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0) };
    if got == -1 { Err(io::Error::last_os_error()) } else { Ok(attr) }
}

/// The shortest turn that the kernel gives.
const TURN_NS: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_the_turns_of_this_thread_alone() {
        let before = attributes().unwrap();
        let (of_this, of_other) = std::thread::scope(|scope| {
            let changed = scope.spawn(|| {
                prefer_short_turns().unwrap();
                attributes().unwrap()
            });
            let of_this = changed.join().unwrap();
            (of_this, scope.spawn(|| attributes().unwrap()).join().unwrap())
        });
        assert_eq!(of_this.sched_policy, before.sched_policy);
        assert_eq!(of_this.sched_nice, before.sched_nice);
        assert_eq!(of_other.sched_runtime, before.sched_runtime);
        // A kernel that knows no turns of their own says 0 for everybody.
        if before.sched_runtime != 0 && before.sched_policy == libc::SCHED_OTHER as u32 {
            assert_eq!(of_this.sched_runtime, TURN_NS);
        }
    }
}
