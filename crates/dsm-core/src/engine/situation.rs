//! Every pair of a state and what can reach it, as seen from inside, for whoever counts which ever occur.
//!
//! Only the `mutants` feature has it. The engine's own work is the same with and without.

use crate::barrier::BarrierSituation;
use crate::copy::{CopySituation, CopyState, State};
use crate::directory::{HomeCopy, HomeSituation};
use crate::{Engine, Epoch, Input, Message, Outputs, PageId};

/// A state of one of an engine's parts, and what reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Situation {
    /// A rank's own copy of a page.
    Copy(CopySituation),
    /// The directory entry of a page, at its home.
    Home(HomeSituation),
    /// The barrier of all ranks.
    Barrier(BarrierSituation),
}

impl Engine {
    /// The situation in which this input would find the engine; none for a lost peer.
    #[must_use]
    pub fn situation(&self, input: &Input) -> Option<Situation> {
        if let Some(barrier) = self.barrier.situation(self.rank, input) {
            return Some(Situation::Barrier(barrier));
        }
        let page = match *input {
            Input::Fault { page, .. } | Input::HoldOver { page } => page,
            Input::Message { message, .. } => message.page()?,
            Input::Call { .. } | Input::Served { .. } | Input::PeerLost { .. } => return None,
        };
        let home = self.home(page);
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

    /// What [`handle`](Self::handle) does, and tells of the input and of each message of this rank to
    /// itself before it is taken.
    pub fn handle_watched(
        &mut self,
        input: Input,
        watcher: &mut dyn FnMut(&Self, &Input),
    ) -> Outputs {
        watcher(self, &input);
        self.take(input, |engine, message| {
            watcher(engine, &Input::Message { from: engine.rank, message });
        })
    }

    /// What this rank has of a page.
    #[must_use]
    pub fn copy_state(&self, page: PageId) -> CopyState {
        self.copies.copy_state(page, self.home(page))
    }

    /// The epoch of this rank's copy of a page.
    #[must_use]
    pub fn copy_epoch(&self, page: PageId) -> Epoch {
        self.copies.copy_epoch(page, self.home(page))
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
            | Self::Ack { page, .. } => Some(page),
            _ => None,
        }
    }
}
