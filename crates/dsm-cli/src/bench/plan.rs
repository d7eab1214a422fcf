//! Which jobs measure the lines that are wanted.

use super::job::Job;
use super::line::{LINES, Line, Suite};
use super::pinning::Pinning;
use super::reading::Spec;

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) lines: Vec<Line>,
    pub(crate) pinnings: Vec<Pinning>,
    pub(crate) rounds: u32,
    /// How many ranks there can be.
    pub(crate) ranks: u16,
    /// Processors for each rank to have one, if they all are on this machine.
    pub(crate) cpus: Option<usize>,
    /// Whether the runtime can be told not to prefetch.
    pub(crate) prefetches: bool,
}

/// The jobs, and what cannot be measured and why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) jobs: Vec<Job>,
    pub(crate) left_out: Vec<String>,
}

impl Plan {
    pub(crate) fn of(wanted: &Wanted) -> Self {
        let mut plan = Self::default();
        for ranks in RANKS {
            plan.latency(wanted, ranks);
        }
        let Wanted { rounds, .. } = *wanted;
        plan.single(wanted, Suite::Busy, rounds);
        plan.streams(wanted);
        plan.single(wanted, Suite::OneRank, (rounds / 10).max(5));
        plan.untouched(wanted);
        plan
    }

    fn latency(&mut self, wanted: &Wanted, ranks: u16) {
        let lines = of_suite(wanted, Suite::Latency, ranks);
        if lines.is_empty() || !self.has(wanted, ranks) {
            return;
        }
        for pinning in &wanted.pinnings {
            let cpus = wanted.cpus.filter(|cpus| *cpus < usize::from(ranks));
            if let (Pinning::Each, Some(cpus)) = (pinning, cpus) {
                let why = format!("{ranks} ranks on a processor each: there are {cpus} processors");
                self.left_out.push(why);
                continue;
            }
            let (lines, rounds, suite) = (lines.clone(), wanted.rounds, Suite::Latency);
            let spec = Spec { suite, lines, rounds, pinning: *pinning };
            self.jobs.push(Job { spec, ranks, size: SIZE, setting: None });
        }
    }

    fn single(&mut self, wanted: &Wanted, suite: Suite, rounds: u32) {
        let ranks = if suite == Suite::OneRank { 1 } else { 2 };
        let lines = of_suite(wanted, suite, ranks);
        if !lines.is_empty() && self.has(wanted, ranks) {
            let spec = Spec { suite, lines, rounds, pinning: Pinning::Free };
            self.jobs.push(Job { spec, ranks, size: SIZE, setting: None });
        }
    }

    /// With and without prefetching in turns, if it can be turned off.
    fn streams(&mut self, wanted: &Wanted) {
        let rounds = (wanted.rounds / 100).clamp(3, 10);
        let turns = (wanted.rounds / 300).clamp(1, 3);
        for _ in 0..turns {
            self.single(wanted, Suite::Streams, rounds);
            if !wanted.prefetches {
                continue;
            }
            let last = self.jobs.last().filter(|job| job.spec.suite == Suite::Streams).cloned();
            let Some(Job { mut spec, ranks, size, .. }) = last else { continue };
            // Accesses at random are so alike that both kinds take turns in one job.
            spec.lines.retain(|line| *line == Line::Scan || *line == Line::ScanWithoutPrefetch);
            if !spec.lines.is_empty() {
                self.jobs.push(Job { spec, ranks, size, setting: Some(NO_PREFETCH) });
            }
        }
    }

    fn untouched(&mut self, wanted: &Wanted) {
        if of_suite(wanted, Suite::Untouched, 2).is_empty() || !self.has(wanted, 2) {
            return;
        }
        for _ in 0..(wanted.rounds / 100).clamp(2, 9) {
            for (size, start, memory) in SIZES {
                let (suite, pinning) = (Suite::Untouched, Pinning::Free);
                // The others are compared with the smallest.
                let is_measured =
                    |line: &Line| start == Line::Start1M || wanted.lines.contains(line);
                let lines: Vec<Line> = [start, memory].into_iter().filter(is_measured).collect();
                if lines.is_empty() {
                    continue;
                }
                let spec = Spec { suite, lines, rounds: 1, pinning };
                self.jobs.push(Job { spec, ranks: 2, size, setting: None });
            }
        }
    }

