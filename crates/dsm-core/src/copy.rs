mod carried;
mod errands;
#[cfg(feature = "mutants")]
mod footprint;
#[cfg(feature = "mutants")]
mod situation;
mod slot;
#[cfg(feature = "mutants")]
mod tokens;

pub(crate) use errands::Errand;

#[cfg(feature = "mutants")]
pub use errands::{OperationPlace, OperationSituation, ReclaimSituation};
#[cfg(feature = "mutants")]
pub use situation::{CopyContent, CopyEvent, CopySituation, CopyState, Which};
#[cfg(feature = "mutants")]
pub use tokens::{Lent, TokenEvent, TokenSituation, TokenState};

use crate::engine::Withheld;
use crate::homes::Homes;
use crate::io::Outputs;
use crate::message::{Message, Payload, Right};
use crate::mutant::{Mutant, Planted};
use crate::table::Table;
use crate::{Access, Attachment, Epoch, Output, PageId, Rank, Source, Space};
use alloc::collections::{BTreeMap, VecDeque};
use carried::Carried;
use errands::Errands;
use slot::Slot;

/// This rank's own copies: what its threads may do, what they wait for, what the homes demand.
///
/// The token of a lock is a page without bytes. It is lent to this rank's threads, who lock and unlock
/// without a word; so it is held from its grant until they surrender it, which they are asked to do when
/// a demand comes.
///
/// Invariant: a page's [`State`] is what its home believes or will have made true by the demands that
/// are under way or deferred here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Copies {
    rank: Rank,
    space: Space,
    holds: bool,
    planted: Planted,
    pub(crate) homes: Homes,
    pages: Table<Slot>,
    /// Demands that wait for a grant under way or for the hold time, in order of arrival.
    deferred: BTreeMap<PageId, VecDeque<Demand>>,
    errands: Errands,
    carried: Carried,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Copy {
    state: State,
    epoch: Epoch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    /// Owned by its home, never written, not mapped: the initial state at the home.
    Fresh,
    /// No copy: the initial state elsewhere.
    Invalid,
    /// A copy to read; other ranks may have one too.
    Shared,
    /// The only copy, not written since it came; may be written without asking.
    Exclusive,
    /// The only copy, to read and write.
    Modified,
}

/// What a home wants of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Demand {
    Forward { right: Right, to: Rank, epoch: Epoch, have: Epoch },
    Invalidate { have: Epoch },
}

impl Copies {
    pub(crate) fn new(rank: Rank, space: Space, holds: bool, planted: Planted) -> Self {
        Self {
            rank,
            space,
            holds,
            planted,
            homes: Homes::new(rank, space, planted),
            pages: Table::new(space),
            deferred: BTreeMap::new(),
            errands: Errands::default(),
            carried: Carried::default(),
        }
    }

    pub(crate) fn state(&self, page: PageId, home: Rank) -> State {
        self.copy(page, home).state
    }

    /// Whether this rank has the only copy of a page, so that it may be written without asking.
    pub(crate) fn is_sole(&self, page: PageId, home: Rank) -> bool {
        match self.state(page, home) {
            State::Fresh | State::Exclusive | State::Modified => true,
            State::Invalid | State::Shared => false,
        }
    }

    pub(crate) fn awaits_content(&self, page: PageId, home: Rank) -> bool {
        let slot = self.slot(page);
        let is_open = slot.asked.is_some() && !self.space.is_token(page);
        is_open && self.copy_in(slot, home).state == State::Invalid
    }

