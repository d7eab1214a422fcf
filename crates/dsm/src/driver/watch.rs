use std::time::{Duration, Instant};

/// When to look whether a thread has waited for long, so that somebody is told without asking.
///
/// Looks are as rare as can be: the next comes when a wait that was seen gets long, or one that was not can be.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// How long is long; `None` is for ever.
    after: Option<Duration>,
    look_at: Option<Instant>,
}

impl Watch {
    pub(super) fn begin(&mut self, after: Duration, now: Instant) {
        self.after = (!after.is_zero()).then_some(after);
        self.look_at = self.after.map(|after| now + after);
    }

    pub(super) fn next_look(&self) -> Option<Instant> {
        self.look_at
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.look_at.is_some_and(|at| at <= now)
    }

    /// Looks: waits began at these times. Gives whether one is long.
    pub(super) fn look(&mut self, waits: impl Iterator<Item = Instant>, now: Instant) -> bool {
        let Some(after) = self.after else { return false };
        let mut is_long = false;
        let mut next = now + after;
        for since in waits {
            if since + after <= now {
                is_long = true;
            } else {
                next = next.min(since + after);
            }
        }
        self.look_at = Some(next);
        is_long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_when_it_is_long_and_again_as_long_as_it_lasts() {
        let (now, after) = (Instant::now(), Duration::from_secs(10));
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut watch = Watch::default();
        assert_eq!(watch.next_look(), None);
        assert!(!watch.look([now].into_iter(), at(100)), "nobody wants to know");
        watch.begin(after, now);
        assert!(!watch.is_due(at(9)) && watch.is_due(at(10)));
        assert!(!watch.look([at(3), at(5)].into_iter(), at(10)));
        assert_eq!(watch.next_look(), Some(at(13)));
        assert!(watch.look([at(3), at(5)].into_iter(), at(13)));
        assert_eq!(watch.next_look(), Some(at(15)));
        assert!(watch.look([at(3), at(5)].into_iter(), at(15)));
        assert_eq!(watch.next_look(), Some(at(25)));
        assert!(watch.look([at(3)].into_iter(), at(25)));
        assert!(!watch.look([].into_iter(), at(35)));
        assert_eq!(watch.next_look(), Some(at(45)));
        watch.begin(Duration::ZERO, at(50));
        assert_eq!(watch.next_look(), None);
    }
}
