use super::bcast::Bcast;
use super::mutant::{Mutant, Planted};
use super::seed8::Seed8;
use super::{Input, Message, Output, Profile, Reason};
use crate::{PageId, Rank};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

/// What an engine has to know of its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Config {
    /// How the ranks speak.
    pub profile: Profile,
    /// This rank.
    pub rank: Rank,
    /// How many ranks the job has; page i starts at rank i mod `nodes`.
    pub nodes: u16,
    /// How many pages there are.
    pub pages: u64,
}

/// One rank's side of the single-owner protocols of the PR204 family.
///
/// Invariant: a page is open here exactly while this rank is its owner, from [`Output::Install`] to
/// [`Output::Remove`]; it is sent after it is removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Engine {
    config: Config,
    pages: Vec<Page>,
    speech: Speech,
    planted: Planted,
    /// Whether this rank wants nothing any more, and whether that was answered.
    leaving: Leaving,
    /// The peers that want nothing any more.
    left: BTreeSet<Rank>,
    closed: BTreeSet<Rank>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Page {
    place: Place,
    /// Ranks that wait for it here, each once: so there are at most as many as ranks.
    waiting: VecDeque<Rank>,
}

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    Here,
    /// Here, and it stays until its minimum time is over.
    Held,
    Away,
    /// Away, and threads wait for it.
    Asked,
}

/// What differs between the profiles.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Speech {
    Seed8(Seed8),
    Bcast(Bcast),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Leaving {
    No,
    Called,
    Complete,
}

/// Why a message cannot be; the engine adds who said it.
type Refused = &'static str;