    pub(crate) fn has_deferred_demands(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Why a demand on this rank's copy is not met yet, if there is one.
    pub(crate) fn withheld(&self, page: PageId, home: Rank) -> Option<Withheld> {
        let demand = self.deferred.get(&page)?.front()?;
        Some(match demand.have() > self.copy(page, home).epoch {
            true => Withheld::UntilItComes,
            false => Withheld::InUse,
        })
    }

    pub(crate) fn on_fault(&mut self, page: PageId, access: Access, home: Rank, out: &mut Outputs) {
        let Copy { state, epoch } = self.copy(page, home);
        match (state, access) {
            // Asked before the last lend, which the threads have heard of: lent once more, it could meet
            // their surrender on its way here.
            (State::Modified, _) | (State::Shared, Access::Read)
                if self.is_lent(page) && !self.planted.is(Mutant::LentTwice) => {}
            // Another thread's fault already brought what this one needs.
            (State::Modified, _) | (State::Shared | State::Exclusive, Access::Read) => {
                if !self.planted.is(Mutant::ResumeForgotten) {
                    self.resume(page, state, out);
                }
            }
            (State::Fresh, _) => {
                self.install(page, Access::Write, Source::Zero, out);
                let state =
                    self.planted.bend(Mutant::FreshUnnoticed, State::Modified, State::Fresh);
                self.open(page, Copy { state, epoch }, home, out);
            }
            (State::Exclusive, _) => self.upgrade(page, epoch, home, out),
            (State::Shared, _) if self.planted.is(Mutant::SharedWritten) => {
                self.upgrade(page, epoch, home, out);
            }
            (State::Shared | State::Invalid, _) => self.request(page, access, home, out),
        }
    }

    /// The only copy may be written without asking.
    fn upgrade(&mut self, page: PageId, epoch: Epoch, home: Rank, out: &mut Outputs) {
        self.protect(page, Access::Write, out);
        let state = self.planted.bend(Mutant::UpgradeUnnoticed, State::Modified, State::Exclusive);
        self.open(page, Copy { state, epoch }, home, out);
    }

    /// One request a page at a time: whoever needs more than it brings faults again after the grant.
    fn request(&mut self, page: PageId, access: Access, home: Rank, out: &mut Outputs) {
        let slot = self.pages.at(page);
        if slot.asked.is_some() && !self.planted.is(Mutant::RequestRepeated) {
            return;
        }
        slot.asked = Some(access);
        out.send(home, Message::Request { page, access }, None);
    }

    pub(crate) fn on_grant(
        &mut self,
        page: PageId,
        granted: (Right, Epoch, Payload),
        home: Rank,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let (right, epoch, payload) = granted;
        let slot = self.slot(page);
        let copy = self.copy_in(slot, home);
        let access = slot.asked.ok_or("a grant answers a request under way")?;
        if access == Access::Write && right != Right::Modified {
            return Err("a write request is answered by the right to write");
        }
        if epoch <= copy.epoch {
            return Err("a grant is younger than the copy it replaces");
        }
        let state = match State::from(right) {
            // Nothing tells a clean token from one that was used.
            State::Exclusive if self.space.is_token(page) => State::Modified,
            state => state,
        };
        let access = self.planted.bend(Mutant::GrantOverstepped, state.access(), Access::Write);
        match (payload, copy.state) {
            (Payload::Attached, _) if self.space.is_token(page) => {
                return Err("a token has no content");
            }
            (Payload::Attached, State::Invalid) => {
                let (came, zero) = (Source::ServiceView, Source::Zero);
                let source = self.planted.bend(Mutant::ContentIgnored, came, zero);
                self.install(page, access, source, out);
            }
            (Payload::Zero, State::Invalid) => self.install(page, access, Source::Zero, out),
            (Payload::Held, State::Shared) if state == State::Modified => {
                self.protect(page, access, out);
            }
            (Payload::Held, _) => return Err("a grant without content upgrades a shared copy"),
            (_, _) => return Err("a grant with content replaces no copy"),
        }
        if !self.planted.is(Mutant::RequestRemembered) {
            self.pages.at(page).asked = None;
        }
        let epoch = self.planted.bend(Mutant::GrantUnnumbered, epoch, copy.epoch);
        self.open(page, Copy { state, epoch }, home, out);
        self.lend_awaited(page, out);
        if !self.planted.is(Mutant::GrantUndrained) {
            self.drain(page, home, out);
        }
        if !self.planted.is(Mutant::ErrandUnheard) {
            self.run_errands(page, home, out);
        }
        Ok(())
    }

    /// The page is usable: let its threads go on, for a minimum time at least.
    fn open(&mut self, page: PageId, copy: Copy, home: Rank, out: &mut Outputs) {
        let keeps = self.holds || self.space.is_token(page);
        let slot = self.pages.at(page);
        slot.set(copy);
        let was_held = slot.is_held;
        slot.is_held |= keeps;
        if self.space.is_token(page) {
            if !self.awaits_carried(page, copy.state.access(), out) {
                self.resume(page, copy.state, out);
            }
            return;
        }
        self.resume(page, copy.state, out);
        if self.holds && !was_held {
            out.push(Output::Hold { page });
        }
        if !self.planted.is(Mutant::ErrandUnheard) {
            self.run_errands(page, home, out);
        }
    }

    fn resume(&self, page: PageId, state: State, out: &mut Outputs) {
        out.push(match self.space.object_of(page) {
            Some(object) => {
                let (right, wrong) = (state.access(), Access::Write);
                let access = self.planted.bend(Mutant::LendOverstepped, right, wrong);
                Output::Lend { object, access }
            }
            None => Output::Resume { page },
        });
    }

    fn install(&self, page: PageId, access: Access, source: Source, out: &mut Outputs) {
        if !self.space.is_token(page) {
            out.push(Output::Install { page, access, source });
        }
    }

    fn protect(&self, page: PageId, access: Access, out: &mut Outputs) {
        if !self.space.is_token(page) {
            out.push(Output::Protect { page, access });
        }
    }

    pub(crate) fn on_demand(
        &mut self,
        page: PageId,
        demand: Demand,
        home: Rank,
        limit: usize,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let queue = self.deferred.get_mut(&page);
        let is_alone = queue.is_none();
        if let Some(queue) = queue {
            if queue.len() >= limit {
                return Err("demands on one page are no more than the ranks");
            }
            queue.push_back(demand);
        }
        self.pin(page, home, out);
        if !is_alone {
            self.drain(page, home, out);
        } else if self.meet(page, demand, Access::None, home, out) == Then::Wait {
            self.deferred.insert(page, VecDeque::from([demand]));
        }
        self.run_errands(page, home, out);
        Ok(())
    }

    pub(crate) fn on_hold_over(&mut self, page: PageId, home: Rank, out: &mut Outputs) {
        self.unpin(page);
        if !self.planted.is(Mutant::HoldForever) {
            self.pages.at(page).is_held = false;
        }
        if !self.planted.is(Mutant::HoldOverUnheard) {
            self.drain(page, home, out);
        }
        self.run_errands(page, home, out);
    }

    /// The threads of this rank need no more of a token than `keep`. What the demands leave is lent again.
    pub(crate) fn on_surrender(
        &mut self,
        token: PageId,
        keep: Access,
        home: Rank,
        out: &mut Outputs,
    ) {
        if !self.planted.is(Mutant::LentForever) {
            self.pages.at(token).is_held = false;
        }
        // The token before its pages: it is lent there when all are, and leaves with the first of them.
        self.drain_while(token, keep, home, out);
        if keep == Access::None {
            self.unpin_carried(token, out);
        }
        let copy = self.copy(token, home);
        if copy.state.access() > Access::None && !self.planted.is(Mutant::RelendForgotten) {
            self.open(token, copy, home, out);
            self.drain(token, home, out);
        }
    }

    /// Whether this rank's threads have the token to surrender.
    pub(crate) fn is_lent(&self, token: PageId) -> bool {
        self.space.is_token(token) && self.slot(token).is_held
    }

    /// Meets the demands on a page, in order, up to the first that must wait.
    fn drain(&mut self, page: PageId, home: Rank, out: &mut Outputs) {
        self.drain_while(page, Access::None, home, out);
    }

    /// Meets the demands on a page, in order, up to the first that must wait or leaves less than `keep`.
    fn drain_while(&mut self, page: PageId, keep: Access, home: Rank, out: &mut Outputs) {
        while let Some(demand) = self.deferred.get(&page).and_then(VecDeque::front).copied() {
            match self.meet(page, demand, keep, home, out) {
                Then::Wait => return,
                Then::Next => self.deferred.get_mut(&page).and_then(VecDeque::pop_front),
                Then::Stop => break,
            };
        }
        self.deferred.remove(&page);
    }

    /// Meets the first demand on a page, if it need not wait and leaves `keep`.
    fn meet(
        &mut self,
        page: PageId,
        demand: Demand,
        keep: Access,
        home: Rank,
        out: &mut Outputs,
    ) -> Then {
        if demand.leaves() < keep {
            return Then::Wait;
        }
        let met = match self.try_meet(page, demand, home, out) {
            Ok(met) => met,
            Err(why) => {
                out.fail(home, demand.message(page), why);
                return Then::Wait;
            }
        };
        if met == Met::OnceFree
            && !self.is_withheld(page)
            && let Some(object) = self.space.object_of(page)
            && !self.planted.is(Mutant::RecallForgotten)
        {
            let (right, wrong) = (demand.leaves(), Access::Read);
            let keep = self.planted.bend(Mutant::RecallTooMild, right, wrong);
            out.push(Output::Recall { object, keep });
        }
        if met != Met::Now && !self.planted.is(Mutant::DemandForgotten) {
            return Then::Wait;
        }
        if self.copy(page, home).state == State::Invalid {
            self.on_closed(page, out);
        }
        if self.planted.is(Mutant::DemandsCut) { Then::Stop } else { Then::Next }
    }

    fn try_meet(
        &mut self,
        page: PageId,
        demand: Demand,
        home: Rank,
        out: &mut Outputs,
    ) -> Result<Met, &'static str> {
        let slot = self.slot(page);
        let Copy { state, epoch } = self.copy_in(slot, home);
        let have = demand.have();
        if have < epoch {
            return Err("a demand names the newest copy");
        }
        if have > epoch && slot.asked.is_none() {
            return Err("a demand names a copy that was granted or is under way");
        }
        let acked = self.planted.bend(Mutant::AckMisnumbered, have, Epoch(have.0 ^ 1));
        let ack = Message::Ack { page, epoch: acked };
        let early = have > epoch && !self.planted.is(Mutant::DemandBeforeGrant);
        let ignored = self.planted.is(match self.space.is_token(page) {
            true => Mutant::TokenGivenEarly,
            false => Mutant::HoldIgnored,
        });
        let held = slot.is_held && !ignored;
        match demand {
            Demand::Invalidate { .. } if early && self.planted.is(Mutant::AckBeforeGrant) => {
                out.send(home, ack, None);
            }
            Demand::Forward { .. } if early && self.planted.is(Mutant::ForwardDropped) => {}
            _ if early => return Ok(Met::OnceGranted),
            _ if held => return Ok(Met::OnceFree),
            Demand::Invalidate { .. } if state != State::Shared => {
                return Err("an invalidation finds a shared copy");
            }
            Demand::Invalidate { have } if self.planted.is(Mutant::AckBeforeDrop) => {
                out.send(home, ack, None);
                self.shrink(page, State::Invalid, have, out);
            }
            Demand::Invalidate { have } => {
                self.shrink(page, State::Invalid, have, out);
                out.send(home, ack, None);
            }
            Demand::Forward { right, to, epoch, have } => {
                let grant = |payload| Message::Grant { page, right, epoch, payload };
                let spoilt = state != State::Fresh && self.planted.is(Mutant::OwnerKeepsCopy);
                let keeps = right == Right::Shared || spoilt;
                let (shared, alone) = (State::Shared, State::Exclusive);
                let shared = self.planted.bend(Mutant::OwnerStaysExclusive, shared, alone);
                let keep = if keeps { shared } else { State::Invalid };
                let epoch = self.planted.bend(Mutant::KeptCopyRenumbered, have, epoch);
                let keep = Copy { state: keep, epoch };
                self.hand_over(page, state, keep, (to, &grant), out)?;
                // The home thought that it would be written.
                if state == State::Exclusive && right == Right::Exclusive {
                    out.send(home, Message::Unwritten { page, epoch: have }, None);
                }
            }
        }
        Ok(Met::Now)
    }

