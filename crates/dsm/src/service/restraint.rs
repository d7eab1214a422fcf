use std::time::{Duration, Instant};

/// Keeps a thread from looking for events without sleeping while others want the processor.
///
/// Each look may cost what the others then take: as long as a time slice, if they compute. So after that
/// it sleeps at once for many times as long as it was kept from the processor, and looks again after that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Restraint {
    until: Option<Instant>,
}

impl Restraint {
    /// Whether to look for events in a wait that begins now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// Others had the processor for that time until now.
    pub(super) fn on_disturbed(&mut self, lost: Duration, now: Instant) {
        self.until = Some(now + lost * SLEEPS);
    }
}

/// To be kept from the processor costs at most a hundredth of the time.
const SLEEPS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_disturbed_does_not_look_for_a_hundred_times_as_long() {
        let now = Instant::now();
        let mut restraint = Restraint::default();
        assert!(restraint.allows(now));
        restraint.on_disturbed(Duration::from_millis(3), now);
        assert!(!restraint.allows(now));
        assert!(!restraint.allows(now + Duration::from_millis(299)));
        assert!(restraint.allows(now + Duration::from_millis(300)));
    }
}
