use super::{NOBODY, Packet, World, at};
use crate::memory::Content;
use crate::node::{Node, change};
use crate::oracle::Waiter;
use crate::{Broken, Promise, Watch};
use dsm_core::{
    Access, Answer, Attachment, BarrierKind, Call, Hold, Input, Message, ObjectId, Output, PageId,
    Rank, Source, Task, Violation,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// What drivers and wires do.
impl World {
    pub(super) fn handle(&mut self, rank: Rank, input: Input) -> Result<(), Broken> {
        self.told = Some((rank, input));
        let node = change(&mut self.nodes[at(rank)]);
        match input {
            Input::Call { call: Call::Carry { object, page, .. }, .. } => {
                node.carries.insert(page, object);
            }
            Input::Call { call: Call::Surrender { object, keep: Access::None }, .. } => {
                node.surrendered = Some(object);
            }
            _ => {}
        }
        self.oracle.take(rank, &node.engine, &input);
        let outputs = catch_unwind(AssertUnwindSafe(|| node.engine.handle(input)));
        let outputs = outputs.map_err(|_| {
            let how = format!("the engine of rank {rank} panicked at {input:?}");
            Broken::new(Promise::NoPanic, how)
        })?;
        node.outputs.extend(outputs);
        self.settle(rank)
    }

    pub(super) fn carry_out(&mut self, rank: Rank, output: Output) -> Result<(), Broken> {
        self.oracle.follow(rank, &output, &mut self.memory)?;
        let node = change(&mut self.nodes[at(rank)]);
        match output {
            Output::Protect { page, access } => return self.protect(rank, page, access),
            Output::Install { page, access, source } => {
                return self.install(rank, page, access, source);
            }
            Output::Send { to, message, attach } => return self.send(rank, to, message, attach),
            Output::Resume { page } => {
                let faults = self.setup.faults;
                node.threads.iter_mut().for_each(|thread| thread.resume(page, faults));
            }
            Output::Hold { page } => {
                // One time runs for a page.
                node.pinned.remove(&page);
                if self.setup.hold == Hold::None || !node.held.insert(page) {
                    let how = format!("rank {rank} starts a hold time of page {page} twice");
                    return Err(Broken::new(Promise::DriverCan, how));
                }
            }
            Output::Pin { page } => {
                node.pinned.insert(page);
                if node.held.contains(&page) || !node.kept.insert(page) {
                    let how = format!("rank {rank} pins page {page}, which is held");
                    return Err(Broken::new(Promise::DriverCan, how));
                }
            }
            Output::Lend { object, access } => return self.lend(rank, object, access),
            Output::Recall { object, keep } => return self.recall(rank, object, keep),
            Output::Serve { asker, id, task } => return self.serve(rank, (asker, id), task),
            Output::Clear { first, pages } => return self.memory.clear(rank, first, pages),
            Output::Answered { id, answer } => return self.answered(rank, id, answer),
            Output::Fail { violation } => return self.fail(rank, violation),
        }
        Ok(())
    }

    /// A rank ends the job. Among honest ranks it must have a reason.
    fn fail(&mut self, rank: Rank, violation: Violation) -> Result<(), Broken> {
        let is_true = match violation {
            Violation::PeerLost { rank: lost } => self.node(rank).lost.contains(&lost),
            Violation::BarrierMismatch { waiting, leaving } => {
                let (waiting, leaving) = (self.node(waiting), self.node(leaving));
                waiting.waits_at(BarrierKind::Program)
                    && leaving.waits_at(BarrierKind::Finalize)
                    && waiting.barriers_reached() == leaving.barriers_reached()
            }
            Violation::Unexpected { .. } | Violation::BadFault { .. } => false,
        };
        if is_true {
            self.go_down(rank);
            return Ok(());
        }
        let how = format!("rank {rank} ends the job: {violation}");
        Err(Broken::new(Promise::NoFailure, how))
    }

    pub(super) fn go_down(&mut self, rank: Rank) {
        change(&mut self.nodes[at(rank)]).go_down();
        self.memory.lose(rank);
        for from in self.ranks() {
            let wire = self.wire_index(from, rank);
            self.wires[wire] = Rc::default();
        }
    }

    fn protect(&mut self, rank: Rank, page: PageId, access: Access) -> Result<(), Broken> {
        let held = self.node(rank).held.contains(&page) && self.memory.is_used(page);
        let is_used = self.memory.is_used(page);
        let node = change(&mut self.nodes[at(rank)]);
        node.kept.remove(&page);
        if !is_used && node.held.remove(&page) {
            // Its end comes, and finds another page, as it were.
            node.pinned.insert(page);
        }
        let cell = self.memory.cell_mut(rank, page);
        if cell.access == Access::None {
            let how = format!("rank {rank} protects page {page}, which is not installed");
            return Err(Broken::new(Promise::DriverCan, how));
        }
        if held && access < cell.access && self.setup.watch == Watch::Everything {
            let how = format!("rank {rank} gives page {page} up before its hold time is over");
            return Err(Broken::new(Promise::HoldTime, how));
        }
        cell.access = access;
        Ok(())
    }

    fn install(
        &mut self,
        rank: Rank,
        page: PageId,
        access: Access,
        source: Source,
    ) -> Result<(), Broken> {
        let cell = self.memory.cell_mut(rank, page);
        if cell.access != Access::None {
            let how = format!("rank {rank} installs page {page}, which is installed");
            return Err(Broken::new(Promise::DriverCan, how));
        }
        if source == Source::Zero {
            cell.content = Content::Version(0);
        }
        cell.access = access;
        Ok(())
    }

    fn send(
        &mut self,
        from: Rank,
        to: Rank,
        message: Message,
        attach: Option<Attachment>,
    ) -> Result<(), Broken> {
        let page = attach.map(|Attachment::Page(page)| page);
        if from == to || at(to) >= self.nodes.len() || page != message.attached_page() {
            let how = format!("rank {from} sends {message:?} with {attach:?} to rank {to}");
            return Err(Broken::new(Promise::DriverCan, how));
        }
        let content = page.map(|page| self.memory.cell(from, page).content);
        let used = page.is_some_and(|page| self.memory.is_used(page));
        if content == Some(Content::Garbage) && used {
            let how = format!("rank {from} sends {message:?} without having the page");
            return Err(Broken::new(Promise::ContentKept, how));
        }
        self.sent += 1;
        if let Message::Grant { page, .. } = message {
            change(&mut self.nodes[at(from)]).kept.remove(&page);
        }
        if self.node(to).is_up() {
            let wire = self.wire_index(from, to);
            let packet = Packet { message, content, arriving: false };
            Rc::make_mut(&mut self.wires[wire]).push_back(packet);
        }
        Ok(())
    }

    /// Threads of this rank have this much of a token from now on.
    fn lend(&mut self, rank: Rank, object: ObjectId, access: Access) -> Result<(), Broken> {
        let lent = |node: &Rc<Node>| node.locks.right(object);
        let others = self.ranks().filter(|other| *other != rank);
        let most = others.map(|other| lent(&self.nodes[at(other)])).max();
        let alone = most.is_none_or(|most| match access {
            Access::Write => most == Access::None,
            Access::Read | Access::None => most < Access::Write,
        });
        if !alone && self.setup.watch == Watch::Everything {
            let how =
                format!("rank {rank} has lock {object} lent for {access:?}, another {most:?}");
            return Err(Broken::new(Promise::OneToken, how));
        }
        let node = change(&mut self.nodes[at(rank)]);
        if node.locks.used(object) > access {
            let how = format!("rank {rank} loses lock {object} while a thread has it");
            return Err(Broken::new(Promise::DriverCan, how));
        }
        let changed = node.locks.lend(object, access);
        self.follow(rank, object, changed)
    }

    fn recall(&mut self, rank: Rank, object: ObjectId, keep: Access) -> Result<(), Broken> {
        let node = change(&mut self.nodes[at(rank)]);
        let Some(changed) = node.locks.recall(object, keep) else { return Ok(()) };
        let call = Call::Surrender { object, keep };
        node.followups.push_back(Input::Call { id: NOBODY, call });
        self.follow(rank, object, changed)
    }

    /// Does what a rank asks for that only the driver of this one can do.
    fn serve(&mut self, rank: Rank, asker: Waiter, task: Task) -> Result<(), Broken> {
        let answer = match task {
            Task::Add { object, value } => self.operate(rank, object, |word| Some(word + value))?,
            Task::Swap { object, expected, desired } => {
                self.operate(rank, object, |word| (word == expected).then_some(desired))?
            }
            Task::Free { .. } => Answer::Done,
            Task::Inspect { object, access } => {
                match self.node(rank).locks.rules_out(object, access) {
                    true => Answer::Held { rank, thread: 0, waits_for: None },
                    false => Answer::Done,
                }
            }
        };
        self.oracle.on_served(asker, answer);
        let (asker, id) = asker;
        let served = Input::Served { asker, id, answer };
        change(&mut self.nodes[at(rank)]).followups.push_back(served);
        Ok(())
    }

    /// An operation on a word takes effect as a store of this rank would.
    fn operate(
        &mut self,
        rank: Rank,
        object: ObjectId,
        change: impl Fn(u64) -> Option<u64>,
    ) -> Result<Answer, Broken> {
        let page = self.setup.space().page_of(object);
        let access = self.memory.cell(rank, page).access;
        if access != Access::Write {
            let how = format!("rank {rank} operates on page {page} with {access:?} access");
            return Err(Broken::new(Promise::Operations, how));
        }
        let word = self.tally.word(object);
        match change(word) {
            Some(changed) => {
                self.memory.store(rank, page)?;
                self.tally.set_word(object, changed);
            }
            None => self.memory.load(rank, page)?,
        }
        Ok(Answer::Value(word))
    }

    /// Bytes are about to come in; until all are there the page is neither old nor new.
    pub(super) fn arrive(&mut self, from: Rank, to: Rank) -> Result<(), Broken> {
        let wire = self.wire_index(from, to);
        let packet = Rc::make_mut(&mut self.wires[wire]).front_mut();
        let packet = packet.expect("the step was offered");
        packet.arriving = true;
        let page = packet.message.attached_page().expect("only pages arrive");
        self.admit(from, to, page)?;
        self.memory.cell_mut(to, page).content = Content::Garbage;
        Ok(())
    }

    pub(super) fn deliver(&mut self, from: Rank, to: Rank) -> Result<(), Broken> {
        let wire = self.wire_index(from, to);
        let packet = Rc::make_mut(&mut self.wires[wire]).pop_front();
        let Packet { message, content, arriving } = packet.expect("the step was offered");
        if let (Some(page), Some(content)) = (message.attached_page(), content) {
            if !arriving {
                self.admit(from, to, page)?;
            }
            self.memory.cell_mut(to, page).content = content;
        }
        self.handle(to, Input::Message { from, message })
    }

    /// The driver asks before it lets a peer's bytes into a page.
    fn admit(&self, from: Rank, to: Rank, page: PageId) -> Result<(), Broken> {
        let mapped = self.memory.cell(to, page).access > Access::None;
        if self.node(to).engine.awaits_content(page) && !mapped {
            return Ok(());
        }
        let how = format!("rank {from} sends page {page} to rank {to}, which does not await it");
        Err(Broken::new(Promise::DriverCan, how))
    }

    /// When the last output is carried out: engine and memory agree, and unused memory is given back.
    pub(super) fn settle(&mut self, rank: Rank) -> Result<(), Broken> {
        let node = self.node(rank);
        if !node.is_idle() || !node.is_up() {
            return Ok(());
        }
        for page in self.pages().filter(|_| self.setup.watch == Watch::Everything) {
            let (says, has) = (node.engine.access(page), self.memory.cell(rank, page).access);
            if says != has {
                let how = format!("rank {rank} has {has:?} access to page {page}, not {says:?}");
                return Err(Broken::new(Promise::AccessAgrees, how));
            }
        }
        let kept = node.kept.iter().find(|page| {
            node.surrendered.is_some() && node.carries.get(page) == node.surrendered.as_ref()
        });
        if let Some(page) = kept
            && self.setup.watch == Watch::Everything
        {
            let how = format!("rank {rank} gives a lock up and keeps page {page} for it");
            return Err(Broken::new(Promise::Pins, how));
        }
        if let Some((object, lent)) = node.locks.rights().find(|(object, lent)| {
            let says = node.engine.access(self.setup.space().token(*object));
            *lent > says && self.setup.watch == Watch::Everything
        }) {
            let how = format!("rank {rank} has {lent:?} of lock {object}, which its engine denies");
            return Err(Broken::new(Promise::AccessAgrees, how));
        }
        self.memory.forget_unmapped(rank);
        if self.node(rank).surrendered.is_some() {
            change(&mut self.nodes[at(rank)]).surrendered = None;
        }
        Ok(())
    }
}
