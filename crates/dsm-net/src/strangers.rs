//! Who connected and was not of the job: counted, and told of now and then.

use crate::rendezvous::Notice;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Connections turned away that nobody was told of.
///
/// Invariant: `tell_at` is there when `last` is.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    count: u64,
    last: Option<IpAddr>,
    tell_at: Option<Instant>,
    told_at: Option<Instant>,
    /// When the last of them were turned away, at most [`CROWD`] of them.
    seen: VecDeque<Instant>,
}

impl Strangers {
    pub(crate) fn on_turned_away(&mut self, from: SocketAddr, now: Instant) {
        self.count += 1;
        self.last = Some(from.ip());
        if self.seen.len() == CROWD {
            self.seen.pop_front();
        }
        self.seen.push_back(now);
        let earliest = now + GATHER;
        let due = self.told_at.map_or(earliest, |told| earliest.max(told + PAUSE));
        self.tell_at.get_or_insert(due);
    }

    /// Whether there were so many so short a time ago that others may still wait behind such.
    pub(crate) fn are_a_crowd(&self, now: Instant) -> bool {
        self.seen.len() == CROWD && self.seen.front().is_some_and(|seen| now < *seen + SIEGE)
    }

    /// When [`Self::due`] has something to tell.
    pub(crate) fn tell_at(&self) -> Option<Instant> {
        self.tell_at
    }

    pub(crate) fn due(&mut self, now: Instant) -> Option<Notice<'static>> {
        self.tell_at.filter(|at| *at <= now)?;
        self.told_at = Some(now);
        self.rest()
    }

    /// What is left to tell, whether it is time or not.
    pub(crate) fn rest(&mut self) -> Option<Notice<'static>> {
        let last = self.last.take()?;
        self.tell_at = None;
        Some(Notice::TurnedAway { count: std::mem::take(&mut self.count), last })
    }
}

/// A scan takes a moment: one line for it, not two.
const GATHER: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(60);
/// Fewer are in nobody's way. A rank whose words are lost on the way looks like one stranger every three seconds.
const CROWD: usize = 16;
/// Three times as long as a stranger can hold a place.
const SIEGE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_once_a_minute() {
        let mut strangers = Strangers::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let address = |last: u8| SocketAddr::from(([10, 0, 0, last], 1));
        let told = |count, last: u8| Some(Notice::TurnedAway { count, last: address(last).ip() });
        strangers.on_turned_away(address(1), at(0));
        strangers.on_turned_away(address(2), at(0));
        assert_eq!(strangers.due(at(0)), None);
        assert_eq!(strangers.due(at(1)), told(2, 2));
        strangers.on_turned_away(address(3), at(2));
        assert_eq!(strangers.due(at(60)), None);
        strangers.on_turned_away(address(4), at(60));
        assert_eq!(strangers.tell_at(), Some(at(61)));
        assert_eq!(strangers.due(at(61)), told(2, 4));
        assert_eq!((strangers.tell_at(), strangers.rest()), (None, None));
        strangers.on_turned_away(address(5), at(62));
        assert_eq!(strangers.rest(), told(1, 5));
    }
    #[test]
    fn a_few_are_no_crowd() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut strangers = Strangers::default();
        for second in 0..60 {
            strangers.on_turned_away(SocketAddr::from(([10, 0, 0, 1], 1)), at(second));
            assert!(!strangers.are_a_crowd(at(second)));
        }
        for _ in 0..CROWD {
            strangers.on_turned_away(SocketAddr::from(([10, 0, 0, 1], 1)), at(60));
        }
        assert!(strangers.are_a_crowd(at(69)) && !strangers.are_a_crowd(at(70)));
    }
}
