//! What ranks are told to measure, and what they tell of it: one line of JSON each.

use super::line::{Line, Suite};
use super::pinning::Pinning;
use serde::{Deserialize, Serialize};

/// What the ranks of a job are to measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) suite: Suite,
    pub(crate) lines: Vec<Line>,
    pub(crate) rounds: u32,
    pub(crate) pinning: Pinning,
}

/// What rank 0 says while and after it measures.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    Setup(Setup),
    /// How much is done, from 0 to 1.
    Progress(f64),
    Reading(Reading),
}

/// How the ranks of a job share memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) fault_engine: String,
    /// Whether what rank 0 and rank 1 say to each other is encrypted.
    pub(crate) is_encrypted: bool,
}

/// What was measured of one line, in its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) line: Line,
    /// The median.
    pub(crate) value: f64,
    pub(crate) p99: Option<f64>,
    /// The median of what it is compared with, from the same job and the same rounds.
    pub(crate) reference: Option<f64>,
    /// The median of the round trips between which it was measured, in microseconds.
    pub(crate) round_trip: Option<f64>,
    /// Messages that all ranks together sent for one operation.
    pub(crate) messages: Option<Count>,
    /// Bytes of them.
    pub(crate) bytes: Option<Count>,
}

/// How many it were, counted several times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) least: f64,
    pub(crate) mean: f64,
    pub(crate) most: f64,
}

impl Reading {
    pub(crate) fn new(line: Line, value: f64) -> Self {
        let (p99, reference, round_trip) = (None, None, None);
        Self { line, value, p99, reference, round_trip, messages: None, bytes: None }
    }

    /// The median and 99th percentile of these times; `None` if there are none.
    pub(crate) fn of(line: Line, times: &mut [f64]) -> Option<Self> {
        let p99 = quantile(times, 99);
        Some(Self { p99, ..Self::new(line, quantile(times, 50)?) })
    }

    /// How often the value is what it is compared with.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.reference.filter(|reference| *reference > 0.0).map(|reference| self.value / reference)
    }

    /// One reading of several of the same line: medians of the figures, and what all counted.
    pub(crate) fn median(readings: &[Self]) -> Option<Self> {
        let first = readings.first()?;
        let middle = |figure: fn(&Self) -> Option<f64>| {
            let mut figures: Vec<f64> = readings.iter().filter_map(figure).collect();
            quantile(&mut figures, 50)
        };
        let counts = |count: fn(&Self) -> Option<Count>| {
            readings.iter().filter_map(count).reduce(Count::with)
        };
        Some(Self {
            line: first.line,
            value: middle(|it| Some(it.value))?,
            p99: middle(|it| it.p99),
            reference: middle(|it| it.reference),
            round_trip: middle(|it| it.round_trip),
            messages: counts(|it| it.messages),
            bytes: counts(|it| it.bytes),
        })
    }
}

impl Count {
    /// `None` if nothing was counted.
    pub(crate) fn of(counts: &[f64]) -> Option<Self> {
        let least = counts.iter().copied().reduce(f64::min)?;
        let most = counts.iter().copied().reduce(f64::max)?;
        Some(Self { least, mean: counts.iter().sum::<f64>() / counts.len() as f64, most })
    }

    fn with(self, other: Self) -> Self {
        let mean = f64::midpoint(self.mean, other.mean);
        Self { least: self.least.min(other.least), mean, most: self.most.max(other.most) }
    }
}

/// Sorts the figures; `None` if there are none.
pub(crate) fn quantile(figures: &mut [f64], percent: usize) -> Option<f64> {
    figures.sort_unstable_by(f64::total_cmp);
    let last = figures.len().checked_sub(1)?;
    Some(figures[last * percent / 100])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_figures_that_were_there() {
        let mut figures: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut figures, 50), Some(50.0));
        assert_eq!(quantile(&mut figures, 99), Some(99.0));
        assert_eq!(quantile(&mut [7.0], 99), Some(7.0));
        assert_eq!(quantile(&mut [], 50), None);
    }

    #[test]
    fn what_ranks_say_is_understood() {
        let reading = Reading::of(Line::Upgrade1, &mut [1.0, 2.0, 3.0]).unwrap();
        let text = serde_json::to_string(&Word::Reading(reading.clone())).unwrap();
        let Word::Reading(heard) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert_eq!(heard, reading);
        assert_eq!(Reading::median(&[heard.clone(), heard.clone()]), Some(heard));
    }
}
