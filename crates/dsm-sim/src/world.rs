use crate::memory::{Content, Memory};
use crate::node::{Fault, Node, Thread, ThreadState, change};
use crate::tape::{Tape, digest};
use crate::{Arrival, Broken, Faults, Op, Promise, Setup, Watch};
use dsm_core::{
    Access, Answer, Attachment, BarrierKind, Call, CallId, Hold, Input, Message, Output, PageId,
    Rank, Source, Violation,
};
use std::collections::VecDeque;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

/// A cluster at one instant: engines, memory, wires, programs.
///
/// Invariant: a driver takes an input only when every output of the one before is carried out; threads
/// run whenever their access is permitted, also between two outputs.
#[derive(Clone, Debug)]
pub struct World {
    setup: Rc<Setup>,
    nodes: Vec<Rc<Node>>,
    memory: Memory,
    /// Sender by sender, receiver by receiver; each delivers in order.
    wires: Vec<Rc<VecDeque<Packet>>>,
    sent: u64,
}

/// A message under way.
#[derive(Clone, Debug)]
struct Packet {
    message: Message,
    content: Option<Content>,
    /// Its bytes have begun to come in.
    arriving: bool,
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A thread tries its next operation: it runs, or faults, or calls.
    Run(Rank, usize),
    /// A driver reads all faults that wait.
    ReadFaults(Rank),
    /// A driver tells its engine of the oldest fault it has read.
    TellFault(Rank),
    /// A driver carries out its next output.
    CarryOut(Rank),
    /// The first bytes of the page that the oldest message brings come in.
    Arrive(Rank, Rank),
    /// The oldest message from the first rank to the second is there.
    Deliver(Rank, Rank),
    /// A page's minimum hold time is over.
    HoldOver(Rank, PageId),
    /// The second rank learns that the first is gone, and hears no more from it.
    Lose(Rank, Rank),
}

