use super::target::Target::{self, AtLeast, AtMost, Nothing, Quiet, Times};
use serde::{Deserialize, Serialize};

/// One thing that is measured: a line of the table, and the name by which ranks and people speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    RoundTrip,
    ReadFault,
    ReadFaultThreeParties,
    WriteFault,
    #[serde(rename = "upgrade_0")]
    Upgrade0,
    #[serde(rename = "upgrade_1")]
    Upgrade1,
    #[serde(rename = "upgrade_2")]
    Upgrade2,
    #[serde(rename = "upgrade_3")]
    Upgrade3,
    Lock,
    LockCached,
    LockWithPage,
    HandOver,
    FetchAdd,
    #[serde(rename = "barrier_2")]
    Barrier2,
    #[serde(rename = "barrier_4")]
    Barrier4,
    #[serde(rename = "barrier_8")]
    Barrier8,
    ReadFaultIdle,
    ReadFaultBusyButOne,
    ReadFaultBusy,
    Tcp,
    Scan,
    ScanWithoutPrefetch,
    Random,
    RandomWithoutPrefetch,
    OneRankJacobi,
    OneRankMatmul,
    #[serde(rename = "start_1m")]
    Start1M,
    #[serde(rename = "start_1g")]
    Start1G,
    #[serde(rename = "start_64g")]
    Start64G,
    #[serde(rename = "start_1t")]
    Start1T,
    #[serde(rename = "memory_1m")]
    Memory1M,
    #[serde(rename = "memory_1g")]
    Memory1G,
    #[serde(rename = "memory_64g")]
    Memory64G,
    #[serde(rename = "memory_1t")]
    Memory1T,
}

/// What is measured together, by one kind of job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Suite {
    /// Operations in turns with round trips.
    Latency,
    /// Read faults while the owner's program computes, in turns with such while it does not.
    Busy,
    /// Scans in turns with a plain TCP stream.
    Streams,
    /// A program with its memory in the region, in turns with the same without.
    OneRank,
    /// Regions of several sizes that nobody touches.
    Untouched,
}

/// With what a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    None,
    RoundTrip,
    Idle,
    Tcp,
    WithoutPrefetch,
    WithoutDsm,
    OneMebibyte,
}

/// In what a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Us,
    Ms,
    MBPerS,
    KiB,
}

/// What there is to know of a line before it is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) line: Line,
    /// Its name in `--only` and in JSON.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) suite: Suite,
    pub(crate) ranks: u16,
    pub(crate) unit: Unit,
    pub(crate) reference: Reference,
    pub(crate) target: Target,
}

impl Line {
    pub(crate) fn about(self) -> &'static About {
        LINES.iter().find(|about| about.line == self).expect("every line is in the list")
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        LINES.iter().find(|about| about.name == name).map(|about| about.line)
    }
}

impl Reference {
    /// What stands behind the ratio.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::RoundTrip => "R",
            Self::Idle => "idle",
            Self::Tcp => "of TCP",
            Self::WithoutPrefetch => "of off",
            Self::WithoutDsm => "of plain",
            Self::OneMebibyte => "of 1 MiB",
        }
    }
}

impl Unit {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Ms => "ms",
            Self::MBPerS => "MB/s",
            Self::KiB => "KiB",
        }
    }
}

/// A line that is compared with *R*.
const fn latency(
    line: Line,
    name: &'static str,
    title: &'static str,
    ranks: u16,
    target: Target,
) -> About {
    let (suite, unit, reference) = (Suite::Latency, Unit::Us, Reference::RoundTrip);
    About { line, name, title, suite, ranks, unit, reference, target }
}

const fn other(
    (line, name, title): (Line, &'static str, &'static str),
    (suite, ranks): (Suite, u16),
    unit: Unit,
    reference: Reference,
    target: Target,
) -> About {
    About { line, name, title, suite, ranks, unit, reference, target }
}

const fn start(line: Line, name: &'static str, title: &'static str, target: Target) -> About {
    other((line, name, title), (Suite::Untouched, 2), Unit::Ms, Reference::OneMebibyte, target)
}

const fn memory(line: Line, name: &'static str, title: &'static str) -> About {
    let of = (Suite::Untouched, 2);
    other((line, name, title), of, Unit::KiB, Reference::OneMebibyte, AtMost(MEMORY_KIB))
}

const fn times(p50: f64) -> Target {
    Times { p50, p99: None }
}