    /// Sends the page to the next holder and keeps no more than `keep`.
    fn hand_over(
        &mut self,
        page: PageId,
        state: State,
        keep: Copy,
        (to, grant): (Rank, &dyn Fn(Payload) -> Message),
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let send_page = |out: &mut Outputs| {
            out.send(to, grant(Payload::Attached), Some(Attachment::Page(page)));
        };
        match state {
            State::Invalid => return Err("a forward finds the owner's copy"),
            State::Fresh if keep.state == State::Shared => {
                return Err("a page never written is handed over whole");
            }
            _ if self.space.is_token(page) => {
                let kept = self.planted.bend(Mutant::TokenKept, keep.state, state);
                self.shrink(page, kept, keep.epoch, out);
                out.send(to, grant(Payload::Zero), None);
            }
            State::Fresh if self.planted.is(Mutant::FreshAttached) => {
                self.pages.at(page).set(keep);
                send_page(out);
            }
            State::Fresh => {
                let state = self.planted.bend(Mutant::FreshKept, keep.state, State::Fresh);
                let keep = Copy { state, ..keep };
                self.pages.at(page).set(keep);
                out.send(to, grant(Payload::Zero), None);
            }
            _ if self.planted.is(Mutant::ZeroForUsed) => {
                self.shrink(page, keep.state, keep.epoch, out);
                out.send(to, grant(Payload::Zero), None);
            }
            _ if self.planted.is(Mutant::SendBeforeProtect) => {
                send_page(out);
                self.shrink(page, keep.state, keep.epoch, out);
            }
            // The page is read only once no thread here can store to it any more.
            State::Shared | State::Exclusive | State::Modified => {
                self.shrink(page, keep.state, keep.epoch, out);
                send_page(out);
            }
        }
        Ok(())
    }

