use rustix::event::Timespec;
use rustix::io;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Wakes whoever waits for the driver's events when a hold time ends that somebody waits for.
#[derive(Debug)]
pub(super) struct Timer {
    fd: OwnedFd,
    /// When it expires, if it is set.
    at: Option<Instant>,
}

impl Timer {
    pub(super) fn new() -> std::io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self { fd: timerfd_create(TimerfdClockId::Monotonic, flags)?, at: None })
    }

    /// Sets it to expire then, or takes it back.
    pub(super) fn set(&mut self, at: Option<Instant>) -> std::io::Result<()> {
        if at == self.at {
            return Ok(());
        }
        self.at = at;
        let left = match at {
            // A time of 0 would take it back.
            Some(at) => at.saturating_duration_since(Instant::now()).max(SHORTEST),
            None => Duration::ZERO,
        };
        let it_value = Timespec::try_from(left).expect("hold times are short");
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Itimerspec { it_interval, it_value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &value)?;
        Ok(())
    }

    /// It has expired; whoever wants it again sets it.
    pub(super) fn on_expiry(&mut self) {
        self.at = None;
        // Nothing to read is fine: it was set again meanwhile.
        let _ = io::read(&self.fd, &mut [0; 8]);
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const SHORTEST: Duration = Duration::from_nanos(1);
