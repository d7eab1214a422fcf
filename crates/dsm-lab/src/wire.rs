use crate::conditions::{Conditions, Corruption, RATE_QUEUE_BYTES, Resets};
use crate::frame;
use crate::lab::SSH_PORT;
use crate::rng::Rng;
use std::time::Duration;

/// One direction of the line between two hosts: which frames arrive, when, and how. Time is an argument, and the same
/// seed, conditions, frames and times give the same arrivals.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) conditions: Conditions,
    pub(crate) counts: Counts,
    rng: Rng,
    dark_until: Duration,
    /// When the line's rate allows the next frame.
    free_at: Duration,
    /// When the last frame that was not held back arrives; those after it may not overtake it.
    last_due: Duration,
    on_its_way: usize,
}

/// What became of the frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Given to the receiving host.
    pub delivered: u64,
    /// Lost by chance or by a cut.
    pub lost: u64,
    /// Delivered once more.
    pub duplicated: u64,
    /// Held back so that others overtook them.
    pub reordered: u64,
    /// With a bit turned.
    pub corrupted: u64,
    /// Made a reset of their connection.
    pub reset: u64,
    /// Dropped because too much waited, or because the receiving host took none.
    pub overflowed: u64,
}

/// A frame that will arrive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) due: Duration,
    pub(crate) bytes: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            conditions: Conditions::default(),
            counts: Counts::default(),
            rng: Rng::new(seed),
            dark_until: Duration::ZERO,
            free_at: Duration::ZERO,
            last_due: Duration::ZERO,
            on_its_way: 0,
        }
    }

    pub(crate) fn reseed(&mut self, seed: u64) {
        self.rng = Rng::new(seed);
    }

    /// Lets nothing arrive until then.
    pub(crate) fn darken(&mut self, until: Duration) {
        self.dark_until = until;
    }

    /// Takes a frame in. It arrives not at all, once, or twice.
    pub(crate) fn carry(&mut self, frame: &[u8], now: Duration) -> [Option<Arrival>; 2] {
        if self.is_dark(now) || self.happens(self.conditions.loss_ppm) {
            self.counts.lost += 1;
            return [None, None];
        }
        let first = self.carry_once(frame, now);
        if first.is_none() || !self.happens(self.conditions.duplicate_ppm) {
            return [first, None];
        }
        let second = self.carry_once(frame, now);
        self.counts.duplicated += u64::from(second.is_some());
        [first, second]
    }

    fn carry_once(&mut self, frame: &[u8], now: Duration) -> Option<Arrival> {
        let Some(sent) = self.send_at_rate(frame.len(), now) else {
            self.counts.overflowed += 1;
            return None;
        };
        let mut due = sent + self.conditions.delay + self.jitter();
        if self.happens(self.conditions.reorder_ppm) {
            due += self.conditions.reorder_by;
            self.counts.reordered += 1;
        } else {
            due = due.max(self.last_due);
            self.last_due = due;
        }
        let mut bytes = frame.to_vec();
        if self.happens(self.conditions.corrupt_ppm) {
            let spoilt = match self.conditions.corruption {
                Corruption::Caught => frame::spoil(&mut bytes, &mut self.rng),
                Corruption::Delivered => frame::spoil_unnoticed(&mut bytes, &mut self.rng),
            };
            self.counts.corrupted += u64::from(spoilt);
        }
        self.counts.reset += u64::from(self.reset(&mut bytes));
        self.on_its_way += 1;
        Some(Arrival { due, bytes })
    }

    fn reset(&self, frame: &mut Vec<u8>) -> bool {
        let of_ssh = |ports: [u16; 2]| ports.contains(&SSH_PORT);
        match self.conditions.resets {
            Resets::None => false,
            Resets::Ranks => frame::make_reset(frame, |ports| !of_ssh(ports)),
            Resets::Ssh => frame::make_reset(frame, of_ssh),
        }
    }

    /// When the last bit of a frame has left; `None` if too much waits before it.
    fn send_at_rate(&mut self, bytes: usize, now: Duration) -> Option<Duration> {
        if self.on_its_way >= MAX_ON_THEIR_WAY {
            return None;
        }
        let Some(rate) = self.conditions.bits_per_second else { return Some(now) };
        let begin = self.free_at.max(now);
        let takes = |bytes: u64| Duration::from_nanos(bytes * 8 * 1_000_000_000 / rate.max(1));
        if begin - now > takes(RATE_QUEUE_BYTES) {
            return None;
        }
        self.free_at = begin + takes(bytes as u64);
        Some(self.free_at)
    }

    /// At the time an arrival is due: whether it still arrives.
    pub(crate) fn arrives(&mut self, now: Duration) -> bool {
        self.on_its_way -= 1;
        let is_lost = self.is_dark(now);
        self.counts.lost += u64::from(is_lost);
        !is_lost
    }

    fn is_dark(&self, now: Duration) -> bool {
        self.conditions.is_cut || now < self.dark_until
    }

    fn jitter(&mut self) -> Duration {
        let most = u64::try_from(self.conditions.jitter.as_nanos()).unwrap_or(u64::MAX - 1);
        if most == 0 { Duration::ZERO } else { Duration::from_nanos(self.rng.below(most + 1)) }
    }

    fn happens(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.rng.below(1_000_000) < u64::from(ppm)
    }
}

