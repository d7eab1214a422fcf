use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

/// A thread of this process, among all that it ever had: the kernel gives the number of one that ended
/// to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Thread {
    serial: NonZeroU32,
    on_host: u32,
}

impl Thread {
    pub(super) fn current() -> Self {
        CURRENT.get().unwrap_or_else(Self::name)
    }

    /// Its number on this host, for people.
    pub(super) fn on_host(self) -> u32 {
        self.on_host
    }

    #[cold]
    fn name() -> Self {
        let serial = NonZeroU32::new(NEXT.fetch_add(1, Ordering::Relaxed));
        let serial = serial.expect("a process has fewer than 2^32 threads in its life");
        let on_host = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let thread = Self { serial, on_host };
        CURRENT.set(Some(thread));
        thread
    }

    #[cfg(test)]
    pub(super) fn numbered(number: u32) -> Self {
        Self { serial: NonZeroU32::new(number).unwrap(), on_host: number }
    }
}

thread_local! {
    static CURRENT: Cell<Option<Thread>> = const { Cell::new(None) };
}

static NEXT: AtomicU32 = AtomicU32::new(1);
