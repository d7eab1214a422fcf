use std::time::{Duration, Instant};

/// When to look whether a thread has waited for long, so that somebody is told without asking.
///
/// Looks are as rare as can be: none comes sooner than the oldest wait of the look before can be long.
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

    /// Looks: the oldest wait began then. Gives whether it is long.
    pub(super) fn look(&mut self, oldest: Option<Instant>, now: Instant) -> bool {
        let Some(after) = self.after else { return false };
        let is_long = oldest.is_some_and(|since| since + after <= now);
        self.look_at = Some(oldest.filter(|_| !is_long).unwrap_or(now) + after);
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
        assert!(!watch.look(Some(now), at(100)), "nobody wants to know");
        watch.begin(after, now);
        assert!(!watch.is_due(at(9)) && watch.is_due(at(10)));
        assert!(!watch.look(Some(at(3)), at(10)));
        assert_eq!(watch.next_look(), Some(at(13)));
        assert!(watch.look(Some(at(3)), at(13)));
        assert_eq!(watch.next_look(), Some(at(23)));
        assert!(watch.look(Some(at(3)), at(23)));
        assert!(!watch.look(None, at(33)));
        assert_eq!(watch.next_look(), Some(at(43)));
        watch.begin(Duration::ZERO, at(50));
        assert_eq!(watch.next_look(), None);
    }
}
