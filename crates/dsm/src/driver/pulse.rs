use std::time::Duration;

/// Whether a peer is known to have what this rank said to it, and if not, for how long it has been silent.
///
/// What is said is known to have come when a ping that was sent after it is answered. The peer is pinged only when
/// nothing at all has come from it for some time, so two ranks that talk never do it, and two that have
/// nothing to say to each other do it once. A message that does not arrive is found out by this at the rank
/// that sent it, and nobody waits for another reason than a message.
///
/// On a line that loses much, an answer may be late by seconds, because the peer's kernel waits long before it sends
/// once more. So a peer is *out of reach* only while its kernel acknowledges nothing either, for which it
/// is pinged again. Who is in reach and does not answer gets more time: somebody between the two may
/// acknowledge in its place.
///
/// It has no clock: it is told how much time has passed in which this rank could have heard something.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Bytes that had come, and that were acknowledged, at the last look.
    received: u64,
    acknowledged: u64,
    /// Messages that the peer is known to have.
    confirmed: u64,
    /// Messages that it will be known to have when it answers, if it is asked.
    asked: Option<u64>,
    /// For how long nothing has come.
    silence: Duration,
    /// For how long nothing was acknowledged either.
    out_of_reach: Duration,
    since_ping: Duration,
    is_told: bool,
}

/// What a look at the connection shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Bytes that have come.
    pub(super) received: u64,
    /// Bytes that the kernel at the other end has acknowledged.
    pub(super) acknowledged: u64,
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
        self.listen(seen, passed);
        if seen.is_answered {
            self.confirmed = self.asked.take().unwrap_or(self.confirmed);
        }
        if self.confirmed == seen.said {
            (self.silence, self.out_of_reach) = (Duration::ZERO, Duration::ZERO);
            return Beat::Rests;
        }
        // The last one has arrived, as far as the peer's kernel goes.
        let may_ping_again =
            self.since_ping >= PING_AGAIN_AFTER && self.out_of_reach < self.since_ping;
        if self.silence >= PING_AFTER && (self.asked.is_none() || may_ping_again) {
            self.asked = Some(seen.said);
            self.since_ping = Duration::ZERO;
            return Beat::Ping;
        }
        let is_unheard =
            self.out_of_reach >= OUT_OF_REACH_AFTER || self.silence >= UNANSWERED_AFTER;
        if self.asked.is_none() || !is_unheard || self.is_told {
            return Beat::Waits;
        }
        self.is_told = true;
        Beat::Unheard
    }

    fn listen(&mut self, seen: Seen, passed: Duration) {
        let Seen { received, acknowledged, .. } = seen;
        let has_come = std::mem::replace(&mut self.received, received) != received;
        let has_arrived = std::mem::replace(&mut self.acknowledged, acknowledged) != acknowledged;
        self.since_ping += passed;
        self.silence = if has_come { Duration::ZERO } else { self.silence + passed };
        self.out_of_reach =
            if has_come || has_arrived { Duration::ZERO } else { self.out_of_reach + passed };
        self.is_told &= !has_come && (!has_arrived || self.silence >= UNANSWERED_AFTER);
    }

    /// There is no socket at the moment.
    pub(super) fn on_lost(&mut self) {
        (self.silence, self.out_of_reach) = (Duration::ZERO, Duration::ZERO);
        self.is_told = false;
    }

    /// For how long the peer has been silent, if people are to be told.
    pub(super) fn unheard(&self) -> Option<Duration> {
        self.is_told.then_some(self.silence)
    }
}

