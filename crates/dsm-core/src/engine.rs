#[cfg(feature = "mutants")]
pub(crate) mod footprint;
#[cfg(feature = "mutants")]
mod situation;
mod standing;

#[cfg(feature = "mutants")]
pub use footprint::Footprint;
#[cfg(feature = "mutants")]
pub use situation::Situation;
pub use standing::{Standing, Withheld};

use crate::barrier::{Barrier, COORDINATOR};
use crate::calls::Calls;
use crate::cond::{Conds, Waiter};
use crate::copy::{Copies, Demand, Errand, State};
use crate::directory::{Directory, HomeCopy};
use crate::gathering::Gatherings;
use crate::homes::Touch;
use crate::io::{Call, Input, Output, Outputs, Task, Violation};
use crate::message::{Answer, Ask, CallId, Message};
use crate::mutant::{Mutant, Planted};
use crate::runs::Runs;
use crate::semaphore::Semaphores;
use crate::{Access, ObjectId, PageId, Rank, Space};
use alloc::vec::Vec;

/// What an engine is told at its birth; equal on all ranks but for `rank`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// This rank.
    pub rank: Rank,
    /// The region and the ranks.
    pub space: Space,
    /// Whether a granted page stays for a minimum time.
    pub hold: Hold,
}

/// Whether a granted page stays for a minimum time, so that an instruction that touches two pages retires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Demands are met at once.
    None,
    /// Demands wait for [`Input::HoldOver`], which the driver sends some time after [`Output::Hold`].
    Timed,
}

/// One rank's half of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Engine {
    rank: Rank,
    space: Space,
    planted: Planted,
    copies: Copies,
    directory: Directory,
    barrier: Barrier,
    calls: Calls,
    conds: Conds,
    semaphores: Semaphores,
    gatherings: Gatherings,
    runs: Runs,
}