    fn has(&mut self, wanted: &Wanted, ranks: u16) -> bool {
        let has = ranks <= wanted.ranks;
        if !has {
            let found = wanted.ranks;
            let why = format!("{ranks} ranks: the machine file has {found}");
            if !self.left_out.contains(&why) {
                self.left_out.push(why);
            }
        }
        has
    }
}

/// What a line is called that was measured without prefetching.
pub(crate) fn without_prefetch(line: Line) -> Line {
    match line {
        Line::Scan => Line::ScanWithoutPrefetch,
        line => line,
    }
}

fn of_suite(wanted: &Wanted, suite: Suite, ranks: u16) -> Vec<Line> {
    let of = LINES.iter().filter(|about| (about.suite, about.ranks) == (suite, ranks));
    of.map(|about| about.line).filter(|line| wanted.lines.contains(line)).collect()
}

const RANKS: [u16; 4] = [2, 3, 4, 8];
/// More than any ground needs; what is not touched costs nothing.
const SIZE: &str = "16G";
pub(crate) const NO_PREFETCH: &str = "DSM_PREFETCH=0";
const SIZES: [(&str, Line, Line); 4] = [
    ("1M", Line::Start1M, Line::Memory1M),
    ("1G", Line::Start1G, Line::Memory1G),
    ("64G", Line::Start64G, Line::Memory64G),
    ("1T", Line::Start1T, Line::Memory1T),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(lines: &[Line], pinnings: &[Pinning], ranks: u16) -> Plan {
        Plan::of(&Wanted {
            lines: lines.to_vec(),
            pinnings: pinnings.to_vec(),
            rounds: 1000,
            ranks,
            cpus: Some(2),
            prefetches: true,
        })
    }

    #[test]
    fn only_what_is_wanted_is_measured() {
        let plan = plan(&[Line::ReadFault, Line::Barrier8], &[Pinning::Each, Pinning::Free], 8);
        let jobs: Vec<_> = plan.jobs.iter().map(|job| (job.ranks, job.spec.pinning)).collect();
        assert_eq!(jobs, [(2, Pinning::Each), (2, Pinning::Free), (8, Pinning::Free)]);
        assert_eq!(plan.jobs[0].spec.lines, [Line::ReadFault]);
        assert_eq!(plan.left_out, ["8 ranks on a processor each: there are 2 processors"]);
    }

    #[test]
    fn what_needs_more_ranks_is_left_out_and_told() {
        let plan = plan(&[Line::Lock, Line::ReadFaultThreeParties], &[Pinning::Free], 2);
        assert_eq!(plan.jobs.len(), 1);
        assert_eq!(plan.left_out, ["3 ranks: the machine file has 2"]);
    }

    #[test]
    fn a_region_is_compared_with_the_smallest() {
        let plan = plan(&[Line::Start1T], &[Pinning::Free], 2);
        let first: Vec<_> = plan.jobs.iter().take(2).map(|job| &job.spec.lines[..]).collect();
        assert_eq!(first, [&[Line::Start1M, Line::Memory1M][..], &[Line::Start1T]]);
    }

    #[test]
    fn scans_with_and_without_prefetching_take_turns() {
        let plan = plan(&[Line::Scan], &[Pinning::Free], 2);
        let settings: Vec<_> = plan.jobs.iter().map(|job| job.setting).collect();
        assert_eq!(
            settings,
            [None, Some(NO_PREFETCH), None, Some(NO_PREFETCH), None, Some(NO_PREFETCH)]
        );
    }
}