/// All lines, in the order of the table. The targets are those of the project.
pub(crate) const LINES: &[About] = &[
    other(
        (Line::RoundTrip, "round_trip", "round trip R"),
        (Suite::Latency, 0),
        Unit::Us,
        Reference::None,
        Nothing,
    ),
    latency(
        Line::ReadFault,
        "read_fault",
        "read fault, owner is home",
        2,
        Times { p50: 1.6, p99: Some(3.0) },
    ),
    latency(
        Line::ReadFaultThreeParties,
        "read_fault_three_parties",
        "read fault, three parties",
        3,
        times(2.3),
    ),
    latency(Line::WriteFault, "write_fault", "write fault, unshared page", 2, times(1.7)),
    latency(Line::Upgrade0, "upgrade_0", "write to what is here alone", 2, Quiet),
    latency(Line::Upgrade1, "upgrade_1", "write upgrade, 1 other sharer", 4, times(2.6)),
    latency(Line::Upgrade2, "upgrade_2", "write upgrade, 2 other sharers", 4, times(2.6)),
    latency(Line::Upgrade3, "upgrade_3", "write upgrade, 3 other sharers", 4, times(2.6)),
    other(
        (Line::ReadFaultIdle, "read_fault_idle", "read fault, owner idle"),
        (Suite::Busy, 2),
        Unit::Us,
        Reference::RoundTrip,
        Nothing,
    ),
    other(
        (Line::ReadFaultBusyButOne, "read_fault_busy_but_one", "  owner computes, one CPU left"),
        (Suite::Busy, 2),
        Unit::Us,
        Reference::Idle,
        times(1.3),
    ),
    other(
        (Line::ReadFaultBusy, "read_fault_busy", "  owner computes on every CPU"),
        (Suite::Busy, 2),
        Unit::Us,
        Reference::Idle,
        Nothing,
    ),
    other(
        (Line::Tcp, "tcp", "plain TCP stream"),
        (Suite::Streams, 2),
        Unit::MBPerS,
        Reference::None,
        Nothing,
    ),
    other(
        (Line::Scan, "scan", "sequential scan"),
        (Suite::Streams, 2),
        Unit::MBPerS,
        Reference::Tcp,
        AtLeast(0.6),
    ),
    other(
        (Line::ScanWithoutPrefetch, "scan_without_prefetch", "  without prefetching"),
        (Suite::Streams, 2),
        Unit::MBPerS,
        Reference::Tcp,
        Nothing,
    ),
    other(
        (Line::Random, "random", "access at random"),
        (Suite::Streams, 2),
        Unit::Us,
        Reference::WithoutPrefetch,
        times(1.03),
    ),
    other(
        (Line::RandomWithoutPrefetch, "random_without_prefetch", "  without prefetching"),
        (Suite::Streams, 2),
        Unit::Us,
        Reference::RoundTrip,
        Nothing,
    ),
    latency(Line::Lock, "lock", "lock at the other rank", 2, times(1.8)),
    latency(
        Line::LockCached,
        "lock_cached",
        "lock and unlock what is here",
        2,
        Target::QuietWithin(0.3),
    ),
    latency(Line::LockWithPage, "lock_with_page", "free lock and its page", 2, times(1.8)),
    latency(Line::HandOver, "hand_over", "hand-over, unlock to page", 2, times(1.8)),
    latency(Line::FetchAdd, "fetch_add", "fetch_add at the owner", 2, Nothing),
    latency(Line::Barrier2, "barrier_2", "barrier, 2 ranks", 2, times(1.5)),
    latency(Line::Barrier4, "barrier_4", "barrier, 4 ranks", 4, times(3.0)),
    latency(Line::Barrier8, "barrier_8", "barrier, 8 ranks", 8, times(4.5)),
    other(
        (Line::OneRankJacobi, "one_rank_jacobi", "one rank, jacobi"),
        (Suite::OneRank, 1),
        Unit::Ms,
        Reference::WithoutDsm,
        times(1.02),
    ),
    other(
        (Line::OneRankMatmul, "one_rank_matmul", "one rank, matrix product"),
        (Suite::OneRank, 1),
        Unit::Ms,
        Reference::WithoutDsm,
        times(1.02),
    ),
    start(Line::Start1M, "start_1m", "start with 1 MiB, and end", Nothing),
    start(Line::Start1G, "start_1g", "  with 1 GiB", times(1.2)),
    start(Line::Start64G, "start_64g", "  with 64 GiB", times(1.2)),
    start(Line::Start1T, "start_1t", "  with 1 TiB", times(1.2)),
    memory(Line::Memory1M, "memory_1m", "memory of a rank, 1 MiB"),
    memory(Line::Memory1G, "memory_1g", "  with 1 GiB"),
    memory(Line::Memory64G, "memory_64g", "  with 64 GiB"),
    memory(Line::Memory1T, "memory_1t", "  with 1 TiB"),
];

const MEMORY_KIB: f64 = 16.0 * 1024.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_ranks_use_and_each_is_there_once() {
        for about in LINES {
            assert_eq!(serde_json::to_value(about.line).unwrap(), about.name);
            assert_eq!(Line::named(about.name), Some(about.line));
        }
        assert_eq!(Line::named("no such line"), None);
    }
}