impl Engine {
    /// The engine of one rank. Every page is zero and owned by its home.
    ///
    /// # Panics
    /// If the rank is not below the number of nodes.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::build(config, Planted::default())
    }

    /// An engine with a bug in it.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_mutant(config: Config, mutant: crate::Mutant) -> Self {
        Self::build(config, Planted { mutant: Some(mutant) })
    }

    fn build(Config { rank, space, hold }: Config, planted: Planted) -> Self {
        assert!(rank.0 < space.nodes, "a rank is below the number of nodes");
        Self {
            rank,
            space,
            planted,
            copies: Copies::new(rank, space, hold == Hold::Timed, planted),
            directory: Directory::new(rank, space, planted),
            barrier: Barrier::new(rank, space.nodes, planted),
            calls: Calls::new(rank, space, planted),
            conds: Conds::new(planted),
            semaphores: Semaphores::new(planted),
            gatherings: Gatherings::new(planted),
            runs: Runs::new(rank, space, planted),
        }
    }

    /// The same engine with another width of the barrier's tree, so that few ranks make a high one. All ranks
    /// need the same.
    ///
    /// # Panics
    /// If it is 0.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_fan_in(mut self, fan_in: u16) -> Self {
        assert!(fan_in > 0, "a rank of a tree has ranks below it");
        self.barrier.set_fan_in(fan_in);
        self
    }

    /// The same engine with another number of writes in a row after which a page is expected to move; 0 is always.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn with_moves_after(mut self, moves: u8) -> Self {
        self.directory.set_moves_after(moves);
        self
    }

    /// Takes one input. The outputs must be carried out, in order, before the next.
    pub fn handle(&mut self, input: Input) -> Outputs {
        let mut out = Outputs::new(self.rank);
        self.take(input, |_, _| (), &mut out);
        out
    }

    /// The same with outputs whose memory is used again. They must be empty, and carried out before the next
    /// input.
    ///
    /// # Panics
    /// If they are another rank's, or not empty.
    pub fn handle_into(&mut self, input: Input, out: &mut Outputs) {
        assert!(out.is_of(self.rank), "outputs are carried out before the next input");
        self.take(input, |_, _| (), out);
    }

    /// Takes an input, and tells of each message of this rank to itself before it is taken.
    fn take(&mut self, input: Input, mut watch: impl FnMut(&Self, Message), out: &mut Outputs) {
        match input {
            Input::Fault { page, access } => self.on_fault(page, access, out),
            Input::Message { from, message } => self.on_message(from, message, out),
            Input::Call { id, call } => self.on_call(id, call, out),
            Input::Served { asker, id, answer } => out.answer(asker, id, answer),
            Input::HoldOver { page } => {
                if let Some(home) = self.home(page) {
                    self.copies.on_hold_over(page, home, out);
                }
            }
            Input::PeerLost { .. } if self.planted.is(Mutant::PeerLossIgnored) => {}
            Input::PeerLost { rank } => {
                out.push(Output::Fail { violation: Violation::PeerLost { rank } });
            }
        }
        self.hear_own(out, &mut watch);
        if let Input::Call { call: Call::Acquire { object, access }, .. } = input {
            self.ask_for_carried(object, access, out);
            self.hear_own(out, &mut watch);
        }
    }

    /// Takes what this rank said to itself.
    fn hear_own(&mut self, out: &mut Outputs, watch: &mut impl FnMut(&Self, Message)) {
        while let Some(message) = out.next_own() {
            watch(self, message);
            self.on_message(self.rank, message, out);
            if self.planted.is(Mutant::OwnMessageLost) {
                break;
            }
        }
    }

    /// What comes with a lock is asked for after its token: who has the lock keeps it only when the token is
    /// known to be wanted.
    fn ask_for_carried(&mut self, object: ObjectId, access: Access, out: &mut Outputs) {
        let token = self.space.token(object);
        if self.access(token) < access {
            self.copies.ask_for_carried(token, access, out);
        }
    }

    /// What this rank's threads may do with `page`.
    #[must_use]
    pub fn access(&self, page: PageId) -> Access {
        let state = |home| self.copies.state(page, home).access();
        self.home(page).map_or(Access::None, state)
    }

    /// Whether the content of `page` may arrive now: it was asked for and nothing is held.
    /// A driver asks before it lets a peer's bytes into the page.
    #[must_use]
    pub fn awaits_content(&self, page: PageId) -> bool {
        self.home(page).is_some_and(|home| self.copies.awaits_content(page, home))
    }

    /// Whether some demand may be waiting for a hold time to end: only then does its end matter at once.
    #[must_use]
    pub fn has_deferred_demands(&self) -> bool {
        self.copies.has_deferred_demands()
    }

    /// The rank that keeps the directory entry of `page`; `None` if it is the rank that touches the page
    /// first, and this one has not been told which.
    #[must_use]
    pub fn home(&self, page: PageId) -> Option<Rank> {
        self.copies.homes.home(page)
    }

    fn on_fault(&mut self, page: PageId, access: Access, out: &mut Outputs) {
        if page.0 >= self.space.pages || access == Access::None {
            return out.push(Output::Fail { violation: Violation::BadFault { page, access } });
        }
        if let Some(home) = self.copies.homes.touch(page, Touch::Fault(access), out) {
            self.copies.on_fault(page, access, home, out);
        }
    }

    fn on_call(&mut self, id: CallId, call: Call, out: &mut Outputs) {
        match call {
            Call::Barrier(kind) => self.barrier.on_call(id, kind, out),
            Call::Acquire { object, access } => {
                let token = self.space.token(object);
                self.copies.on_fault(token, access, self.space.home(token), out);
            }
            Call::Carry { object, page, access } => {
                self.copies.on_carry(self.space.token(object), page, access);
            }
            Call::Surrender { object, keep } => {
                let token = self.space.token(object);
                assert!(self.copies.is_lent(token), "what is surrendered was lent: lock {object}");
                self.copies.on_surrender(token, keep, self.space.home(token), out);
            }
            Call::Probe { object, access } => self.calls.on_probe(id, object, access, out),
            Call::Ask { object, ask } => {
                if let Some(task) = operation(object, ask) {
                    return self.operate(id, object, ask, task, out);
                }
                let serves = match ask {
                    Ask::RunTake { .. } | Ask::RunGive | Ask::RunOwner => COORDINATOR,
                    _ => self.space.home_of(object),
                };
                self.calls.on_ask(id, object, ask, serves, out);
            }
            Call::Free { owner, object } => {
                self.calls.on_ask(id, object, Ask::BlockFree, owner, out);
            }
            Call::Home { page } => {
                let answer = self.home(page).map_or(Answer::NotTaken, Answer::Owner);
                out.push(Output::Answered { id, answer });
            }
            Call::Prefetch { first, pages, access } => {
                for page in (first.0..first.0 + pages).map(PageId) {
                    if self.access(page) < access {
                        self.on_fault(page, access, out);
                    }
                }
            }
        }
    }

    /// A thread of this rank has an operation run on a word: here, if this rank may write the page without
    /// asking, or else by way of the page's home.
    fn operate(&mut self, id: CallId, object: ObjectId, ask: Ask, task: Task, out: &mut Outputs) {
        let page = self.space.page_of(object);
        let touch = Touch::Operation { id, object, ask };
        let Some(home) = self.copies.homes.touch(page, touch, out) else { return };
        if self.copies.is_sole(page, home) {
            self.calls.begin(id, ask, self.rank);
            let errand = Errand::Operate { asker: self.rank, id, task };
            return self.copies.on_own_errand(page, errand, home, out);
        }
        self.calls.on_ask(id, object, ask, home, out);
    }

    /// The home of a page is known now: does what waited for that.
    fn on_home_known(&mut self, page: PageId, waiting: Vec<Touch>, out: &mut Outputs) {
        for touch in waiting {
            match touch {
                Touch::Fault(access) => self.on_fault(page, access, out),
                Touch::Operation { id, object, ask } => {
                    self.on_call(id, Call::Ask { object, ask }, out);
                }
            }
        }
    }

    fn on_message(&mut self, from: Rank, message: Message, out: &mut Outputs) {
        if let Err(why) = self.take_message(from, message, out) {
            out.fail(from, message, why);
        }
    }

    fn take_message(
        &mut self,
        from: Rank,
        message: Message,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        match message {
            Message::Request { page, access } => {
                self.require_page(page)?;
                self.presume(page, from, message, out);
                self.require_home(page)?;
                let home_copy = match self.copies.state(page, self.rank) {
                    State::Fresh if !self.planted.is(Mutant::FreshMistaken) => HomeCopy::Fresh,
                    _ => HomeCopy::Used,
                };
                self.directory.on_request(from, page, access, home_copy, out)
            }
            Message::Ack { page, epoch } => {
                self.require_home(page)?;
                self.directory.on_ack(from, page, epoch, out)
            }
            Message::Unwritten { page, epoch } => {
                self.require_home(page)?;
                self.directory.on_unwritten(page, epoch)
            }
            Message::Forward { page, right, to, epoch, have } => {
                if to == self.rank || to.0 >= self.space.nodes || epoch <= have {
                    return Err("a forward names another rank and a later epoch");
                }
                self.on_demand(from, page, Demand::Forward { right, to, epoch, have }, out)
            }
            Message::Invalidate { page, have } => {
                self.on_demand(from, page, Demand::Invalidate { have }, out)
            }
            Message::Grant { page, right, epoch, payload } => {
                self.require_page(page)?;
                let home = self.home(page).ok_or("a grant answers a request under way")?;
                self.copies.on_grant(page, (right, epoch, payload), home, out)
            }
            Message::BarrierArrive { kind, epoch } => {
                self.barrier.on_arrive(from, kind, epoch, out)
            }
            Message::BarrierRelease { kind, epoch } => {
                self.barrier.on_release(from, kind, epoch, out)
            }
            Message::Leaving { rank, epoch } => self.barrier.on_leaving(from, rank, epoch, out),
            Message::Ask { asker, id, object, ask } => {
                let asked = Asked { from, asker: Waiter { rank: asker, id }, object };
                self.on_ask(asked, ask, out)
            }
            Message::Answer { id, answer } => self.calls.on_answer(from, id, answer, out),
            Message::Reclaim { first, pages } => self.on_reclaim(from, first, pages, out),
            Message::Claim { page } => self.copies.homes.on_claim(from, page, out),
            Message::Home { page, home } => {
                let waiting = self.copies.homes.on_home(from, page, home, out)?;
                self.on_home_known(page, waiting, out);
                Ok(())
            }
            Message::Reclaimed { first } => {
                if self.rank != COORDINATOR {
                    return Err("a run is reclaimed for the coordinator");
                }
                self.runs.on_reclaimed(from, first, out)
            }
        }
    }

    fn on_reclaim(
        &mut self,
        from: Rank,
        first: PageId,
        pages: u64,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let end = PageId(first.0.saturating_add(pages));
        let is_heap = first.0 >= self.space.area_pages && end.0 <= self.space.pages;
        if from != COORDINATOR || !is_heap || pages == 0 {
            return Err("the coordinator reclaims pages of the heap");
        }
        self.semaphores.forget(self.space.first_object(first), self.space.first_object(end));
        self.copies.on_reclaim(first, pages, out)
    }

    fn on_ask(
        &mut self,
        Asked { from, asker, object }: Asked,
        ask: Ask,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let page = self.space.page_of(object);
        if let Some(task) = operation(object, ask) {
            return self.on_operation(Asked { from, asker, object }, ask, task, out);
        }
        if asker.rank != from {
            return Err("a rank asks for its own threads");
        }
        let serves = match ask {
            Ask::RunTake { .. } | Ask::RunGive | Ask::RunOwner => COORDINATOR,
            Ask::BlockFree | Ask::Inspect { .. } => self.rank,
            _ => self.space.home(page),
        };
        if serves != self.rank {
            return Err("a rank asks who serves the object");
        }
        match ask {
            Ask::CondWait => return self.conds.on_wait(object, asker, out),
            Ask::CondLeave { waiter } => {
                let waiter = Waiter { rank: from, id: waiter };
                self.conds.on_leave(object, waiter, asker, out);
            }
            Ask::CondSignal => self.conds.on_signal(object, asker, out),
            Ask::CondBroadcast => self.conds.on_broadcast(object, asker, out),
            Ask::CondDestroy => self.conds.on_destroy(object, asker, out),
            Ask::SemaphoreInit { value } => self.semaphores.on_set(object, value, asker, out),
            Ask::SemaphoreWait => return self.semaphores.on_wait(object, asker, out),
            Ask::SemaphoreTry => self.semaphores.on_try(object, asker, out),
            Ask::SemaphorePost => self.semaphores.on_post(object, asker, out),
            Ask::SemaphoreDestroy => self.semaphores.on_set(object, 0, asker, out),
            Ask::BarrierWait { count } => {
                return self.gatherings.on_wait(object, count, asker, out);
            }
            Ask::RunTake { pages } => return self.runs.on_take(pages, asker, out),
            Ask::RunGive => self.runs.on_give(page, asker, out),
            Ask::RunOwner => self.runs.on_owner(page, asker, out),
            Ask::BlockFree => serve(asker, Task::Free { object }, out),
            Ask::Inspect { access } => serve(asker, Task::Inspect { object, access }, out),
            Ask::Add { .. } | Ask::Swap { .. } => unreachable!("operations were taken above"),
        }
        Ok(())
    }

    /// An operation goes from its asker to the page's home and from there to the page's owner, who runs
    /// it as one of its own threads would.
    fn on_operation(
        &mut self,
        Asked { from, asker, object }: Asked,
        ask: Ask,
        task: Task,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let page = self.space.page_of(object);
        let Waiter { rank, id } = asker;
        self.presume(page, from, Message::Ask { asker: rank, id, object, ask }, out);
        let home = self.home(page).ok_or("an operation comes to the page's home, or from there")?;
        let is_ours = self.rank == home;
        if from != home && (asker.rank != from || !is_ours) {
            return Err("an operation comes from its asker to the page's home, or from there");
        }
        let owner = if is_ours { self.directory.owner(page) } else { self.rank };
        if owner == self.rank {
            let errand = Errand::Operate { asker: asker.rank, id: asker.id, task };
            return self.copies.on_errand(page, errand, home, out);
        }
        let rank = self.planted.bend(Mutant::AskerForgotten, rank, self.rank);
        out.send(owner, Message::Ask { asker: rank, id, object, ask }, None);
        Ok(())
    }

    fn on_demand(
        &mut self,
        from: Rank,
        page: PageId,
        demand: Demand,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        self.require_page(page)?;
        let home = self.home(page).filter(|home| *home == from);
        let home = home.ok_or("a demand comes from the page's home")?;
        self.copies.on_demand(page, demand, home, usize::from(self.space.nodes) + 1, out)
    }

    fn require_home(&self, page: PageId) -> Result<(), &'static str> {
        self.require_page(page)?;
        match self.home(page) {
            Some(home) if home == self.rank => Ok(()),
            _ => Err("it goes to the page's home"),
        }
    }

    /// A rank takes this one for the home of a page.
    fn presume(&mut self, page: PageId, from: Rank, message: Message, out: &mut Outputs) {
        let waiting = self.copies.homes.presume(page, from, message);
        self.on_home_known(page, waiting, out);
    }

    fn require_page(&self, page: PageId) -> Result<(), &'static str> {
        if self.space.contains(page) { Ok(()) } else { Err("a page is in the region") }
    }
}

/// A question that came in a message.
struct Asked {
    /// Who sent it.
    from: Rank,
    /// Who waits for the answer.
    asker: Waiter,
    object: ObjectId,
}

/// What an operation on a word has the driver do, if it is one.
fn operation(object: ObjectId, ask: Ask) -> Option<Task> {
    match ask {
        Ask::Add { value } => Some(Task::Add { object, value }),
        Ask::Swap { expected, desired } => Some(Task::Swap { object, expected, desired }),
        _ => None,
    }
}

fn serve(Waiter { rank, id }: Waiter, task: Task, out: &mut Outputs) {
    out.push(Output::Serve { asker: rank, id, task });
}
