use dsm_net::launch::{self, Awaited, Holder, MAX_PAGES, Page, Process, Question};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A question to the ranks, and what they have answered so far: first what their threads wait for, then
/// what each knows of the pages among that.
#[derive(Debug)]
pub(super) struct Inquiry {
    pub(super) purpose: Purpose,
    until: Instant,
    asked: Vec<u16>,
    round: Round,
    pub(super) processes: BTreeMap<u16, Process>,
    pub(super) waits: BTreeMap<u16, launch::Waits>,
    /// By rank that asked and address.
    pub(super) held: BTreeMap<(u16, u64), Option<Holder>>,
    /// By address, what each rank knows.
    pages: BTreeMap<u64, BTreeMap<u16, Page>>,
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody asked.
    Asked,
    /// Nobody: a thread has waited long.
    LongWaits,
}

#[derive(Debug)]
enum Round {
    Waits,
    /// The ranks that have not told yet what they know of pages.
    Pages(BTreeSet<u16>),
}

impl Inquiry {
    pub(super) fn new(purpose: Purpose, asked: &[u16], now: Instant) -> Self {
        Self {
            purpose,
            until: now + ANSWERS,
            asked: asked.to_vec(),
            round: Round::Waits,
            processes: BTreeMap::new(),
            waits: BTreeMap::new(),
            held: BTreeMap::new(),
            pages: BTreeMap::new(),
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

    pub(super) fn on_pages(&mut self, rank: u16, pages: &[Page]) {
        let Round::Pages(missing) = &mut self.round else { return };
        missing.remove(&rank);
        for page in pages {
            // Nobody asked for others.
            if let Some(known) = self.pages.get_mut(&page.address) {
                known.insert(rank, page.clone());
            }
        }
    }

    /// What a rank knows of a page.
    pub(super) fn page(&self, address: u64, rank: u16) -> Option<&Page> {
        self.pages.get(&address)?.get(&rank)
    }

    /// A rank that was told to give the page to others and still has it.
    pub(super) fn keeper(&self, address: u64) -> Option<u16> {
        let keeps = |page: &Page| page.keeps == Some(launch::Keeps::InUse);
        self.pages.get(&address)?.iter().find(|(_, page)| keeps(page)).map(|(rank, _)| *rank)
    }

    /// Asks of pages when there is nothing more to be heard of waits, if any are waited for.
    pub(super) fn next_questions(
        &mut self,
        over: &[bool],
        explains: &[bool],
        now: Instant,
    ) -> Vec<(u16, Question)> {
        if !matches!(self.round, Round::Waits) || !self.has_heard_waits(over, now) {
            return Vec::new();
        }
        let pages = self.awaited_pages();
        let able = |rank: &&u16| explains[usize::from(**rank)];
        let asked: BTreeSet<u16> = match pages.is_empty() {
            true => BTreeSet::new(),
            false => self.waits.keys().filter(able).copied().collect(),
        };
        self.until = if asked.is_empty() { now } else { now + ANSWERS };
        self.pages = pages.iter().map(|address| (*address, BTreeMap::new())).collect();
        self.round = Round::Pages(asked.clone());
        asked.into_iter().map(|rank| (rank, Question::Pages(pages.clone()))).collect()
    }

    /// Whether all have answered that can, or nobody waits for them any more.
    pub(super) fn is_complete(&self, over: &[bool], now: Instant) -> bool {
        match &self.round {
            Round::Waits => false,
            Round::Pages(missing) => {
                self.until <= now || missing.iter().all(|rank| over[usize::from(*rank)])
            }
        }
    }

    fn has_heard_waits(&self, over: &[bool], now: Instant) -> bool {
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

    /// The pages that were waited for longest.
    fn awaited_pages(&self) -> Vec<u64> {
        let waits = self.waits.values().flat_map(|waits| &waits.waits);
        let pages = waits.filter_map(|wait| match wait.awaited {
            Awaited::Page { address, .. } => Some((Reverse(wait.ms), address)),
            _ => None,
        });
        let mut pages: Vec<_> = pages.collect();
        pages.sort_unstable();
        let mut seen = BTreeSet::new();
        let pages = pages.into_iter().map(|(_, address)| address);
        pages.filter(|address| seen.insert(*address)).take(MAX_PAGES).collect()
    }
}

/// How long answers are waited for, in each of two rounds.
const ANSWERS: Duration = Duration::from_secs(1);