impl World {
    /// The cluster at its start.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let nodes = setup.nodes();
        let wires = usize::from(nodes) * usize::from(nodes);
        Self {
            nodes: (0..nodes).map(|rank| Rc::new(Node::new(Rank(rank), &setup))).collect(),
            memory: Memory::new(nodes, setup.pages),
            wires: vec![Rc::default(); wires],
            setup: Rc::new(setup),
            sent: 0,
        }
    }

    /// What the world is made of.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// How many messages were sent so far.
    #[must_use]
    pub fn messages_sent(&self) -> u64 {
        self.sent
    }

    /// Whether every thread has done its script, or went down with its rank.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let done = |node: &Node| node.threads.iter().all(|thread| thread.op().is_none());
        self.nodes.iter().all(|node| !node.is_up() || done(node))
    }

    pub(crate) fn has_lost_a_rank(&self) -> bool {
        self.nodes.iter().any(|node| !node.is_up())
    }

    /// Everything that can happen next, in a fixed order.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for rank in self.ranks() {
            let node = self.node(rank);
            if !node.is_up() {
                continue;
            }
            let runs = |&thread: &usize| self.can_run(node, rank, thread);
            let threads = (0..node.threads.len()).filter(runs);
            steps.extend(threads.map(|thread| Step::Run(rank, thread)));
            if !node.is_idle() {
                steps.push(Step::CarryOut(rank));
                continue;
            }
            if !node.faults.is_empty() {
                steps.push(Step::TellFault(rank));
            } else if node.has_unread_fault() {
                steps.push(Step::ReadFaults(rank));
            }
            for from in self.ranks() {
                let split = self.setup.arrival == Arrival::Split;
                steps.extend(self.wire(from, rank).front().map(|packet| {
                    match split && packet.content.is_some() && !packet.arriving {
                        true => Step::Arrive(from, rank),
                        false => Step::Deliver(from, rank),
                    }
                }));
                if !self.node(from).is_up() && !node.lost.contains(&from) {
                    steps.push(Step::Lose(from, rank));
                }
            }
            steps.extend(node.held.iter().map(|&page| Step::HoldOver(rank, page)));
        }
        steps
    }

    fn can_run(&self, node: &Node, rank: Rank, thread: usize) -> bool {
        let thread = &node.threads[thread];
        match thread.op() {
            Some(op) if thread.state == ThreadState::Running => match self.missing(rank, op) {
                // A page it needs is not there: it faults.
                Some(_) => self.setup.faults != Faults::AtOnce || node.is_idle(),
                None => op.barrier().is_none() || node.is_idle(),
            },
            _ => false,
        }
    }

    /// Takes a step that [`steps`](Self::steps) offered, and looks whether everything is as promised.
    ///
    /// # Errors
    /// If it is not. The world is then of no further use.
    ///
    /// # Panics
    /// If the step was not offered.
    pub fn take(&mut self, step: Step) -> Result<(), Broken> {
        match step {
            Step::Run(rank, thread) => self.run(rank, thread)?,
            Step::ReadFaults(rank) => change(&mut self.nodes[at(rank)]).read_faults(),
            Step::TellFault(rank) => {
                let fault = change(&mut self.nodes[at(rank)]).faults.pop_front();
                let (page, access) = fault.expect("the step was offered");
                self.handle(rank, Input::Fault { page, access })?;
            }
            Step::CarryOut(rank) => {
                let output = change(&mut self.nodes[at(rank)]).outputs.pop_front();
                self.carry_out(rank, output.expect("the step was offered"))?;
                self.settle(rank)?;
            }
            Step::Arrive(from, to) => self.arrive(from, to)?,
            Step::Deliver(from, to) => self.deliver(from, to)?,
            Step::HoldOver(rank, page) => {
                change(&mut self.nodes[at(rank)]).held.remove(&page);
                self.handle(rank, Input::HoldOver { page })?;
            }
            Step::Lose(from, to) => {
                let wire = self.wire_index(from, to);
                self.wires[wire] = Rc::default();
                change(&mut self.nodes[at(to)]).lost.insert(from);
                self.handle(to, Input::PeerLost { rank: from })?;
            }
        }
        match self.setup.watch {
            Watch::Everything => self
                .memory
                .check(|page, version| self.is_flying(page, version) || self.has_lost_a_rank()),
            Watch::Program => Ok(()),
        }
    }

    fn run(&mut self, rank: Rank, thread: usize) -> Result<(), Broken> {
        let op = self.node(rank).threads[thread].op().expect("the step was offered");
        if let Some((page, access)) = self.missing(rank, op) {
            let node = change(&mut self.nodes[at(rank)]);
            let (told, fault) = match self.setup.faults {
                Faults::AtOnce => (true, Fault::Read),
                Faults::Batched | Faults::Posted => (false, Fault::Unread),
            };
            node.threads[thread].state = ThreadState::Stopped { page, access, fault };
            return if told { self.handle(rank, Input::Fault { page, access }) } else { Ok(()) };
        }
        if op == Op::Crash {
            self.go_down(rank);
            return Ok(());
        }
        if let Some(kind) = op.barrier() {
            let id = CallId(thread as u64);
            let call = Call::Barrier(kind);
            change(&mut self.nodes[at(rank)]).threads[thread].state = ThreadState::Calling(id);
            return self.handle(rank, Input::Call { id, call });
        }
        for (page, access) in op.needs() {
            match access {
                Access::Write => self.memory.store(rank, page)?,
                Access::None | Access::Read => self.memory.load(rank, page)?,
            }
        }
        change(&mut self.nodes[at(rank)]).threads[thread].retire();
        Ok(())
    }

    /// What a thread would fault on if it tried its next operation.
    pub(crate) fn lacks(&self, rank: Rank, thread: usize) -> Option<(PageId, Access)> {
        self.node(rank).threads[thread].op().and_then(|op| self.missing(rank, op))
    }

    /// The first access of an operation that this rank has no right to.
    fn missing(&self, rank: Rank, op: Op) -> Option<(PageId, Access)> {
        op.needs().find(|&(page, access)| self.memory.cell(rank, page).access < access)
    }

    fn handle(&mut self, rank: Rank, input: Input) -> Result<(), Broken> {
        let node = change(&mut self.nodes[at(rank)]);
        let outputs = catch_unwind(AssertUnwindSafe(|| node.engine.handle(input)));
        let outputs = outputs.map_err(|_| {
            let how = format!("the engine of rank {rank} panicked at {input:?}");
            Broken::new(Promise::NoPanic, how)
        })?;
        node.outputs.extend(outputs);
        self.settle(rank)
    }

    fn carry_out(&mut self, rank: Rank, output: Output) -> Result<(), Broken> {
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
                if self.setup.hold == Hold::None || !node.held.insert(page) {
                    let how = format!("rank {rank} starts a hold time of page {page} twice");
                    return Err(Broken::new(Promise::DriverCan, how));
                }
            }
            Output::Answered { id, answer: Answer::Done } => return self.grant(rank, id),
            Output::Answered { id, answer } => {
                let how = format!("rank {rank} answers call {}: {answer:?}", id.0);
                return Err(Broken::new(Promise::NoFailure, how));
            }
            Output::Lend { .. }
            | Output::Recall { .. }
            | Output::Serve { .. }
            | Output::Clear { .. } => {
                let how = format!("rank {rank} asks for {output:?}, which no call led to");
                return Err(Broken::new(Promise::DriverCan, how));
            }
            Output::Fail { violation } => return self.fail(rank, violation),
        }
        Ok(())
    }

    /// A rank ends the job. Among honest ranks it must have a reason.
    fn fail(&mut self, rank: Rank, violation: Violation) -> Result<(), Broken> {
        let is_true = match violation {
            Violation::PeerLost { rank: lost } => self.node(rank).lost.contains(&lost),
            Violation::BarrierMismatch { waiting, leaving } => {
                self.node(waiting).waits_at(BarrierKind::Program)
                    && self.node(leaving).waits_at(BarrierKind::Finalize)
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

    fn go_down(&mut self, rank: Rank) {
        change(&mut self.nodes[at(rank)]).go_down();
        self.memory.lose(rank);
        for from in self.ranks() {
            let wire = self.wire_index(from, rank);
            self.wires[wire] = Rc::default();
        }
    }

    fn protect(&mut self, rank: Rank, page: PageId, access: Access) -> Result<(), Broken> {
        let held = self.node(rank).held.contains(&page);
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
        if content == Some(Content::Garbage) {
            let how = format!("rank {from} sends {message:?} without having the page");
            return Err(Broken::new(Promise::ContentKept, how));
        }
        self.sent += 1;
        if self.node(to).is_up() {
            let wire = self.wire_index(from, to);
            let packet = Packet { message, content, arriving: false };
            Rc::make_mut(&mut self.wires[wire]).push_back(packet);
        }
        Ok(())
    }

    /// Every rank must have reached the barrier that a thread passes.
    fn grant(&mut self, rank: Rank, id: CallId) -> Result<(), Broken> {
        let calling = |thread: &Thread| thread.state == ThreadState::Calling(id);
        let Some(thread) = self.node(rank).threads.iter().position(calling) else {
            let how = format!("rank {rank} grants call {}, which nobody made", id.0);
            return Err(Broken::new(Promise::DriverCan, how));
        };
        let reached =
            |node: &Rc<Node>| node.threads.iter().map(Thread::barriers_reached).sum::<usize>();
        let passed = reached(&self.nodes[at(rank)]);
        if let Some(behind) = self.nodes.iter().position(|node| reached(node) < passed) {
            let how = format!("rank {rank} passes barrier {passed} before rank {behind} is there");
            return Err(Broken::new(Promise::Barrier, how));
        }
        change(&mut self.nodes[at(rank)]).threads[thread].retire();
        Ok(())
    }

    /// Bytes are about to come in; until all are there the page is neither old nor new.
    fn arrive(&mut self, from: Rank, to: Rank) -> Result<(), Broken> {
        let wire = self.wire_index(from, to);
        let packet = Rc::make_mut(&mut self.wires[wire]).front_mut();
        let packet = packet.expect("the step was offered");
        packet.arriving = true;
        let page = packet.message.attached_page().expect("only pages arrive");
        self.admit(from, to, page)?;
        self.memory.cell_mut(to, page).content = Content::Garbage;
        Ok(())
    }

    fn deliver(&mut self, from: Rank, to: Rank) -> Result<(), Broken> {
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
    fn settle(&mut self, rank: Rank) -> Result<(), Broken> {
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
        self.memory.forget_unmapped(rank);
        Ok(())
    }

    /// Whether some thread of a rank is stopped at a fault.
    #[must_use]
    pub fn is_stopped(&self, rank: Rank) -> bool {
        self.node(rank).threads.iter().any(Thread::is_stopped)
    }

    /// The engine that a step is about to give an input, and the input.
    #[cfg(feature = "mutants")]
    pub(crate) fn input_of(&self, step: Step) -> Option<(&dsm_core::Engine, Input)> {
        let (rank, input) = match step {
            Step::Run(rank, thread) => {
                let op = self.node(rank).threads[thread].op()?;
                let input = match (self.missing(rank, op), op.barrier()) {
                    (Some((page, access)), _) if self.setup.faults == Faults::AtOnce => {
                        Input::Fault { page, access }
                    }
                    (None, Some(kind)) => {
                        Input::Call { id: CallId(thread as u64), call: Call::Barrier(kind) }
                    }
                    _ => return None,
                };
                (rank, input)
            }
            Step::TellFault(rank) => {
                let &(page, access) = self.node(rank).faults.front()?;
                (rank, Input::Fault { page, access })
            }
            Step::Deliver(from, to) => {
                (to, Input::Message { from, message: *self.front(from, to)? })
            }
            Step::HoldOver(rank, page) => (rank, Input::HoldOver { page }),
            Step::Lose(from, to) => (to, Input::PeerLost { rank: from }),
            Step::ReadFaults(_) | Step::CarryOut(_) | Step::Arrive(..) => return None,
        };
        Some((&self.node(rank).engine, input))
    }

    pub(crate) fn is_up(&self, rank: Rank) -> bool {
        self.node(rank).is_up()
    }

    pub(crate) fn operations_done(&self, rank: Rank, thread: usize) -> usize {
        self.node(rank).threads[thread].done()
    }

    /// Replaces what one rank's first thread does; all threads must be done.
    pub(crate) fn assign(&mut self, rank: Rank, script: Arc<[Op]>) {
        assert!(self.is_done(), "a new script follows a finished one");
        let node = change(&mut self.nodes[at(rank)]);
        node.threads.truncate(1);
        node.threads[0] = Thread::new(script);
    }

    /// The same for two worlds exactly if the same can happen in both, but for a chance of 2^-128.
    pub(crate) fn digest(&self) -> u128 {
        let mut rest = Tape::default();
        self.memory.words().for_each(|word| rest.push(word));
        for wire in &self.wires {
            rest.push(wire.len() as u64);
            for packet in wire.iter() {
                packet.message.hash(&mut rest);
                let age = |page| packet.content.map(|content| self.memory.age(page, content));
                let age = packet.message.attached_page().and_then(age);
                rest.push(age.map_or(0, |age| age * 2 + u64::from(packet.arriving)));
            }
        }
        let threads = self.nodes.iter().map(|node| node.threads.len() as u64).max();
        let fixed = self.setup.pages.max(threads.unwrap_or(0));
        digest(self.nodes.iter().map(|node| node.tape()).chain([&rest]), fixed)
    }

    fn is_flying(&self, page: PageId, version: u32) -> bool {
        let carries = |packet: &Packet| {
            packet.message.attached_page() == Some(page)
                && packet.content == Some(Content::Version(version))
        };
        self.wires.iter().any(|wire| wire.iter().any(carries))
    }

    pub(crate) fn ranks(&self) -> impl Iterator<Item = Rank> + use<> {
        (0..self.setup.nodes()).map(Rank)
    }

    pub(crate) fn pages(&self) -> impl Iterator<Item = PageId> + use<> {
        (0..self.setup.pages).map(PageId)
    }

    pub(crate) fn node(&self, rank: Rank) -> &Node {
        &self.nodes[at(rank)]
    }

    /// The oldest message on a wire.
    pub(crate) fn front(&self, from: Rank, to: Rank) -> Option<&Message> {
        self.wire(from, to).front().map(|packet| &packet.message)
    }

    fn wire(&self, from: Rank, to: Rank) -> &VecDeque<Packet> {
        &self.wires[self.wire_index(from, to)]
    }

    fn wire_index(&self, from: Rank, to: Rank) -> usize {
        at(from) * self.nodes.len() + at(to)
    }
}

fn at(rank: Rank) -> usize {
    usize::from(rank.0)
}