/// 24 MB of full frames: 0.5 s at 400 Mbit/s.
const MAX_ON_THEIR_WAY: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_line() {
        let conditions = Conditions {
            delay: MS,
            jitter: 3 * MS,
            loss_ppm: 100_000,
            duplicate_ppm: 100_000,
            reorder_ppm: 100_000,
            reorder_by: 2 * MS,
            corrupt_ppm: 100_000,
            bits_per_second: Some(10_000_000),
            ..Conditions::default()
        };
        let run = |seed| arrivals(&mut wire(seed, conditions.clone()), 500);
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_perfect_line_delivers_at_once_and_in_order() {
        let mut line = wire(1, Conditions::default());
        let arrived = arrivals(&mut line, 100);
        assert!(arrived.iter().enumerate().all(|(n, (sent, a))| *sent == n && a.due == at(n)));
        assert_eq!(arrived.len(), 100);
        assert_eq!(line.counts, Counts::default(), "deliveries are counted by whoever delivers");
    }

    #[test]
    fn chances_are_what_they_should_be() {
        let conditions = Conditions {
            loss_ppm: 100_000,
            duplicate_ppm: 200_000,
            reorder_ppm: 50_000,
            reorder_by: 100 * MS,
            ..Conditions::default()
        };
        let mut line = wire(1, conditions);
        let arrived = arrivals(&mut line, 10_000);
        assert!((900..1_100).contains(&line.counts.lost), "{:?}", line.counts);
        assert!((1_650..1_950).contains(&line.counts.duplicated), "{:?}", line.counts);
        assert!((430..650).contains(&line.counts.reordered), "{:?}", line.counts);
        assert_eq!(arrived.len() as u64, 10_000 - line.counts.lost + line.counts.duplicated);
    }

    #[test]
    fn jitter_alone_keeps_the_order() {
        let mut line = wire(1, Conditions { jitter: 50 * MS, ..Conditions::default() });
        let arrived = arrivals(&mut line, 1_000);
        assert!(arrived.is_sorted_by_key(|(_, arrival)| arrival.due));
        assert!(arrived.iter().any(|(sent, arrival)| arrival.due > at(*sent) + 20 * MS));
    }

    #[test]
    fn a_rate_spaces_frames_and_drops_what_it_cannot_keep() {
        let rate = Conditions { bits_per_second: Some(8_000_000), ..Conditions::default() };
        let mut line = wire(1, rate);
        let due: Vec<Duration> = (0..1_000)
            .filter_map(|_| line.carry(&[0; 1_000], Duration::ZERO)[0].take())
            .map(|arrival| arrival.due)
            .collect();
        assert_eq!(due[..3], [MS, 2 * MS, 3 * MS]);
        assert_eq!(due.len(), 263, "256 KiB wait and one is being sent");
        assert_eq!(line.counts.overflowed, 1_000 - 263);
    }

    #[test]
    fn a_cut_takes_what_is_on_its_way_too() {
        let mut line = wire(1, Conditions { delay: 50 * MS, ..Conditions::default() });
        assert!(line.carry(b"frame", at(0))[0].is_some());
        line.darken(at(100));
        assert!(!line.arrives(at(50)));
        assert_eq!(line.carry(b"frame", at(99)), [None, None]);
        assert!(line.carry(b"frame", at(100))[0].is_some());
        assert!(line.arrives(at(150)));
    }

    fn wire(seed: u64, conditions: Conditions) -> Wire {
        Wire { conditions, ..Wire::new(seed) }
    }

    /// Sends one frame a millisecond; gives which frame each arrival is of.
    fn arrivals(line: &mut Wire, frames: usize) -> Vec<(usize, Arrival)> {
        let mut arrived = Vec::new();
        for n in 0..frames {
            for arrival in line.carry(&[0; 60], at(n)).into_iter().flatten() {
                line.on_its_way = 0;
                arrived.push((n, arrival));
            }
        }
        arrived
    }

    fn at(ms: usize) -> Duration {
        Duration::from_millis(ms as u64)
    }

    const MS: Duration = Duration::from_millis(1);
}