impl Engine {
    /// An engine at the start of its job.
    ///
    /// # Panics
    /// If there are more ranks than the profile allows, or the rank is not one of them.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::build(config, Planted::default())
    }

    /// An engine with a bug, for the explorer to find.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_mutant(config: Config, mutant: Mutant) -> Self {
        Self::build(config, Planted { mutant: Some(mutant) })
    }

    fn build(config: Config, planted: Planted) -> Self {
        let Config { profile, rank, nodes, pages } = config;
        assert!((1..=profile.max_nodes()).contains(&nodes), "a profile has its most ranks");
        assert!(rank.0 < nodes, "a rank is one of the job's");
        let place = |page| if first_owner(page, nodes) == rank { Place::Here } else { Place::Away };
        let page = |page| Page { place: place(page), waiting: VecDeque::new() };
        let speech = match profile {
            Profile::Seed8 => Speech::Seed8(Seed8::new(rank, planted)),
            Profile::Bcast => Speech::Bcast(Bcast::new(rank, nodes, pages, planted)),
        };
        Self {
            config,
            pages: (0..pages).map(page).collect(),
            speech,
            planted,
            leaving: Leaving::No,
            left: BTreeSet::new(),
            closed: BTreeSet::new(),
        }
    }

    /// Takes one input; the outputs are to be carried out in order, all of them, before the next.
    ///
    /// # Panics
    /// If a fault or the end of a hold names a page that is not there.
    #[must_use = "every output must be carried out before the next input"]
    pub fn handle(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Fault { page } => self.on_fault(page, &mut out),
            Input::Message { from, message } => {
                if let Err(why) = self.on_message(from, message, &mut out) {
                    let reason = Reason::Broke { message, why };
                    out.push(Output::Fail { rank: from, reason });
                }
            }
            Input::HoldOver { page } => self.on_hold_over(page, &mut out),
            Input::Retry => self.on_retry(&mut out),
            Input::Finalize => self.on_finalize(&mut out),
            Input::PeerClosed { rank } => self.on_peer_closed(rank, &mut out),
        }
        out
    }

    /// Whether the page is here and open.
    #[must_use]
    pub fn is_here(&self, page: PageId) -> bool {
        let page = index(page).and_then(|index| self.pages.get(index));
        page.is_some_and(|page| matches!(page.place, Place::Here | Place::Held))
    }

    /// The page whose bytes the other rank owes us in [`Profile::Seed8`].
    #[must_use]
    pub fn outstanding(&self) -> Option<PageId> {
        match &self.speech {
            Speech::Seed8(seed8) => seed8.outstanding(),
            Speech::Bcast(_) => None,
        }
    }

    /// Whether this rank and all others want nothing any more.
    #[must_use]
    pub fn is_finalized(&self) -> bool {
        self.leaving == Leaving::Complete
    }

    fn on_fault(&mut self, page: PageId, out: &mut Vec<Output>) {
        let it = self.page(page);
        match it.place {
            // It came before the fault was read.
            Place::Here | Place::Held => out.push(Output::Resume { page }),
            Place::Asked => (),
            Place::Away => {
                it.place = Place::Asked;
                self.ask(page, out);
            }
        }
    }

    /// Asks for a page that threads wait for.
    fn ask(&mut self, page: PageId, out: &mut Vec<Output>) {
        match &mut self.speech {
            Speech::Seed8(seed8) => seed8.ask(page, out),
            Speech::Bcast(bcast) => bcast.ask(page, out),
        }
        self.check_reachable(page, out);
    }

    fn on_message(
        &mut self,
        from: Rank,
        message: Message,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        match message {
            Message::Request { source, page } => {
                self.check_known(source, page)?;
                self.on_request(source, page, out)
            }
            Message::Page { owner, page } => {
                self.check_known(owner, page)?;
                self.on_page(from, owner, page, out)
            }
            Message::Negative => {
                if let Speech::Bcast(bcast) = &mut self.speech {
                    let asked = (0..).map(PageId).zip(&self.pages);
                    let asked = asked.filter(|(_, it)| it.place == Place::Asked);
                    bcast.on_negative(from, asked.map(|(page, _)| page), out);
                }
                Ok(())
            }
            Message::Finalize => {
                if !self.left.insert(from) {
                    return Err("a rank finalizes once");
                }
                self.check_finalized(out);
                Ok(())
            }
            Message::Nothing => Ok(()),
        }
    }

    fn on_request(
        &mut self,
        source: Rank,
        page: PageId,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        let Config { profile, rank: me, .. } = self.config;
        if source == me {
            // A foreign rank did not know better. What we asked for comes or has come.
            return match profile {
                Profile::Seed8 => Err("a request names the rank that sends it"),
                Profile::Bcast => Ok(()),
            };
        }
        let planted = self.planted;
        let it = self.page(page);
        match it.place {
            Place::Here => self.give(page, source, out),
            Place::Held if planted.is(Mutant::HeldRequestDropped) => (),
            Place::Asked if planted.is(Mutant::EarlyRequestDropped) => (),
            Place::Asked | Place::Away if profile == Profile::Seed8 => {
                return Err("the page asked for is with the rank that asks");
            }
            Place::Held | Place::Asked => {
                // Asked for twice it is given once.
                if !it.waiting.contains(&source) {
                    it.waiting.push_back(source);
                }
            }
            Place::Away => self.forward(page, source, out),
        }
        Ok(())
    }

    /// Hands a page that is here to a rank, and the others that wait for it on to that rank.
    fn give(&mut self, page: PageId, to: Rank, out: &mut Vec<Output>) {
        let planted = self.planted;
        let it = self.page(page);
        let keeps = planted.is(Mutant::TwoOwners);
        it.place = if keeps { Place::Here } else { Place::Away };
        let waiting = core::mem::take(&mut it.waiting);
        let removed = Output::Remove { page };
        if !keeps && !planted.is(Mutant::SentBeforeRemoved) {
            out.push(removed);
        }
        match &mut self.speech {
            Speech::Seed8(seed8) => seed8.give(page, to, out),
            Speech::Bcast(bcast) => bcast.give(page, to, &self.closed, out),
        }
        if planted.is(Mutant::SentBeforeRemoved) {
            out.push(removed);
        }
        if !planted.is(Mutant::QueueCut) {
            for source in waiting {
                self.forward(page, source, out);
            }
        }
    }

    /// Sends a request on to whom has the page. If that rank has left, its source will find out, or has left
    /// too: a request that was repeated can be older than that.
    fn forward(&mut self, page: PageId, source: Rank, out: &mut Vec<Output>) {
        if self.planted.is(Mutant::RequestDropped) {
            return;
        }
        if let Speech::Bcast(bcast) = &mut self.speech {
            bcast.forward(page, source, out);
        }
    }

    fn on_page(
        &mut self,
        from: Rank,
        owner: Rank,
        page: PageId,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        let me = self.config.rank;
        let place = self.page(page).place;
        let is_here = matches!(place, Place::Here | Place::Held);
        if owner == me && is_here {
            return Err("the page has another owner, this rank");
        }
        match &mut self.speech {
            Speech::Seed8(seed8) => seed8.on_page(owner, page)?,
            Speech::Bcast(bcast) => {
                let asked = place == Place::Asked;
                bcast.on_move(from, owner, page, asked, out)?;
            }
        }
        if owner != me {
            return Ok(());
        }
        self.page(page).place = Place::Held;
        out.push(Output::Install { page });
        if !self.planted.is(Mutant::ResumeForgotten) {
            out.push(Output::Resume { page });
        }
        out.push(Output::Hold { page });
        if let Speech::Seed8(seed8) = &mut self.speech {
            seed8.ask_next(out);
        }
        Ok(())
    }

    fn on_hold_over(&mut self, page: PageId, out: &mut Vec<Output>) {
        let deaf = self.planted.is(Mutant::HoldOverUnheard);
        let it = self.page(page);
        if it.place != Place::Held {
            return;
        }
        it.place = Place::Here;
        if !deaf && let Some(to) = it.waiting.pop_front() {
            self.give(page, to, out);
        }
    }

    fn on_retry(&mut self, out: &mut Vec<Output>) {
        let asked = (0..).map(PageId).zip(&self.pages);
        let asked = asked.filter(|(_, it)| it.place == Place::Asked);
        if let Speech::Bcast(bcast) = &mut self.speech {
            asked.for_each(|(page, _)| bcast.ask(page, out));
        }
    }

    fn on_finalize(&mut self, out: &mut Vec<Output>) {
        if self.leaving != Leaving::No {
            return;
        }
        self.leaving = Leaving::Called;
        let message = Message::Finalize;
        let open = self.peers().filter(|peer| !self.closed.contains(peer));
        out.extend(open.map(|to| Output::Send { to, message }));
        self.check_finalized(out);
    }

    fn check_finalized(&mut self, out: &mut Vec<Output>) {
        let early = self.planted.is(Mutant::FinalizeEarly) && !self.left.is_empty();
        let all = self.peers().all(|peer| self.left.contains(&peer));
        if self.leaving == Leaving::Called && (all || early) {
            self.leaving = Leaving::Complete;
            out.push(Output::Finalized);
        }
    }

    fn on_peer_closed(&mut self, rank: Rank, out: &mut Vec<Output>) {
        self.closed.insert(rank);
        let asked = (0..).map(PageId).zip(&self.pages);
        let asked: Vec<_> = asked.filter(|(_, it)| it.place == Place::Asked).collect();
        let is_seed8 = self.config.profile == Profile::Seed8;
        // Some members end without a word once the other rank has said that it wants nothing any more.
        if is_seed8 && self.leaving == Leaving::Called && asked.is_empty() {
            self.left.insert(rank);
        }
        if !self.left.contains(&rank) {
            return out.push(Output::Fail { rank, reason: Reason::Lost });
        }
        let pages: Vec<_> = asked.into_iter().map(|(page, _)| page).collect();
        for page in pages {
            self.check_reachable(page, out);
        }
        self.check_finalized(out);
    }

    /// What is asked for is with a rank that still answers.
    fn check_reachable(&self, page: PageId, out: &mut Vec<Output>) {
        let owner = match &self.speech {
            Speech::Seed8(seed8) => seed8.other(),
            Speech::Bcast(bcast) => bcast.presumed(page),
        };
        if self.closed.contains(&owner) {
            out.push(Output::Fail { rank: owner, reason: Reason::Left { page } });
        }
    }

    fn check_known(&self, rank: Rank, page: PageId) -> Result<(), Refused> {
        if rank.0 >= self.config.nodes {
            return Err("there is no such rank");
        }
        if page.0 >= self.config.pages {
            return Err("there is no such page");
        }
        Ok(())
    }

    fn peers(&self) -> impl Iterator<Item = Rank> {
        let me = self.config.rank;
        (0..self.config.nodes).map(Rank).filter(move |&peer| peer != me)
    }

    fn page(&mut self, page: PageId) -> &mut Page {
        let page = index(page).and_then(|index| self.pages.get_mut(index));
        page.expect("pages are checked where they come from")
    }
}

/// Where a page is at the start.
pub(super) fn first_owner(page: u64, nodes: u16) -> Rank {
    let rank = u16::try_from(page % u64::from(nodes));
    Rank(rank.expect("a remainder is smaller than its divisor"))
}

pub(super) fn index(page: PageId) -> Option<usize> {
    usize::try_from(page.0).ok()
}
