//! Every pair of a state and what can reach it, as seen from inside, for whoever counts which ever occur.
//!
//! Only the `mutants` feature has it. The engine's own work is the same with and without.

use super::operation;
use crate::barrier::{BarrierSituation, COORDINATOR};
use crate::calls::CallSituation;
use crate::cond::{CondSituation, Waiter};
use crate::copy::{
    CopySituation, CopyState, OperationPlace, OperationSituation, ReclaimSituation, State,
    TokenSituation,
};
use crate::directory::{HomeCopy, HomeSituation};
use crate::gathering::GatheringSituation;
use crate::homes::ClaimSituation;
use crate::runs::RunSituation;
use crate::semaphore::SemaphoreSituation;
use crate::{Ask, Call, Engine, Epoch, Input, Message, ObjectId, Outputs, PageId, Rank, Space};

/// A state of one of an engine's parts, and what reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Situation {
    /// A rank's own copy of a page.
    Copy(CopySituation),
    /// What a rank has of a lock's token.
    Token(TokenSituation),
    /// The directory entry of a page or token, at its home.
    Home(HomeSituation),
    /// The barrier of all ranks.
    Barrier(BarrierSituation),
    /// A call of this rank's threads that another rank answers.
    Call(CallSituation),
    /// A condition variable, at its home.
    Cond(CondSituation),
    /// A semaphore, at its home.
    Semaphore(SemaphoreSituation),
    /// A barrier with a count, at its home.
    Gathering(GatheringSituation),
    /// The heap's pages, at the coordinator.
    Run(RunSituation),
    /// A word that an operation is to be run on.
    Operation(OperationSituation),
    /// A run of the heap that nobody uses any more.
    Reclaim(ReclaimSituation),
    /// Something is said about the home of a page that is its first toucher's.
    Claim(ClaimSituation),
    /// Something is asked of a rank that does not serve it.
    Misdirected,
}

impl Engine {
    /// The situation in which this input would find the engine; none for a lost peer, and for what calls
    /// for no decision.
    #[must_use]
    pub fn situation(&self, input: &Input) -> Option<Situation> {
        if let Some(barrier) = self.barrier.situation(self.rank, input) {
            return Some(Situation::Barrier(barrier));
        }
        if let Input::Message { from, message } = input {
            match self.copies.homes.situation(*from, message) {
                Ok(None) => {}
                Ok(Some(claim)) => return Some(Situation::Claim(claim)),
                Err(_) => return Some(Situation::Misdirected),
            }
        }
        let page = match *input {
            Input::Fault { page, .. } | Input::HoldOver { page } => page,
            Input::Call {
                call: Call::Acquire { object, .. } | Call::Surrender { object, .. },
                ..
            } => self.space.token(object),
            Input::Message { from, message } => match message.page() {
                Some(page) => page,
                None => return self.told(from, message),
            },
            Input::Call { .. } | Input::Served { .. } | Input::PeerLost { .. } => return None,
        };
        let home = self.home_or_elsewhere(page);
        if self.space.is_token(page)
            && let Some(token) = self.copies.token_situation(input, home)
        {
            return Some(Situation::Token(token));
        }
        if let Some(copy) = self.copies.situation(input, home) {
            return Some(Situation::Copy(copy));
        }
        let Input::Message { from, message } = *input else { return None };
        let home_copy = match self.copies.state(page, home) {
            State::Fresh => HomeCopy::Fresh,
            _ => HomeCopy::Used,
        };
        self.directory.situation(from, &message, home_copy).map(Situation::Home)
    }

    /// The situation of a message that is about no copy of a page.
    fn told(&self, from: Rank, message: Message) -> Option<Situation> {
        match message {
            Message::Ask { asker, id, object, ask } => {
                self.asked(from, Waiter { rank: asker, id }, object, ask)
            }
            Message::Answer { id, answer } => {
                Some(Situation::Call(self.calls.situation(from, id, answer)))
            }
            Message::Reclaim { first, pages } => {
                let end = first.0.saturating_add(pages);
                let is_heap = first.0 >= self.space.area_pages && end <= self.space.pages;
                Some(Situation::Reclaim(match from == COORDINATOR && is_heap && pages > 0 {
                    true => self.copies.reclaim_situation(first, pages),
                    false => ReclaimSituation::Wrong,
                }))
            }
            Message::Reclaimed { .. } if self.rank != COORDINATOR => Some(Situation::Misdirected),
            Message::Reclaimed { first } => Some(Situation::Run(self.runs.reclaimed(from, first))),
            _ => None,
        }
    }

