use super::Spun;

/// Keeps the driver's thread from looking for events while others want the processor: what it takes from
/// them may be the very answer that it waits for. Having slept through a few waits it tries again.
#[derive(Debug, Default)]
pub(super) struct Restraint {
    /// So many waits in which it sleeps at once.
    left: u32,
    /// How often it was disturbed since it found something.
    disturbed: u32,
}

impl Restraint {
    /// Whether to look for events in the wait that begins.
    pub(super) fn allows(&mut self) -> bool {
        let allows = self.left == 0;
        self.left = self.left.saturating_sub(1);
        allows
    }

    /// Takes what came of it.
    pub(super) fn learn(&mut self, spun: Spun) {
        match spun {
            Spun::Found => self.disturbed = 0,
            Spun::Nothing => (),
            Spun::Disturbed => {
                self.disturbed = MOST_DOUBLINGS.min(self.disturbed + 1);
                self.left = 1 << self.disturbed;
            }
        }
    }
}

/// Up to 64 waits without a look.
const MOST_DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    /// How many waits pass until it looks again.
    fn waits(restraint: &mut Restraint) -> u32 {
        let mut waits = 0;
        while !restraint.allows() {
            waits += 1;
        }
        waits
    }

    #[test]
    fn whoever_is_disturbed_looks_less_and_less_often_until_it_finds_something() {
        let mut restraint = Restraint::default();
        assert_eq!(waits(&mut restraint), 0);
        for expected in [2, 4, 8, 16, 32, 64, 64] {
            restraint.learn(Spun::Disturbed);
            assert_eq!(waits(&mut restraint), expected);
        }
        restraint.learn(Spun::Found);
        assert_eq!(waits(&mut restraint), 0);
        restraint.learn(Spun::Disturbed);
        assert_eq!(waits(&mut restraint), 2);
    }

    #[test]
    fn to_find_nothing_is_no_disturbance() {
        let mut restraint = Restraint::default();
        restraint.learn(Spun::Nothing);
        assert_eq!(waits(&mut restraint), 0);
    }
}
