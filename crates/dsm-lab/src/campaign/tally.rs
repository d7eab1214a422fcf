use super::conduct::Outcome;
use super::kind::Kind;
use super::trial::Trial;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// The figures of a campaign.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    runs: usize,
    orphans: usize,
    violated: usize,
    kinds: BTreeMap<Kind, Row>,
}

#[derive(Debug, Default)]
struct Row {
    faults: usize,
    completed: usize,
    codes: BTreeSet<i32>,
    slowest: Option<Duration>,
}

impl Tally {
    pub(crate) fn count(&mut self, trial: &Trial, outcome: &Outcome) {
        self.runs += 1;
        self.orphans += outcome.orphans;
        self.violated += usize::from(!outcome.violations.is_empty());
        if !outcome.is_injured {
            return;
        }
        let row = self.kinds.entry(trial.kind).or_default();
        row.faults += 1;
        row.completed += usize::from(outcome.code == 0);
        row.codes.insert(outcome.code);
        row.slowest = row.slowest.max(outcome.told_after);
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs
    }

    pub(crate) fn faults(&self) -> usize {
        self.kinds.values().map(|row| row.faults).sum()
    }

    pub(crate) fn violated(&self) -> usize {
        self.violated
    }

    /// One line of it all.
    pub(crate) fn summary(&self) -> String {
        let slowest = self.kinds.values().filter_map(|row| row.slowest).max().unwrap_or_default();
        format!(
            "{} runs, {} faults of {} kinds, slowest detection {:.1} s, orphans {}",
            self.runs,
            self.faults(),
            self.kinds.len(),
            slowest.as_secs_f64(),
            self.orphans
        )
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:22} faults  completed  ended  slowest detection  exit codes", "")?;
        for (kind, row) in &self.kinds {
            let slowest = row
                .slowest
                .map_or_else(|| "-".to_owned(), |it| format!("{:.2} s", it.as_secs_f64()));
            let codes: Vec<String> = row.codes.iter().map(ToString::to_string).collect();
            writeln!(
                f,
                "{:22} {:6}  {:9}  {:5}  {slowest:>17}  {}",
                kind.name(),
                row.faults,
                row.completed,
                row.faults - row.completed,
                codes.join(" ")
            )?;
        }
        Ok(())
    }
}