/// Most waits are shorter, and most programs never have so long a pause while somebody waits.
const PING_AFTER: Duration = Duration::from_millis(1_250);
/// After a ping of which the other kernel has acknowledged the arrival.
const PING_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// After a blackout of 2 s the kernel has sent again by then what was lost, even if it doubles its pauses from 0.2 s.
const OUT_OF_REACH_AFTER: Duration = Duration::from_millis(3_250);
/// A kernel that measured seconds where a line lost much has sent what waits at least three times by then.
const UNANSWERED_AFTER: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer, and looks at it every quarter of a second.
    #[derive(Default)]
    struct Peer {
        pulse: Pulse,
        received: u64,
        acknowledged: u64,
        said: u64,
        pinged: usize,
        ponged: usize,
    }

    impl Peer {
        fn look(&mut self) -> Beat {
            let Self { received, acknowledged, said, pinged, ponged, .. } = *self;
            let seen = Seen { received, acknowledged, said, is_answered: pinged == ponged };
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

        fn is_unheard(&self) -> bool {
            self.pulse.unheard().is_some()
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
    fn a_peer_out_of_reach_is_told_once() {
        let mut peer = Peer { said: 1, ..Peer::default() };
        assert_eq!(peer.looks(Beat::Waits), (4, Beat::Ping));
        assert_eq!(peer.looks(Beat::Waits), (7, Beat::Unheard));
        assert_eq!(peer.pulse.unheard(), Some(Duration::from_millis(3_250)));
        for _ in 0..100 {
            assert_eq!(peer.look(), Beat::Waits);
        }
        peer.answers();
        assert_eq!(peer.look(), Beat::Rests);
        assert!(!peer.is_unheard());
    }

    /// Its answer was lost, and its kernel waits for seconds before it sends once more.
    #[test]
    fn a_peer_in_reach_is_waited_for_and_pinged_again() {
        let mut peer = Peer { said: 1, ..Peer::default() };
        assert_eq!(peer.looks(Beat::Waits), (4, Beat::Ping));
        for _ in 0..6 {
            peer.acknowledged += 40;
            assert_eq!(peer.looks(Beat::Waits), (3, Beat::Ping));
        }
        assert_eq!(peer.pinged, 7);
        peer.answers();
        assert_eq!(peer.look(), Beat::Rests);
    }

    #[test]
    fn a_peer_that_goes_out_of_reach_later_is_told_as_soon() {
        let mut peer = Peer { said: 1, ..Peer::default() };
        assert_eq!(peer.looks(Beat::Waits), (4, Beat::Ping));
        peer.acknowledged += 40;
        assert_eq!(peer.looks(Beat::Waits), (3, Beat::Ping));
        // Three looks and this one were since its kernel was heard of.
        assert_eq!(peer.looks(Beat::Waits), (9, Beat::Unheard));
        // It may only have taken that long.
        peer.acknowledged += 40;
        assert_eq!(peer.look(), Beat::Ping);
        assert!(!peer.is_unheard());
    }

    /// Who stands between the two can acknowledge what does not arrive.
    #[test]
    fn a_peer_in_reach_that_does_not_answer_is_told_in_the_end() {
        let mut peer = Peer { said: 1, ..Peer::default() };
        let mut looks = 1;
        while peer.look() != Beat::Unheard {
            peer.acknowledged += 40;
            looks += 1;
        }
        assert_eq!(looks, 32);
        for _ in 0..100 {
            peer.acknowledged += 40;
            assert_ne!(peer.look(), Beat::Unheard);
            assert!(peer.is_unheard());
        }
    }

    /// One byte a second is a sign of life: the answer waits behind others.
    #[test]
    fn a_line_that_moves_is_not_dead() {
        let mut peer = Peer { said: 1, ..Peer::default() };
        assert_eq!(peer.looks(Beat::Waits), (4, Beat::Ping));
        for _ in 0..100 {
            peer.received += 1;
            for _ in 0..5 {
                assert_eq!(peer.look(), Beat::Waits);
            }
        }
        assert_eq!(peer.looks(Beat::Waits), (0, Beat::Ping));
        assert_eq!(peer.looks(Beat::Waits), (7, Beat::Unheard));
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
        assert!(!peer.is_unheard());
        assert_eq!(peer.looks(Beat::Waits), (4, Beat::Ping));
        assert_eq!(peer.looks(Beat::Waits), (7, Beat::Unheard));
    }
}
