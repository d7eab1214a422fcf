//! Which ranks cannot reach each other although dsmexec reaches both: nobody else can know. It knows no processes
//! and no clock: what happened, and when, is told to it.
//!
//! A rank that joined says whom it does not hear. That may be because the other is stopped, is debugged, or has no
//! processor; so the other is asked something that its runtime answers once it has read all that has come, and then
//! the first is asked whether it still hears nothing. Ranks that meet in `dsm_init` cannot be asked, but say every
//! second whom they miss.

use dsm_net::launch::{Status, Unheard, Unmet};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What each rank says of the others.
#[derive(Debug)]
pub(crate) struct Reach {
    ranks: Vec<RankState>,
}

/// Two ranks that cannot reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parted {
    pub(crate) ranks: [u16; 2],
    /// What shows it.
    pub(crate) cause: String,
}

#[derive(Debug)]
struct RankState {
    stage: Stage,
    since: Instant,
    /// Whom it does not hear.
    unheard: BTreeMap<u16, Silence>,
    /// When it last said whom it does not hear.
    said_at: Option<Instant>,
    /// It was asked and has not answered.
    is_asked: bool,
    /// Whom it misses in `dsm_init`.
    unmet: BTreeMap<u16, Unmet>,
    is_besieged: bool,
    unmet_at: Instant,
    /// How often in a row it said so.
    reports: u32,
}

/// What a rank says of one that it does not hear.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// For how long it did not hear it when it first said so.
    before: Duration,
    /// Since when it says so.
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Outside,
    /// In `dsm_init`.
    Joining,
    Joined,
    /// It has left, or its program has ended.
    Gone,
}

/// What is to be done about a rank that does not hear another.
enum Next {
    Ask(u16),
    WaitUntil(Instant),
    Nothing,
    Convict,
}

impl Reach {
    pub(crate) fn new(nodes: usize, now: Instant) -> Self {
        let state = || RankState {
            stage: Stage::Outside,
            since: now,
            unheard: BTreeMap::new(),
            said_at: None,
            is_asked: false,
            unmet: BTreeMap::new(),
            is_besieged: false,
            unmet_at: now,
            reports: 0,
        };
        Self { ranks: (0..nodes).map(|_| state()).collect() }
    }

    /// The rank's runtime said something.
    pub(crate) fn on_status(&mut self, rank: u16, status: &Status, now: Instant) {
        match status {
            Status::Joining => self.advance(rank, Stage::Joining, now),
            Status::Joined { .. } => self.advance(rank, Stage::Joined, now),
            Status::Finalized => self.advance(rank, Stage::Gone, now),
            Status::Unheard(ranks) => self.on_unheard(rank, ranks, now),
            Status::Unmet { ranks, is_besieged } => self.on_unmet(rank, ranks, *is_besieged, now),
            _ => (),
        }
    }

    /// The rank's program has ended.
    pub(crate) fn on_over(&mut self, rank: u16, now: Instant) {
        self.advance(rank, Stage::Gone, now);
    }

    /// The ranks that are to be asked by now whom they do not hear.
    pub(crate) fn questions(&mut self, now: Instant) -> Vec<u16> {
        let mut asked = Vec::new();
        for (from, of, silence) in self.silences() {
            let Next::Ask(rank) = self.next(from, of, silence.since, now) else { continue };
            let state = &mut self.ranks[usize::from(rank)];
            if state.stage == Stage::Joined && !std::mem::replace(&mut state.is_asked, true) {
                asked.push(rank);
            }
        }
        asked
    }

