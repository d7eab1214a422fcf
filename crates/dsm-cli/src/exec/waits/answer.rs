//! The answers to one SIGUSR1, and how they are told.

use super::{Stage, Waits, seconds};
use dsm_net::launch::{self, Awaited, Holder, Process, Wait};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A question to the ranks, and what they have answered so far.
#[derive(Debug)]
pub(super) struct Inquiry {
    until: Instant,
    asked: Vec<u16>,
    processes: BTreeMap<u16, Process>,
    waits: BTreeMap<u16, launch::Waits>,
    /// By rank that asked and address.
    held: BTreeMap<(u16, u64), Option<Holder>>,
}

impl Inquiry {
    pub(super) fn new(asked: impl Iterator<Item = u16>, until: Instant) -> Self {
        Self {
            until,
            asked: asked.collect(),
            processes: BTreeMap::new(),
            waits: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }

    pub(super) fn on_process(&mut self, rank: u16, process: Process) {
        self.processes.insert(rank, process);
    }

    pub(super) fn on_waits(&mut self, rank: u16, mut waits: launch::Waits) {
        // A rank may say anything.
        waits.waits.truncate(launch::MAX_WAITS);
        self.waits.insert(rank, waits);
    }

    pub(super) fn on_held(&mut self, rank: u16, address: u64, holder: Option<Holder>) {
        // Nobody else's locks are of interest.
        if self.locks(rank).any(|lock| lock == address) {
            self.held.insert((rank, address), holder);
        }
    }

    /// Whether all have answered that can, or nobody waits for them any more.
    pub(super) fn is_complete(&self, over: &[bool], now: Instant) -> bool {
        let has_answered = |rank: &u16| {
            over[usize::from(*rank)]
                || self.processes.get(rank).is_some_and(|process| {
                    !process.is_asked
                        || self.waits.contains_key(rank)
                            && self.locks(*rank).all(|lock| self.held.contains_key(&(*rank, lock)))
                })
        };
        self.until <= now || self.asked.iter().all(has_answered)
    }

    /// The locks that the rank's threads wait for and whose holders it has not told with them.
    fn locks(&self, rank: u16) -> impl Iterator<Item = u64> {
        let waits = self.waits.get(&rank).into_iter().flat_map(|waits| &waits.waits);
        waits.filter_map(|wait| match wait.awaited {
            Awaited::Lock { address, holder: None } => Some(address),
            _ => None,
        })
    }
}

impl Waits {
    /// A line for each rank, or for each of its threads that waits.
    pub(super) fn explain(&self, inquiry: &Inquiry, now: Instant) -> Vec<String> {
        (0..self.nodes()).flat_map(|rank| self.explain_rank(inquiry, rank, now)).collect()
    }

    fn explain_rank(&self, inquiry: &Inquiry, rank: u16, now: Instant) -> Vec<String> {
        let (name, state) = (self.name_at_length(rank), &self.ranks[usize::from(rank)]);
        let lasted = seconds(now - state.since);
        let stop = self.stop_of(rank, now).map(|stop| format!(", {stop}")).unwrap_or_default();
        let what = match state.stage {
            Stage::NotStarted => "is not started yet".to_owned(),
            Stage::Outside => format!("has run for {lasted} without dsm_init{stop}"),
            Stage::Joining => {
                let missing = self.below(Stage::Joining);
                let whom = if missing.is_empty() { "connections".into() } else { missing };
                format!("has waited {lasted} in dsm_init for {whom}{stop}")
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

    fn explain_silence(&self, rank: u16, process: Option<&Process>, now: Instant) -> String {
        if let Some(stop) = self.stop_of(rank, now) {
            return stop;
        }
        let Some(process) = process else { return "its dsmwrap does not answer".into() };
        if let Some(signal) = process.stopped_by {
            return format!("stopped by {}", crate::signal_name::SignalName(signal).alone());
        }
        let state = match process.state {
            Some('R') => "its process runs (R)".into(),
            Some('S') => "its process sleeps (S)".into(),
            Some('D') => "its process waits for a device (D)".into(),
            Some('T') => "its process is stopped (T)".into(),
            Some('t') => "its process is stopped by a debugger (t)".into(),
            Some('Z') => "its process has ended (Z)".into(),
            Some(other) => format!("its process is in state {}", other.escape_default()),
            None => "the state of its process cannot be read".to_owned(),
        };
        format!("dsm does not answer there, and {state}")
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
            let awaited = self.explain_awaited(inquiry, rank, *awaited, now);
            format!("{name} thread {thread} has waited {lasted} for {awaited}")
        };
        let mut lines: Vec<_> = waits.iter().map(line).collect();
        if *more > 0 {
            lines.push(format!("{name}: and {more} more threads wait"));
        }
        lines
    }

    fn explain_awaited(
        &self,
        inquiry: &Inquiry,
        rank: u16,
        awaited: Awaited,
        now: Instant,
    ) -> String {
        match awaited {
            Awaited::Page { address, home: None } => format!("page {address:#x}"),
            Awaited::Page { address, home: Some(home) } => {
                format!("page {address:#x}, whose home is {}", self.with_stop(home, now))
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
            Awaited::Barrier => {
                format!("dsm_barrier of {}", self.missing(inquiry, Awaited::Barrier, now))
            }
            Awaited::Finalize => {
                format!("dsm_finalize of {}", self.missing(inquiry, Awaited::Finalize, now))
            }
            Awaited::Answer { of } => format!("an answer of {}", self.with_stop(of, now)),
        }
    }

    /// The ranks none of whose threads waits there.
    fn missing(&self, inquiry: &Inquiry, there: Awaited, now: Instant) -> String {
        let is_there =
            |answer: &launch::Waits| answer.waits.iter().any(|wait| wait.awaited == there);
        let present = inquiry.waits.iter().filter(|(_, answer)| is_there(answer));
        let present: BTreeSet<u16> = present.map(|(rank, _)| *rank).collect();
        let missing = (0..self.nodes()).filter(|rank| !present.contains(rank));
        let missing: Vec<u16> = missing.collect();
        if missing.is_empty() {
            "no other rank: all are there".into()
        } else {
            self.list(&missing, now)
        }
    }

    fn below(&self, stage: Stage) -> String {
        let late = (0..self.nodes()).filter(|rank| self.ranks[usize::from(*rank)].stage < stage);
        let late: Vec<_> = late.map(|rank| self.name(rank)).collect();
        shorten(late)
    }

    fn list(&self, ranks: &[u16], now: Instant) -> String {
        shorten(ranks.iter().map(|rank| self.with_stop(*rank, now)).collect())
    }

    fn with_stop(&self, rank: u16, now: Instant) -> String {
        match self.stop_of(rank, now) {
            Some(stop) => format!("{} ({stop})", self.name(rank)),
            None => self.name(rank),
        }
    }
}

fn shorten(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(MAX_NAMES);
    names.truncate(MAX_NAMES);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// More in one line nobody reads.
const MAX_NAMES: usize = 16;
