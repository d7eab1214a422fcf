//! Why somebody waits: who is in the way, and what that rank does.

use super::inquiry::Inquiry;
use super::{RankState, Stage, Waits};
use crate::signal_name::SignalName;
use dsm_net::launch::{self, Awaited, Holder, Process};
use std::collections::BTreeSet;
use std::time::Instant;

/// Who is in the way of a wait, and whether that is more than work that takes long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// For behind a colon; empty if nothing is known.
    pub(super) text: String,
    pub(super) weight: Weight,
}

/// What a rank does.
struct Doing {
    /// For behind its name.
    text: String,
    weight: Weight,
}

/// Whether people must look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Others work, and will come.
    Busy,
    /// Somebody cannot come.
    Trouble,
}

impl Waits {
    /// Why a thread of this rank waits for that.
    pub(super) fn cause(
        &self,
        inquiry: &Inquiry,
        rank: u16,
        awaited: Awaited,
        now: Instant,
    ) -> Cause {
        match awaited {
            Awaited::Page { home: None, .. } => self.of_suspects(inquiry, now),
            Awaited::Page { address, home: Some(home) } => {
                self.of_page(inquiry, rank, (address, home), now)
            }
            Awaited::Lock { address, holder } => {
                let told = inquiry.held.get(&(rank, address));
                match holder.or(told.copied().flatten()) {
                    Some(Holder { rank: holder, waits_for, .. }) => {
                        let mut doing = self.doing(inquiry, holder, now);
                        if waits_for.is_some() {
                            doing.weight = Weight::Trouble;
                        }
                        match doing.weight {
                            Weight::Trouble if waits_for.is_none() => {
                                self.of_ranks("", &[holder], inquiry, now)
                            }
                            weight => Cause { text: String::new(), weight },
                        }
                    }
                    None if told.is_some() => Cause::nothing(Weight::Busy),
                    None => Cause { weight: Weight::Trouble, ..self.of_suspects(inquiry, now) },
                }
            }
            Awaited::Condition { .. } | Awaited::Semaphore { .. } | Awaited::BarrierOf { .. } => {
                self.of_suspects(inquiry, now)
            }
            Awaited::Barrier | Awaited::Finalize => {
                self.of_ranks("", &self.missing(inquiry, awaited), inquiry, now)
            }
            Awaited::Answer { of } => self.of_ranks("", &[of], inquiry, now),
        }
    }

    /// Why ranks wait in `dsm_init`.
    pub(super) fn cause_of_joining(&self, inquiry: &Inquiry, now: Instant) -> Cause {
        self.of_ranks("", &self.below(Stage::Joining), inquiry, now)
    }

    /// The ranks none of whose threads waits there.
    pub(super) fn missing(&self, inquiry: &Inquiry, there: Awaited) -> Vec<u16> {
        let is_there =
            |answer: &launch::Waits| answer.waits.iter().any(|wait| wait.awaited == there);
        let present = inquiry.waits.iter().filter(|(_, answer)| is_there(answer));
        let present: BTreeSet<u16> = present.map(|(rank, _)| *rank).collect();
        (0..self.nodes()).filter(|rank| !present.contains(rank)).collect()
    }

    /// The ranks that are not so far yet.
    pub(super) fn below(&self, stage: Stage) -> Vec<u16> {
        (0..self.nodes()).filter(|rank| self.ranks[usize::from(*rank)].stage < stage).collect()
    }

    fn of_page(
        &self,
        inquiry: &Inquiry,
        rank: u16,
        (address, home): (u64, u16),
        now: Instant,
    ) -> Cause {
        let Some(page) = inquiry.page(address, home) else {
            return match home == rank {
                true => self.of_suspects(inquiry, now),
                false => self.of_ranks("home ", &[home], inquiry, now),
            };
        };
        if !page.awaited.is_empty() {
            return self.of_ranks("sharer ", &page.awaited, inquiry, now);
        }
        if let Some(keeper) = inquiry.keeper(address).filter(|keeper| *keeper != rank) {
            return self.of_ranks("owner ", &[keeper], inquiry, now);
        }
        match page.owner.filter(|owner| *owner != rank) {
            // Whoever had it was told to give it to this rank, and is not the owner any more.
            None => match self.silent(inquiry)[..] {
                [] => Cause { text: "it is on its way".into(), weight: Weight::Busy },
                [one] => self.of_ranks("owner ", &[one], inquiry, now),
                ref several => self.of_ranks("", several, inquiry, now),
            },
            Some(owner) => {
                let mut cause = self.of_ranks("owner ", &[owner], inquiry, now);
                if cause.weight == Weight::Busy {
                    cause.text = format!("it is on its way from {}", self.name(owner));
                }
                cause
            }
        }
    }

