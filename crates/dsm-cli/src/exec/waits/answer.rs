//! The answers to one SIGUSR1, and how they are told.

use super::inquiry::Inquiry;
use super::{Stage, Waits, seconds};
use dsm_net::launch::{self, Awaited, Holder, Wait};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

impl Waits {
    /// A line for each rank, or for each of its threads that waits; and for each deadlock.
    pub(super) fn explain(&self, inquiry: &Inquiry, now: Instant) -> Vec<String> {
        let ranks = (0..self.nodes()).flat_map(|rank| self.explain_rank(inquiry, rank, now));
        ranks.chain(self.deadlocks(inquiry)).collect()
    }

    fn explain_rank(&self, inquiry: &Inquiry, rank: u16, now: Instant) -> Vec<String> {
        let (name, state) = (self.name_at_length(rank), &self.ranks[usize::from(rank)]);
        let lasted = seconds(now - state.since);
        let stop = self.stop_of(rank, now).map(|stop| format!(", {stop}")).unwrap_or_default();
        let what = match state.stage {
            Stage::NotStarted => "is not started yet".to_owned(),
            Stage::Outside => format!("has run for {lasted} without dsm_init{stop}"),
            Stage::Joining => {
                format!("has waited {lasted} in dsm_init for {}{stop}", self.absent(&[rank]))
            }
            Stage::Joined => match inquiry.waits.get(&rank) {
                Some(answer) => return self.explain_waits(inquiry, rank, answer, now),
                None => {
                    let process = inquiry.processes.get(&rank);
                    format!("is silent: {}", self.explain_silence(rank, process, now))
                }
            },
            Stage::Finalized => format!("runs on since dsm_finalize, {lasted} ago{stop}"),
            Stage::Over => format!("has ended {lasted} ago"),
        };
        vec![format!("{name} {what}")]
    }

    fn explain_waits(
        &self,
        inquiry: &Inquiry,
        rank: u16,
        launch::Waits { waits, more }: &launch::Waits,
        now: Instant,
    ) -> Vec<String> {
        let name = self.name_at_length(rank);
        if waits.is_empty() {
            return vec![format!("{name}: no thread waits for dsm")];
        }
        let line = |Wait { thread, ms, awaited }: &Wait| {
            let lasted = seconds(Duration::from_millis(*ms));
            let what = self.explain_awaited(inquiry, rank, *awaited, now);
            let cause = self.cause(inquiry, rank, *awaited, now).text;
            let colon = if cause.is_empty() { "" } else { ": " };
            format!("{name} thread {thread} has waited {lasted} for {what}{colon}{cause}")
        };
        let mut lines: Vec<_> = waits.iter().map(line).collect();
        if *more > 0 {
            lines.push(format!("{name}: and {more} more threads wait"));
        }
        lines
    }

    /// For behind `waited 10 s for`.
    pub(super) fn explain_awaited(
        &self,
        inquiry: &Inquiry,
        rank: u16,
        awaited: Awaited,
        now: Instant,
    ) -> String {
        match awaited {
            Awaited::Page { address, home: None } => format!("page {address:#x}"),
            Awaited::Page { address, home: Some(home) } => {
                format!("page {address:#x}, whose home is {}", self.name(home))
            }
            Awaited::Lock { address, holder } => {
                let told = inquiry.held.get(&(rank, address));
                let who = match holder.or(told.copied().flatten()) {
                    Some(Holder { rank, thread, waits_for }) => {
                        let whom = self.with_stop(rank, now);
                        let next = waits_for.map(|it| format!(" and waits for lock {it:#x}"));
                        format!("which {whom} thread {thread} has{}", next.unwrap_or_default())
                    }
                    None if told.is_some() => "which nobody has just now".into(),
                    None => "and the rank that has it does not answer".into(),
                };
                format!("lock {address:#x}, {who}")
            }
            Awaited::Condition { address } => format!("condition variable {address:#x}"),
            Awaited::Semaphore { address } => format!("semaphore {address:#x}"),
            Awaited::BarrierOf { address, count } => {
                format!("barrier {address:#x} of {count} threads")
            }
            Awaited::Barrier => format!("dsm_barrier of {}", self.all_missing(inquiry, awaited)),
            Awaited::Finalize => format!("dsm_finalize of {}", self.all_missing(inquiry, awaited)),
            Awaited::Answer { of } => format!("an answer of {}", self.name(of)),
        }
    }

    fn all_missing(&self, inquiry: &Inquiry, there: Awaited) -> String {
        let missing = self.missing(inquiry, there);
        if missing.is_empty() {
            return "no other rank: all are there".into();
        }
        self.list(&missing)
    }

    /// For whom these ranks wait in `dsm_init`: those that are not there, or else those that they do not reach.
    pub(super) fn absent(&self, ranks: &[u16]) -> String {
        let missing = self.below(Stage::Joining);
        if !missing.is_empty() {
            return self.list(&missing);
        }
        let states = ranks.iter().map(|rank| &self.ranks[usize::from(*rank)]);
        let unmet = states.flat_map(|state| &state.unmet);
        let unmet: BTreeMap<u16, SocketAddr> = unmet.map(|it| (it.rank, it.address)).collect();
        if unmet.is_empty() {
            return "connections".to_owned();
        }
        let name = |(rank, address)| format!("{} at {address}", self.name(rank));
        let names = unmet.into_iter().map(name).collect();
        format!("connections with {}", shorten(names, MAX_NAMES, "more").join(", "))
    }

    pub(super) fn list(&self, ranks: &[u16]) -> String {
        let names = ranks.iter().map(|rank| self.name(*rank)).collect();
        shorten(names, MAX_NAMES, "more").join(", ")
    }

    fn with_stop(&self, rank: u16, now: Instant) -> String {
        match self.stop_of(rank, now) {
            Some(stop) => format!("{} ({stop})", self.name(rank)),
            None => self.name(rank),
        }
    }
}

/// At most so many, and how many more there are.
pub(super) fn shorten(mut all: Vec<String>, most: usize, more: &str) -> Vec<String> {
    let count = all.len().saturating_sub(most);
    all.truncate(most);
    if count > 0 {
        all.push(format!("{count} {more}"));
    }
    all
}

/// More in one line nobody reads.
const MAX_NAMES: usize = 16;