    fn shrink(&mut self, page: PageId, state: State, epoch: Epoch, out: &mut Outputs) {
        let before = self.pages.at(page).set(Copy { state, epoch });
        let unprotected = self.planted.is(match state {
            State::Invalid => Mutant::DropUnprotected,
            _ => Mutant::DowngradeUnprotected,
        });
        if before.is_some_and(|before| before.access() > state.access()) && !unprotected {
            self.protect(page, state.access(), out);
        }
    }

    fn copy(&self, page: PageId, home: Rank) -> Copy {
        self.copy_in(self.slot(page), home)
    }

    fn copy_in(&self, slot: Slot, home: Rank) -> Copy {
        let initial = if home == self.rank { State::Fresh } else { State::Invalid };
        Copy { state: slot.state.unwrap_or(initial), epoch: slot.epoch }
    }

    fn slot(&self, page: PageId) -> Slot {
        self.pages.get(page).copied().unwrap_or_default()
    }
}

impl State {
    pub(crate) fn access(self) -> Access {
        match self {
            Self::Fresh | Self::Invalid => Access::None,
            Self::Shared | Self::Exclusive => Access::Read,
            Self::Modified => Access::Write,
        }
    }
}

impl From<Right> for State {
    fn from(right: Right) -> Self {
        match right {
            Right::Shared => Self::Shared,
            Right::Exclusive => Self::Exclusive,
            Right::Modified => Self::Modified,
        }
    }
}

/// When a demand is met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Now,
    /// When the copy it names is here.
    OnceGranted,
    /// When the hold time is over, or the token surrendered.
    OnceFree,
}

/// What becomes of a page's demands after one was looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It is met, and the next is looked at.
    Next,
    /// It stays the first.
    Wait,
    /// All are taken for met.
    Stop,
}

impl Demand {
    /// The message that made the demand.
    fn message(self, page: PageId) -> Message {
        match self {
            Self::Forward { right, to, epoch, have } => {
                Message::Forward { page, right, to, epoch, have }
            }
            Self::Invalidate { have } => Message::Invalidate { page, have },
        }
    }

    /// What the rank may do afterwards.
    fn leaves(self) -> Access {
        match self {
            Self::Forward { right: Right::Shared, .. } => Access::Read,
            Self::Forward { .. } | Self::Invalidate { .. } => Access::None,
        }
    }

    fn have(self) -> Epoch {
        match self {
            Self::Forward { have, .. } | Self::Invalidate { have } => have,
        }
    }
}