    /// What is known of ranks that may be in the way, if nothing better is.
    fn of_suspects(&self, inquiry: &Inquiry, now: Instant) -> Cause {
        self.of_ranks("", &self.silent(inquiry), inquiry, now)
    }

    /// The ranks that are in the job and do not answer.
    fn silent(&self, inquiry: &Inquiry) -> Vec<u16> {
        let silent = |rank: &u16| {
            self.ranks[usize::from(*rank)].stage == Stage::Joined
                && !inquiry.waits.contains_key(rank)
        };
        (0..self.nodes()).filter(silent).collect()
    }

    fn of_ranks(&self, role: &str, ranks: &[u16], inquiry: &Inquiry, now: Instant) -> Cause {
        let doings = ranks.iter().map(|rank| (*rank, self.doing(inquiry, *rank, now)));
        let mut doings: Vec<_> = doings.collect();
        // Those in trouble first: the others are waited for without it.
        doings.sort_by_key(|(_, doing)| std::cmp::Reverse(doing.weight));
        let weight = doings.first().map_or(Weight::Busy, |(_, doing)| doing.weight);
        let more = doings.len().saturating_sub(MAX_CAUSES);
        let shown = doings.iter().take(MAX_CAUSES);
        let shown = shown.map(|(rank, doing)| format!("{role}{} {}", self.name(*rank), doing.text));
        let mut texts: Vec<_> = shown.collect();
        if more > 0 {
            texts.push(format!("{more} more"));
        }
        Cause { text: texts.join("; "), weight }
    }

    fn doing(&self, inquiry: &Inquiry, rank: u16, now: Instant) -> Doing {
        let trouble = |text| Doing { text, weight: Weight::Trouble };
        let busy = |text: &str| Doing { text: text.into(), weight: Weight::Busy };
        let Some(RankState { stage, .. }) = self.ranks.get(usize::from(rank)) else {
            return trouble("is not in the job".into());
        };
        if let Some(stop) = self.stop_of(rank, now) {
            return trouble(format!("is {stop}"));
        }
        let process = inquiry.processes.get(&rank);
        match (stage, inquiry.waits.get(&rank)) {
            (Stage::NotStarted, _) => busy("is not started yet"),
            (Stage::Finalized, _) => trouble("has called dsm_finalize".into()),
            (Stage::Over, _) => trouble("has ended".into()),
            (Stage::Joining, _) => busy("waits in dsm_init"),
            (Stage::Joined, None) => {
                let why = self.explain_silence(rank, process, now);
                trouble(format!("does not answer: {why}"))
            }
            (Stage::Joined, Some(answer)) if !answer.waits.is_empty() => busy("waits itself"),
            (Stage::Outside, _) => {
                let Doing { text, weight } = of_process(process);
                Doing { text: format!("has not called it and {text}"), weight }
            }
            (Stage::Joined, Some(_)) => of_process(process),
        }
    }

    pub(super) fn explain_silence(
        &self,
        rank: u16,
        process: Option<&Process>,
        now: Instant,
    ) -> String {
        if let Some(stop) = self.stop_of(rank, now) {
            return stop;
        }
        let Some(process) = process else { return "its dsmwrap does not answer".into() };
        if let Some(signal) = process.stopped_by {
            return format!("stopped by {}", SignalName(signal).alone());
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
}

impl Cause {
    fn nothing(weight: Weight) -> Self {
        Self { text: String::new(), weight }
    }
}

/// What a process does of which no thread waits for dsm.
fn of_process(process: Option<&Process>) -> Doing {
    let (text, weight) = match process.and_then(|process| process.state) {
        Some('R') => ("computes", Weight::Busy),
        Some('D') => ("waits for a device", Weight::Busy),
        Some('T') => ("is stopped", Weight::Trouble),
        Some('t') => ("is stopped by a debugger", Weight::Trouble),
        Some('Z') => ("has ended", Weight::Trouble),
        _ => ("sleeps, or waits for something else than dsm", Weight::Busy),
    };
    Doing { text: text.into(), weight }
}

/// More at once nobody reads.
const MAX_CAUSES: usize = 4;
