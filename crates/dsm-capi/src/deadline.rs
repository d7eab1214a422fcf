//! Points in time as C gives them.

use crate::error::Failure;
use libc::timespec;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// A point in time of this machine's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    /// Never before the point in time that was given.
    pub(crate) at: Instant,
    /// Whether that is over: nothing is to be waited for.
    pub(crate) has_passed: bool,
}

impl Deadline {
    /// What a `struct timespec` says; `what` completes "cannot".
    ///
    /// # Safety
    /// `time` must be null, or aligned and valid for reads.
    pub(crate) unsafe fn read(what: &'static str, time: *const timespec) -> Result<Self, Failure> {
        if time.is_null() {
            return Err(Failure::NullPointer { what });
        }
        // SAFETY: it is not null, so by this function's contract it is aligned and valid for reads.
        let timespec { tv_sec, tv_nsec, .. } = unsafe { time.read() };
        let nanoseconds = u32::try_from(tv_nsec).ok().filter(|ns| *ns < NS_PER_S);
        let Some(nanoseconds) = nanoseconds else {
            return Err(Failure::Time { what, nanoseconds: tv_nsec });
        };
        // Before the clock began is as good as when it began.
        let seconds = u64::try_from(tv_sec).unwrap_or(0);
        Ok(Self::of(Duration::new(seconds, nanoseconds)))
    }

    /// The point in time when the clock shows this.
    fn of(time: Duration) -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        let now = Duration::try_from(now).expect("the clock began at 0");
        let left = time.saturating_sub(now).min(LONGEST);
        // Asked after `now`, so what is left begins no earlier than it was measured.
        Self { at: Instant::now() + left, has_passed: left.is_zero() }
    }
}

const NS_PER_S: u32 = 1_000_000_000;

/// No job runs so long: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tv_sec: i64, tv_nsec: i64) -> Result<Deadline, Failure> {
        let time = timespec { tv_sec, tv_nsec };
        // SAFETY: it is the address of a variable.
        unsafe { Deadline::read("wait", &raw const time) }
    }

    #[test]
    fn what_is_over_has_passed() {
        for time in [(0, 0), (-1, 0), (i64::MIN, 999_999_999), (1, 1)] {
            assert!(read(time.0, time.1).unwrap().has_passed, "{time:?}");
        }
    }

    #[test]
    fn what_is_to_come_is_not_early_and_never_too_far() {
        let now = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap();
        let (before, seconds) = (Instant::now(), i64::try_from(now.as_secs()).unwrap());
        let deadline = read(seconds + 100, 0).unwrap();
        assert!(!deadline.has_passed && deadline.at >= before + Duration::from_secs(98));
        assert!(read(i64::MAX, 999_999_999).unwrap().at > before + Duration::from_secs(1 << 30));
    }

    #[test]
    fn nanoseconds_are_less_than_a_second() {
        for nanoseconds in [-1, 1_000_000_000, i64::MAX, i64::MIN] {
            let failure = read(1, nanoseconds).unwrap_err();
            assert_eq!(failure.errno(), libc::EINVAL);
            let words = format!("cannot wait: {nanoseconds} nanoseconds, expected 0 to 999999999");
            assert_eq!(failure.to_string(), words);
        }
    }
}
