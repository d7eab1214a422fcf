use super::job::Job;
use super::line::{LINES, Line, Suite, Unit};
use super::pinning::Pinning;
use super::plan::without_prefetch;
use super::reading::Reading;
use serde_json::{Value, json};
use std::time::Duration;

/// What was measured, and of what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// What is to be known beside the figures, line by line.
    pub(crate) about: Vec<String>,
    /// In the order of the table.
    pub(crate) rows: Vec<Row>,
    pub(crate) left_out: Vec<String>,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) reading: Reading,
    pub(crate) ranks: u16,
    pub(crate) pinning: Pinning,
}

/// Readings as they come from jobs.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    rows: Vec<Row>,
}

impl Collected {
    /// Takes what a job has measured; `took` is how long all of it was.
    pub(crate) fn take(&mut self, job: &Job, readings: Vec<Reading>, took: Duration) {
        let (ranks, pinning) = (job.ranks, job.spec.pinning);
        for mut reading in readings {
            if job.setting.is_some() {
                reading.line = without_prefetch(reading.line);
            }
            if job.spec.suite == Suite::Untouched && reading.line.about().unit == Unit::Ms {
                reading.value = took.as_secs_f64() * 1000.0;
            }
            self.rows.push(Row { reading, ranks, pinning });
        }
    }

    /// One row for each line, ranks and pinning.
    pub(crate) fn rows(self) -> Vec<Row> {
        let mut rows = Vec::new();
        for pinning in PINNINGS {
            for about in LINES {
                for ranks in 1..=MOST_RANKS {
                    let same = |row: &&Row| {
                        (row.reading.line, row.ranks, row.pinning) == (about.line, ranks, pinning)
                    };
                    let readings = self.rows.iter().filter(same).map(|row| row.reading.clone());
                    let reading = Reading::median(&readings.collect::<Vec<_>>());
                    rows.extend(reading.map(|reading| Row { reading, ranks, pinning }));
                }
            }
        }
        refer(&mut rows);
        rows
    }
}

impl Outcome {
    /// Those that were used, in the order of the table.
    pub(crate) fn pinnings(&self) -> Vec<Pinning> {
        let used = |pinning: &Pinning| self.rows.iter().any(|row| row.pinning == *pinning);
        PINNINGS.into_iter().filter(used).collect()
    }

    /// All of it for programs. The fields are documented in docs/performance.md.
    pub(crate) fn json(&self) -> Value {
        let lines: Vec<Value> = self.rows.iter().map(Row::json).collect();
        json!({ "format": FORMAT, "about": self.about, "lines": lines, "left_out": self.left_out })
    }
}

impl Row {
    pub(crate) fn title(&self) -> String {
        let title = self.reading.line.about().title;
        match (self.reading.line, self.ranks) {
            (Line::RoundTrip, 3..) => format!("{title}, {} ranks", self.ranks),
            _ => title.to_owned(),
        }
    }

    pub(crate) fn is_met(&self) -> Option<bool> {
        self.reading.line.about().target.is_met(&self.reading)
    }

    fn json(&self) -> Value {
        let (reading, about) = (&self.reading, self.reading.line.about());
        let unit = about.unit.as_str();
        let to_r = (about.unit == Unit::Us).then_some(reading.round_trip).flatten();
        let target = about.target.describe(unit, about.reference);
        json!({
            "name": about.name,
            "ranks": self.ranks,
            "pinning": self.pinning.as_str(),
            "value": reading.value,
            "unit": unit,
            "p99": reading.p99,
            "ratio_to_r": to_r.map(|r| reading.value / r),
            "reference": reading.reference,
            "ratio": reading.ratio(),
            "target": if target.is_empty() { Value::Null } else { target.into() },
            "ok": self.is_met(),
            "messages": reading.messages.map(|count| count.mean),
            "bytes": reading.bytes.map(|count| count.mean),
        })
    }
}

/// Fills in references that another job has measured.
fn refer(rows: &mut [Row]) {
    let reading = |line| rows.iter().find(|row| row.reading.line == line).map(|row| &row.reading);
    let of = |line| reading(line).map(|reading| reading.value);
    let (start, memory) = (of(Line::Start1M), of(Line::Memory1M));
    let (off, tcp) = (of(Line::RandomWithoutPrefetch), of(Line::Tcp));
    for Row { reading, .. } in rows {
        reading.reference = match reading.line {
            Line::Start1M | Line::Memory1M => None,
            Line::Start1G | Line::Start64G | Line::Start1T => start,
            Line::Memory1G | Line::Memory64G | Line::Memory1T => memory,
            Line::Random => off,
            Line::Scan | Line::ScanWithoutPrefetch => tcp,
            _ => continue,
        };
    }
}

const PINNINGS: [Pinning; 3] = [Pinning::Free, Pinning::Each, Pinning::One];
const MOST_RANKS: u16 = 8;
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::super::plan::NO_PREFETCH;
    use super::super::reading::Spec;
    use super::*;

    fn job(suite: Suite, setting: Option<&'static str>) -> Job {
        let spec = Spec { suite, lines: Vec::new(), rounds: 1, pinning: Pinning::Free };
        Job { spec, ranks: 2, size: "1M", setting }
    }

    #[test]
    fn jobs_that_measure_the_same_give_one_row_of_medians() {
        let mut collected = Collected::default();
        for value in [30.0, 10.0, 20.0] {
            let readings = vec![
                Reading::new(Line::Random, value),
                Reading::new(Line::RandomWithoutPrefetch, value / 2.0),
                Reading::new(Line::Scan, value * 10.0),
            ];
            collected.take(&job(Suite::Streams, None), readings, Duration::ZERO);
            let readings = vec![Reading::new(Line::Scan, value)];
            collected.take(&job(Suite::Streams, Some(NO_PREFETCH)), readings, Duration::ZERO);
        }
        let rows = collected.rows();
        let found: Vec<_> = rows.iter().map(|row| (row.reading.line, row.reading.value)).collect();
        let expected = [
            (Line::Scan, 200.0),
            (Line::ScanWithoutPrefetch, 20.0),
            (Line::Random, 20.0),
            (Line::RandomWithoutPrefetch, 10.0),
        ];
        assert_eq!(found, expected);
        assert_eq!(rows[2].reading.ratio(), Some(2.0));
        assert_eq!(rows[2].is_met(), Some(false));
        assert_eq!(rows[3].is_met(), None);
    }

    #[test]
    fn a_start_is_as_long_as_its_job() {
        let mut collected = Collected::default();
        for (line, ms) in [(Line::Start1M, 20), (Line::Start1T, 22)] {
            let readings = vec![Reading::new(line, 0.0)];
            collected.take(&job(Suite::Untouched, None), readings, Duration::from_millis(ms));
        }
        let rows = collected.rows();
        assert_eq!(rows[1].reading.reference, Some(20.0));
        assert_eq!(rows[1].is_met(), Some(true));
        let json = rows[1].json();
        assert_eq!((&json["value"], &json["unit"]), (&22.0.into(), &"ms".into()));
        assert_eq!(json["target"], "<= 1.2 of 1 MiB");
    }
}
