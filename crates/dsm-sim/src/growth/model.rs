use dsm_core::wire::HEADER_BYTES;
use std::fmt;
use std::str::FromStr;

/// What things cost, in nanoseconds if nothing else is said.
///
/// Each rank has one processor for its runtime, which does one thing at a time, and one link to a switch that
/// never blocks; both directions of the link have the bandwidth. What the program itself does, what the
/// engine computes, and losses cost nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// From the last bit out of one rank to the last bit in at another, when nothing is in the way.
    pub latency: u64,
    /// Of a link, in Mbit/s.
    pub bandwidth_mbit: u64,
    /// Of a processor, for each message it sends and for each it receives: the system call, the wake-up.
    pub overhead: u64,
    /// From a thread that touches a page to its runtime, and back when the page is there.
    pub trap: u64,
    /// Of a processor, for each page installed or protected.
    pub map: u64,
    /// The minimum time for which a granted page stays.
    pub hold: u64,
}

/// Why a model cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelError {
    word: String,
}

impl Model {
    /// Ranks on one machine: a round trip of 14 µs, as measured on the machines that the promises are about.
    pub const LOOPBACK: Self = Self {
        latency: 1_600,
        bandwidth_mbit: 40_000,
        overhead: 2_500,
        trap: 4_000,
        map: 2_000,
        hold: 10_000,
    };

    /// 10 Gbit/s and 50 µs one way.
    pub const NETWORK: Self = Self { latency: 50_000, bandwidth_mbit: 10_000, ..Self::LOOPBACK };

    /// The unit that operations are compared with: a request of a header, answered by a page.
    #[must_use]
    pub fn round_trip(&self) -> u64 {
        let ends = 2 * (2 * self.overhead + self.latency);
        ends + self.transfer(HEADER_BYTES as u64) + self.transfer(HEADER_BYTES as u64 + PAGE_BYTES)
    }

    /// How long so many bytes are on a link.
    #[must_use]
    pub fn transfer(&self, bytes: u64) -> u64 {
        bytes * 8_000 / self.bandwidth_mbit
    }

    /// What users call it, if it is one of those that have a name.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        let named = [("loopback", Self::LOOPBACK), ("network", Self::NETWORK)];
        named.into_iter().find(|(_, model)| model == self).map(|(name, _)| name)
    }
}

/// Reads `loopback`, `network`, or what differs from the latter: `latency=20,bandwidth=25,overhead=1.5`, times
/// in µs and the bandwidth in Gbit/s.
impl FromStr for Model {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        match text {
            "loopback" => return Ok(Self::LOOPBACK),
            "network" => return Ok(Self::NETWORK),
            _ => {}
        }
        let mut model = Self::NETWORK;
        for word in text.split(',') {
            let error = || ModelError { word: word.to_owned() };
            let (name, value) = word.split_once('=').ok_or_else(error)?;
            let thousandths = thousandths(value).ok_or_else(error)?;
            let field = match name {
                "latency" => &mut model.latency,
                "bandwidth" if thousandths > 0 => &mut model.bandwidth_mbit,
                "overhead" => &mut model.overhead,
                "trap" => &mut model.trap,
                "map" => &mut model.map,
                "hold" => &mut model.hold,
                _ => return Err(error()),
            };
            *field = thousandths;
        }
        Ok(model)
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name() {
            write!(f, "{name}: ")?;
        }
        let us = |ns: u64| ns as f64 / 1_000.0;
        write!(
            f,
            "latency {} µs, {} Gbit/s, {} µs a message at each end, {} µs a trap, {} µs a mapping, {} µs a hold; \
             R = {:.1} µs",
            us(self.latency),
            us(self.bandwidth_mbit),
            us(self.overhead),
            us(self.trap),
            us(self.map),
            us(self.hold),
            us(self.round_trip()),
        )
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = "loopback, network, or latency=, bandwidth=, overhead=, trap=, map=, hold= with \
                        a number, times in µs and bandwidth in Gbit/s, separated by commas";
        write!(f, "cannot read {:?} as a part of a model: expected {expected}", self.word)
    }
}

impl std::error::Error for ModelError {}

/// A number with up to three digits behind its point, times 1,000; at most a million.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 6 || rest.len() > 3 || !digits(whole) || !digits(rest) {
        return None;
    }
    format!("{whole}{rest:0<3}").parse().ok()
}

/// Bytes of a page.
pub(super) const PAGE_BYTES: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trips_are_those_of_the_promises() {
        assert_eq!(Model::LOOPBACK.round_trip(), 14_035);
        assert_eq!(Model::NETWORK.round_trip(), 113_340);
    }

    #[test]
    fn a_model_is_read_from_what_differs() {
        let model: Model = "latency=20,bandwidth=25,overhead=1.5".parse().unwrap();
        let expected =
            Model { latency: 20_000, bandwidth_mbit: 25_000, overhead: 1_500, ..Model::NETWORK };
        assert_eq!(model, expected);
        assert_eq!("loopback".parse(), Ok(Model::LOOPBACK));
        for wrong in
            ["", "latency", "latency=", "latency=x", "bandwidth=0", "speed=1", "latency=-1"]
        {
            assert!(wrong.parse::<Model>().is_err(), "{wrong}");
        }
    }
}
