use super::Refusals;
use std::io;
use std::time::{Duration, Instant};

/// When to connect, and how long to wait before the next time if that is refused.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    pub(super) at: Instant,
    pub(super) pause: Duration,
}

/// What to do about a connection that failed.
pub(super) enum Again {
    /// It was not taken in time: nobody is there, or strangers stand in the rank's queue.
    AtOnce,
    /// It was closed: strangers may have pushed it out, so a few times.
    Soon,
    /// The rank may not listen yet.
    Later,
    Never,
}

impl Attempt {
    pub(super) fn after(error: &io::Error, refusals: Refusals) -> Again {
        match (error.kind(), refusals) {
            (io::ErrorKind::TimedOut, _) => Again::AtOnce,
            (io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe, _) => Again::Soon,
            (io::ErrorKind::ConnectionRefused, Refusals::Early) => Again::Later,
            _ => Again::Never,
        }
    }

    pub(super) fn next(self) -> Self {
        Self { at: Instant::now() + self.pause, pause: MAX_PAUSE.min(self.pause * 2) }
    }
}

/// No event tells that a socket of another process listens. A refusal costs a packet each way, and ranks
/// begin milliseconds after one another.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(2);
pub(super) const MAX_PAUSE: Duration = Duration::from_millis(250);
