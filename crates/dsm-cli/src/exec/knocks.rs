use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections to dsmexec that were turned away, to be told of now and then.
///
/// Invariant: `tell_at` is there when `last` is.
#[derive(Debug, Default)]
pub(crate) struct Knocks {
    count: u64,
    /// From where, and what was wrong with what it said, if it said something.
    last: Option<(SocketAddr, Option<String>)>,
    tell_at: Option<Instant>,
    told_at: Option<Instant>,
}

impl Knocks {
    pub(crate) fn on_turned_away(&mut self, from: SocketAddr, said: Option<String>, now: Instant) {
        self.count += 1;
        self.last = Some((from, said));
        let earliest = now + GATHER;
        let due = self.told_at.map_or(earliest, |told| earliest.max(told + PAUSE));
        self.tell_at.get_or_insert(due);
    }

    /// When [`due`](Self::due) has something to tell.
    pub(crate) fn tell_at(&self) -> Option<Instant> {
        self.tell_at
    }

    pub(crate) fn due(&mut self, now: Instant) -> Option<String> {
        self.tell_at.filter(|at| *at <= now)?;
        self.told_at = Some(now);
        self.rest()
    }

    /// What is left to tell, whether it is time or not.
    pub(crate) fn rest(&mut self) -> Option<String> {
        let (from, said) = self.last.take()?;
        self.tell_at = None;
        let count = std::mem::take(&mut self.count);
        let connections = if count == 1 { "connection" } else { "connections" };
        let said = said.map_or("nothing complete".to_owned(), |said| said);
        let from = from.ip();
        Some(format!("turned away {count} {connections}, last from {from}, which said {said}"))
    }
}

/// A scan takes a moment: one line for it, not two.
const GATHER: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_turned_away_are_told_once_a_minute() {
        let mut knocks = Knocks::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let from = |last: u8| SocketAddr::from(([10, 0, 0, last], 1));
        knocks.on_turned_away(from(1), Some("rank 7 in a job of 2 ranks".into()), at(0));
        knocks.on_turned_away(from(2), None, at(0));
        assert_eq!((knocks.due(at(0)), knocks.tell_at()), (None, Some(at(1))));
        let two = "turned away 2 connections, last from 10.0.0.2, which said nothing complete";
        assert_eq!(knocks.due(at(1)).as_deref(), Some(two));
        knocks.on_turned_away(from(3), Some("x".into()), at(2));
        assert_eq!((knocks.due(at(60)), knocks.tell_at()), (None, Some(at(61))));
        let one = "turned away 1 connection, last from 10.0.0.3, which said x";
        assert_eq!(knocks.due(at(61)).as_deref(), Some(one));
        assert_eq!((knocks.rest(), knocks.tell_at()), (None, None));
    }
}
