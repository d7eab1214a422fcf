use dsm_net::launch::UNHEARD_AFTER;
use std::time::Duration;

/// Whether a peer is known to have what this rank said to it, and if not, for how long it has been silent.
///
/// What is said is known to have come when a ping that was sent after it is answered. The peer is pinged only when
/// nothing at all has come from it for some time, so two ranks that talk never do it, and two that have
/// nothing to say to each other do it once. A message that does not arrive is found out by this at the rank
/// that sent it, and nobody waits for another reason than a message.
///
/// It has no clock: it is told how much time has passed in which this rank could have heard something.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Bytes that had come at the last look.
    received: u64,
    /// Messages that the peer is known to have.
    confirmed: u64,
    /// Messages that it will be known to have when it answers, if it is asked.
    asked: Option<u64>,
    silence: Duration,
    is_told: bool,
}

/// What a look at the connection shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Bytes that have come.
    pub(super) received: u64,
    /// Messages that were given to it.
    pub(super) said: u64,
    /// Every ping is answered.
    pub(super) is_answered: bool,
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// The peer has everything: there is nothing to look for until more is said.
    Rests,
    /// Another look is needed.
    Waits,
    /// The same, and the peer is to be pinged.
    Ping,
    /// The same, and people are to be told: the peer does not answer.
    Unheard,
}

impl Pulse {
    /// Looks, so long after the last look or, if the peer had everything, after something was said.
    pub(super) fn look(&mut self, seen: Seen, passed: Duration) -> Beat {
        if std::mem::replace(&mut self.received, seen.received) != seen.received {
            self.silence = Duration::ZERO;
            self.is_told = false;
        } else {
            self.silence += passed;
        }
        if seen.is_answered {
            self.confirmed = self.asked.take().unwrap_or(self.confirmed);
        }
        if self.confirmed == seen.said {
            self.silence = Duration::ZERO;
            return Beat::Rests;
        }
        if self.asked.is_none() {
            if self.silence < PING_AFTER {
                return Beat::Waits;
            }
            self.asked = Some(seen.said);
            return Beat::Ping;
        }
        if self.silence < UNHEARD_AFTER || self.is_told {
            return Beat::Waits;
        }
        self.is_told = true;
        Beat::Unheard
    }

    /// There is no socket at the moment.
    pub(super) fn on_lost(&mut self) {
        self.silence = Duration::ZERO;
        self.is_told = false;
    }

    /// Whether the peer was pinged, and nothing has come from it up to the last look.
    pub(super) fn is_unheard(&self) -> bool {
        self.is_told
    }
}

/// Most waits are shorter, and most programs never have so long a pause while somebody waits.
const PING_AFTER: Duration = Duration::from_millis(1_250);

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer, and looks at it every quarter of a second.
    #[derive(Default)]
    struct Peer {
        pulse: Pulse,
        received: u64,
        said: u64,
        pinged: usize,
        ponged: usize,
    }

    impl Peer {
        fn look(&mut self) -> Beat {
            let Self { received, said, pinged, ponged, .. } = *self;
            let seen = Seen { received, said, is_answered: pinged == ponged };
            let beat = self.pulse.look(seen, Duration::from_millis(250));
            self.pinged += usize::from(beat == Beat::Ping);
            beat
        }

        fn answers(&mut self) {
            self.received += 40;
            self.ponged = self.pinged;
        }

        /// Looks that give this, after which another comes.
        fn looks(&mut self, beat: Beat) -> (usize, Beat) {
            for count in 0..1_000 {
                let next = self.look();
                if next != beat {
                    return (count, next);
                }
            }
            panic!("nothing but {beat:?}");
        }
    }

    #[test]
    fn a_peer_to_which_nothing_is_said_is_left_alone() {
        let mut peer = Peer::default();
        assert_eq!(peer.look(), Beat::Rests);
        peer.received += 4096;
        assert_eq!(peer.look(), Beat::Rests);
    }

    #[test]
    fn silence_after_a_message_ends_with_one_ping() {
        let mut peer = Peer { said: 1, ..Peer::default() };
        assert_eq!(peer.looks(Beat::Waits), (4, Beat::Ping));
        assert_eq!(peer.look(), Beat::Waits);
        peer.answers();
        assert_eq!(peer.look(), Beat::Rests);
        peer.said += 1;
        assert_eq!(peer.looks(Beat::Waits), (4, Beat::Ping));
    }

    #[test]
    fn ranks_that_talk_do_not_ping() {
        let mut peer = Peer::default();
        for _ in 0..100 {
            peer.said += 3;
            peer.received += 1;
            assert_eq!(peer.look(), Beat::Waits);
        }
    }

    #[test]
    fn a_peer_that_does_not_answer_is_told_once() {
        let mut peer = Peer { said: 1, ..Peer::default() };
        assert_eq!(peer.looks(Beat::Waits), (4, Beat::Ping));
        assert_eq!(peer.looks(Beat::Waits), (7, Beat::Unheard));
        assert!(peer.pulse.is_unheard());
        for _ in 0..100 {
            assert_eq!(peer.look(), Beat::Waits);
        }
        peer.answers();
        assert_eq!(peer.look(), Beat::Rests);
        assert!(!peer.pulse.is_unheard());
    }

    /// One byte a second is a sign of life: the answer waits behind others.
    #[test]
    fn a_line_that_moves_is_not_dead() {
        let mut peer = Peer { said: 1, ..Peer::default() };
        assert_eq!(peer.looks(Beat::Waits), (4, Beat::Ping));
        for _ in 0..100 {
            peer.received += 1;
            for _ in 0..13 {
                assert_eq!(peer.look(), Beat::Waits);
            }
        }
        assert_eq!(peer.looks(Beat::Waits), (0, Beat::Unheard));
    }

    #[test]
    fn what_was_said_after_the_ping_is_asked_for_again() {
        let mut peer = Peer { said: 1, ..Peer::default() };
        assert_eq!(peer.looks(Beat::Waits), (4, Beat::Ping));
        peer.said += 1;
        peer.answers();
        assert_eq!(peer.looks(Beat::Waits), (5, Beat::Ping));
        peer.answers();
        assert_eq!(peer.look(), Beat::Rests);
    }

    #[test]
    fn a_lost_connection_begins_anew() {
        let mut peer = Peer { said: 1, ..Peer::default() };
        assert_eq!(peer.looks(Beat::Waits), (4, Beat::Ping));
        assert_eq!(peer.looks(Beat::Waits), (7, Beat::Unheard));
        peer.pulse.on_lost();
        assert!(!peer.pulse.is_unheard());
        assert_eq!(peer.looks(Beat::Waits), (12, Beat::Unheard));
    }
}
