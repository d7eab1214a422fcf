//! Long waits, told without being asked, and not again and again.

use super::cause::{Cause, Weight};
use super::inquiry::Inquiry;
use super::{Stage, Waits, answer, seconds};
use dsm_net::launch::{Awaited, Wait};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// When to look for long waits, and what was told of them.
///
/// Where somebody cannot come, each wait is told when it is long and each time it has lasted twice as long.
/// Where others only work, which is what long programs do, one line is told and the next after a pause that
/// doubles, whatever it is about.
#[derive(Debug)]
pub(super) struct Unasked {
    /// How long is long; 0 is for ever.
    after: Duration,
    /// A rank says that a thread of its waits for long, since then.
    hint: Option<Instant>,
    looked_at: Option<Instant>,
    told: BTreeMap<Subject, Duration>,
    busy_told_at: Option<Instant>,
    busy_pause: Duration,
}

/// What is waited for, by however many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Joining,
    Call(Awaited),
}

/// Those who wait for one thing.
#[derive(Debug, Default)]
struct Group {
    ranks: BTreeSet<u16>,
    threads: usize,
    longest: Duration,
    /// Who has waited longest, and for what exactly.
    example: Option<(u16, Awaited)>,
}

impl Unasked {
    pub(super) fn new(after: Duration) -> Self {
        Self {
            after,
            hint: None,
            looked_at: None,
            told: BTreeMap::new(),
            busy_told_at: None,
            busy_pause: after,
        }
    }

    pub(super) fn on_long_wait(&mut self, now: Instant) {
        if !self.after.is_zero() {
            self.hint.get_or_insert(now);
        }
    }

    /// When to look next; ranks wait in `dsm_init` since `joining_since`.
    pub(super) fn due(&self, joining_since: Option<Instant>) -> Option<Instant> {
        if self.after.is_zero() {
            return None;
        }
        let joining = joining_since.map(|since| since + self.after);
        let due = joining.into_iter().chain(self.hint).min()?;
        let rested = self.looked_at.map(|at| at + self.after / 2);
        Some(rested.map_or(due, |rested| rested.max(due)))
    }

    pub(super) fn on_look(&mut self, now: Instant) {
        (self.hint, self.looked_at) = (None, Some(now));
    }

    /// Whether to tell that so heavy a wait for this has lasted so long.
    fn admits(&mut self, subject: Subject, weight: Weight, lasted: Duration, now: Instant) -> bool {
        let before = self.told.get(&subject).copied();
        // A shorter one than was told is another one.
        let is_new = before.is_none_or(|before| lasted < before || lasted >= 2 * before);
        let may = match weight {
            Weight::Trouble => is_new,
            Weight::Busy => self.busy_told_at.is_none_or(|at| at + self.busy_pause <= now),
        };
        if may {
            self.told.insert(subject, lasted);
        }
        may
    }

    fn on_busy_told(&mut self, now: Instant) {
        self.busy_told_at = Some(now);
        self.busy_pause = (self.busy_pause * 2).min(LONGEST_PAUSE);
    }
}

impl Waits {
    /// A line for each thing that was waited for long, as far as it is time to tell.
    pub(super) fn explain_unasked(&mut self, inquiry: &Inquiry, now: Instant) -> Vec<String> {
        let groups = self.groups(inquiry, now);
        self.unasked.told.retain(|subject, _| groups.contains_key(subject));
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, group)| Reverse(group.longest));
        let mut lines = Vec::new();
        let mut busy = None;
        for (subject, group) in groups {
            let cause = match group.example {
                None => self.cause_of_joining(inquiry, now),
                Some((rank, awaited)) => self.cause(inquiry, rank, awaited, now),
            };
            let Cause { weight, .. } = cause;
            if weight == Weight::Busy && busy.is_some() {
                continue;
            }
            if !self.unasked.admits(subject, weight, group.longest, now) {
                continue;
            }
            let line = self.tell_group(inquiry, &group, &cause, now);
            match weight {
                Weight::Busy => busy = Some(line),
                Weight::Trouble => lines.push(line),
            }
        }
        // Who computes is of no interest while somebody cannot.
        if lines.is_empty()
            && let Some(line) = busy
        {
            self.unasked.on_busy_told(now);
            lines.push(line);
        }
        answer::shorten(lines, MAX_LINES, "more long waits: ask with SIGUSR1")
    }

    fn groups(&self, inquiry: &Inquiry, now: Instant) -> BTreeMap<Subject, Group> {
        // Those that are nearly so long are told with the others, not alone after a pause.
        let after = self.unasked.after * 9 / 10;
        let mut groups = BTreeMap::<Subject, Group>::new();
        for (rank, state) in (0..).zip(&self.ranks) {
            let lasted = now - state.since;
            if state.stage == Stage::Joining && lasted >= after {
                groups.entry(Subject::Joining).or_default().add(rank, lasted, None);
            }
            let waits = inquiry.waits.get(&rank).into_iter().flat_map(|waits| &waits.waits);
            for Wait { ms, awaited, .. } in waits {
                let lasted = Duration::from_millis(*ms);
                if lasted >= after {
                    let group = groups.entry(Subject::of(*awaited)).or_default();
                    group.add(rank, lasted, Some(*awaited));
                }
            }
        }
        groups
    }

    fn tell_group(&self, inquiry: &Inquiry, group: &Group, cause: &Cause, now: Instant) -> String {
        let what = match group.example {
            None => {
                let ranks: Vec<u16> = group.ranks.iter().copied().collect();
                format!("in dsm_init for {}", self.absent(&ranks))
            }
            Some((_, Awaited::Barrier)) => {
                format!(
                    "at dsm_barrier for {}",
                    self.list(&self.missing(inquiry, Awaited::Barrier))
                )
            }
            Some((_, Awaited::Finalize)) => {
                let missing = self.missing(inquiry, Awaited::Finalize);
                format!("in dsm_finalize for {}", self.list(&missing))
            }
            Some((rank, awaited)) => {
                format!("for {}", self.explain_awaited(inquiry, rank, awaited, now))
            }
        };
        let ranks: Vec<u16> = group.ranks.iter().copied().collect();
        let (who, have) = match (&ranks[..], group.threads) {
            ([one], 0 | 1) => (self.name(*one), "has"),
            ([one], threads) => (format!("{threads} threads of {}", self.name(*one)), "have"),
            (several, _) => (self.list(several), "have"),
        };
        let colon = if cause.text.is_empty() { "" } else { ": " };
        let lasted = seconds(group.longest);
        format!("{who} {have} waited {lasted} {what}{colon}{}", cause.text)
    }
}

impl Group {
    fn add(&mut self, rank: u16, lasted: Duration, awaited: Option<Awaited>) {
        self.ranks.insert(rank);
        self.threads += usize::from(awaited.is_some());
        if lasted >= self.longest {
            self.longest = lasted;
            self.example = awaited.map(|awaited| (rank, awaited));
        }
    }
}

impl Subject {
    /// Who has a lock, and who is home to a page, may change while it is waited for.
    fn of(awaited: Awaited) -> Self {
        Self::Call(match awaited {
            Awaited::Page { address, .. } => Awaited::Page { address, home: None },
            Awaited::Lock { address, .. } => Awaited::Lock { address, holder: None },
            other => other,
        })
    }
}

/// Waits for ranks that work are told at least so often.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// More at once nobody reads.
const MAX_LINES: usize = 8;