    /// When [`questions`](Self::questions) has one more.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let all = self.silences().into_iter();
        let times =
            all.filter_map(|(from, of, silence)| match self.next(from, of, silence.since, now) {
                Next::WaitUntil(at) => Some(at),
                _ => None,
            });
        times.min()
    }

    /// Two ranks that cannot reach each other, if that is certain.
    pub(crate) fn parted(&self, now: Instant) -> Option<Parted> {
        let mut silences = self.silences().into_iter();
        let convicted = silences.find_map(|(from, of, Silence { before, since })| {
            let Next::Convict = self.next(from, of, since, now) else { return None };
            let seconds = (before + (now - since)).as_secs_f64();
            let cause = format!(
                "rank {from} has had no answer from rank {of} for {seconds:.1} s, though dsmexec reaches both"
            );
            Some(Parted { ranks: [from, of], cause })
        });
        convicted.or_else(|| self.parted_at_the_door(now))
    }

    /// Who does not hear whom.
    fn silences(&self) -> Vec<(u16, u16, Silence)> {
        let joined = (0..).zip(&self.ranks).filter(|(_, state)| state.stage == Stage::Joined);
        let all = joined.flat_map(|(from, state)| {
            state.unheard.iter().map(move |(of, silence)| (from, *of, *silence))
        });
        all.collect()
    }

    fn next(&self, from: u16, of: u16, since: Instant, now: Instant) -> Next {
        let Some(other) = self.ranks.get(usize::from(of)) else { return Next::Nothing };
        let shown_at = match other.stage {
            Stage::Outside => return Next::Nothing,
            Stage::Joining => Some(other.unmet_at).filter(|_| other.unmet.contains_key(&from)),
            Stage::Joined => other.said_at,
            // It would have been told if the connection had been ended.
            Stage::Gone => Some(other.since.max(since)),
        };
        let Some(shown_at) = shown_at.filter(|at| *at >= since) else { return Next::Ask(of) };
        let confirmed_from = shown_at + GRACE;
        match self.ranks[usize::from(from)].said_at {
            Some(said_at) if said_at >= confirmed_from => Next::Convict,
            _ if now < confirmed_from => Next::WaitUntil(confirmed_from),
            _ => Next::Ask(from),
        }
    }

    /// Two ranks that have both been in `dsm_init` all the time, one of which calls the other in vain; or that
    /// one of them has left it, which the other cannot know.
    fn parted_at_the_door(&self, now: Instant) -> Option<Parted> {
        let joining = |rank: &(u16, &RankState)| rank.1.stage == Stage::Joining;
        for (from, state) in (0..).zip(&self.ranks).filter(joining) {
            if state.reports < REPORTS || state.unmet_at + REPORTS_APART < now {
                continue;
            }
            for Unmet { rank: of, address, silent_ms } in state.unmet.values() {
                let Some(other) = self.ranks.get(usize::from(*of)) else { continue };
                let is_called_in_vain = silent_ms.is_some_and(|ms| ms >= SILENT_MS)
                    && other.stage == Stage::Joining
                    && other.reports >= REPORTS
                    && other.unmet_at + REPORTS_APART >= now
                    && other.unmet.contains_key(&from)
                    && !other.is_besieged;
                let is_through = other.stage == Stage::Joined && other.since + THROUGH <= now;
                if is_called_in_vain || is_through {
                    let cause = match silent_ms {
                        Some(ms) => format!(
                            "rank {of} does not answer rank {from} at {address} for {} s, though both are in dsm_init",
                            ms / 1000
                        ),
                        None => format!("rank {from} at {address} waits for rank {of} in dsm_init"),
                    };
                    return Some(Parted { ranks: [from, *of], cause });
                }
            }
        }
        None
    }

    fn on_unheard(&mut self, rank: u16, ranks: &[Unheard], now: Instant) {
        let state = &mut self.ranks[usize::from(rank)];
        let silence = |unheard: &Unheard| {
            let before = Duration::from_millis(unheard.silent_ms.into());
            let known = state.unheard.get(&unheard.rank).copied();
            (unheard.rank, known.unwrap_or(Silence { before, since: now }))
        };
        state.unheard = ranks.iter().filter(|of| of.rank != rank).map(silence).collect();
        state.said_at = Some(now);
        state.is_asked = false;
    }

    fn on_unmet(&mut self, rank: u16, ranks: &[Unmet], is_besieged: bool, now: Instant) {
        let state = &mut self.ranks[usize::from(rank)];
        // It was stopped meanwhile, or had no processor.
        if state.unmet_at + REPORTS_APART < now {
            state.reports = 0;
        }
        state.unmet = ranks.iter().map(|unmet| (unmet.rank, *unmet)).collect();
        state.is_besieged = is_besieged;
        state.unmet_at = now;
        state.reports += 1;
    }

    fn advance(&mut self, rank: u16, stage: Stage, now: Instant) {
        let state = &mut self.ranks[usize::from(rank)];
        if state.stage < stage {
            (state.stage, state.since) = (stage, now);
        }
    }
}

/// What a rank had to say when it was asked is with the other so soon, or the network is at fault.
const GRACE: Duration = Duration::from_millis(400);
/// Reports of one rank come every second.
const REPORTS_APART: Duration = Duration::from_millis(2_500);
/// In so many reports in a row a rank was there for some seconds, and had the time to hear the other.
const REPORTS: u32 = 5;
/// For so long one has tried to connect to the other, and said who it is if it could.
const SILENT_MS: u64 = 5_000;
/// The last word of a handshake takes less.
const THROUGH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