    fn asked(&self, from: Rank, asker: Waiter, object: ObjectId, ask: Ask) -> Option<Situation> {
        let page = self.space.page_of(object);
        if operation(object, ask).is_some() {
            if let Some(claim) = self.copies.homes.asked(page)
                && asker.rank == from
                && self.home(page) != Some(from)
            {
                return Some(Situation::Claim(claim));
            }
            let home = self.home_or_elsewhere(page);
            let owner = self.directory.owner(page);
            let place = match (from == home, self.rank == home) {
                (_, true) if asker.rank != from => OperationPlace::Stranger,
                (_, true) if owner == self.rank => OperationPlace::HomeAndOwner,
                (_, true) if owner == asker.rank => OperationPlace::HomeOfAskers,
                (_, true) => OperationPlace::Home,
                (true, false) => OperationPlace::Owner,
                (false, false) => OperationPlace::Stranger,
            };
            let operation = self.copies.operation_situation(page, place, home);
            return Some(Situation::Operation(operation));
        }
        let is_run = matches!(ask, Ask::RunTake { .. } | Ask::RunGive | Ask::RunOwner);
        let serves = if is_run { COORDINATOR } else { self.space.home(page) };
        let anywhere = matches!(ask, Ask::BlockFree | Ask::Inspect { .. });
        if asker.rank != from || (serves != self.rank && !anywhere) {
            return Some(Situation::Misdirected);
        }
        if let Ask::BarrierWait { count } = ask {
            return Some(Situation::Gathering(self.gatherings.situation(object, count)));
        }
        let cond = self.conds.situation(object, asker, ask).map(Situation::Cond);
        let semaphore = self.semaphores.situation(object, ask).map(Situation::Semaphore);
        let run = self.runs.asked(page, ask).map(Situation::Run);
        // What is left a driver decides.
        cond.or(semaphore).or(run)
    }

    /// What [`handle`](Self::handle) does, and tells of the input and of each message of this rank to
    /// itself before it is taken.
    pub fn handle_watched(
        &mut self,
        input: Input,
        watcher: &mut dyn FnMut(&Self, &Input),
    ) -> Outputs {
        watcher(self, &input);
        let mut out = Outputs::new(self.rank);
        let watch = |engine: &Self, message| {
            watcher(engine, &Input::Message { from: engine.rank, message });
        };
        self.take(input, watch, &mut out);
        out
    }

    /// Where the home of a page is not known, a copy is as anywhere but at the home.
    fn home_or_elsewhere(&self, page: PageId) -> Rank {
        let elsewhere = Rank(self.space.nodes);
        self.home(page).unwrap_or(elsewhere)
    }

    /// Whose engine it is.
    #[must_use]
    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// How the region is laid out.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// What this rank has of a page.
    #[must_use]
    pub fn copy_state(&self, page: PageId) -> CopyState {
        self.copies.copy_state(page, self.home_or_elsewhere(page))
    }

    /// The epoch of this rank's copy of a page.
    #[must_use]
    pub fn copy_epoch(&self, page: PageId) -> Epoch {
        self.copies.copy_epoch(page, self.home_or_elsewhere(page))
    }
}

impl Message {
    /// The page it is about, unless it is about a barrier.
    fn page(&self) -> Option<PageId> {
        match *self {
            Self::Request { page, .. }
            | Self::Forward { page, .. }
            | Self::Grant { page, .. }
            | Self::Invalidate { page, .. }
            | Self::Ack { page, .. }
            | Self::Unwritten { page, .. } => Some(page),
            _ => None,
        }
    }
}
