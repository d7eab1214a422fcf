use super::Refusals;
use std::io;
use std::time::{Duration, Instant};

/// When to connect, and how long to wait before the next time if that is refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) at: Instant,
    /// How long the kernel may take to connect.
    pub(super) within: Duration,
    pause: Duration,
}

/// Which failures mean that a rank is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// All but those strangers can cause.
    ButForStrangers,
    /// Those too that mean that it does not listen yet.
    UntilItListens,
    /// None.
    UntilItIsOver,
}

impl Patience {
    pub(super) fn of(refusals: Refusals) -> Self {
        match refusals {
            Refusals::Final => Self::ButForStrangers,
            Refusals::Early => Self::UntilItListens,
        }
    }
}

impl Attempt {
    pub(super) fn first() -> Self {
        Self { at: Instant::now(), within: FIRST_WITHIN, pause: FIRST_PAUSE }
    }

    /// When to connect after this has failed; `None` if that makes no sense.
    pub(super) fn after(self, error: &io::Error, patience: Patience) -> Option<Self> {
        use io::ErrorKind::{
            BrokenPipe, ConnectionRefused, ConnectionReset, TimedOut, UnexpectedEof,
        };
        match (error.kind(), patience) {
            // It was not taken in time: nobody is there, or strangers stand in the rank's queue.
            (TimedOut, _) => {
                let within = MAX_WITHIN.min(self.within * 2);
                Some(Self { at: Instant::now(), within, ..self })
            }
            (_, Patience::UntilItIsOver) => Some(self.next()),
            (ConnectionRefused, Patience::UntilItListens) => Some(self.next()),
            // Strangers may have pushed it out, so a few times.
            (ConnectionReset | BrokenPipe | UnexpectedEof, _) => {
                (self.pause < MAX_PAUSE).then(|| self.next())
            }
            _ => None,
        }
    }

    fn next(self) -> Self {
        Self { at: Instant::now() + self.pause, pause: MAX_PAUSE.min(self.pause * 2), ..self }
    }
}

/// Where the first packet of a connection is lost, the kernel sends it again after a second, takes that for the time that
/// packets need on this line, and later waits for seconds before it sends anything again. So the first attempts are
/// short: a new socket knows nothing of the old one's loss.
const FIRST_WITHIN: Duration = Duration::from_millis(300);
const MAX_WITHIN: Duration = Duration::from_secs(2);
/// No event tells that a socket of another process listens. A refusal costs a packet each way, and ranks
/// begin milliseconds after one another.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const MAX_PAUSE: Duration = Duration::from_millis(250);
