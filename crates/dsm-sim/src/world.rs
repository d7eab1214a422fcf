mod driver;
mod program;

use crate::memory::{Content, Memory};
use crate::node::{Node, change};
use crate::oracle::Oracle;
use crate::tally::Tally;
use crate::tape::{Tape, digest};
use crate::thread::{Thread, ThreadState};
use crate::{Arrival, Broken, Faults, Op, Patience, Setup, Watch};
use dsm_core::{Access, CallId, Input, Message, ObjectId, PageId, Rank};
use std::collections::VecDeque;
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;

/// A cluster at one instant: engines, memory, wires, programs.
///
/// Invariant: a driver takes an input only when every output of the one before is carried out, and told the
/// engine what followed from them; threads run whenever their access is permitted, also between two outputs.
#[derive(Clone, Debug)]
pub struct World {
    setup: Rc<Setup>,
    nodes: Vec<Rc<Node>>,
    memory: Memory,
    oracle: Oracle,
    tally: Tally,
    /// Sender by sender, receiver by receiver; each delivers in order.
    wires: Vec<Rc<VecDeque<Packet>>>,
    sent: u64,
    /// Numbers up to this one name pages, words, threads and calls, and are what they are.
    fixed: u64,
    /// What the latest step told an engine.
    told: Option<(Rank, Input)>,
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
    /// A driver tells its engine what followed from carrying the outputs out.
    FollowUp(Rank),
    /// A driver takes the oldest call that no thread waits for.
    TakeCall(Rank),
    /// A thread loses patience.
    GiveUp(Rank, usize),
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
        let space = setup.space();
        Self {
            nodes: (0..nodes).map(|rank| Rc::new(Node::new(Rank(rank), &setup))).collect(),
            memory: Memory::new(nodes, space.area_pages, space.pages),
            oracle: Oracle::new(space),
            tally: Tally::new(space.pages),
            wires: vec![Rc::default(); wires],
            fixed: fixed_numbers(&setup),
            setup: Rc::new(setup),
            sent: 0,
            told: None,
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
            let gives_up = |&thread: &usize| can_give_up(node, &node.threads[thread]);
            let threads = (0..node.threads.len()).filter(gives_up);
            steps.extend(threads.map(|thread| Step::GiveUp(rank, thread)));
            if !node.is_idle() {
                let carries = !node.outputs.is_empty();
                steps.push(if carries { Step::CarryOut(rank) } else { Step::FollowUp(rank) });
                continue;
            }
            steps.extend((!node.calls.is_empty()).then_some(Step::TakeCall(rank)));
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
            steps.extend(node.held.union(&node.pinned).map(|&page| Step::HoldOver(rank, page)));
        }
        steps
    }

    fn can_run(&self, node: &Node, rank: Rank, place: usize) -> bool {
        let thread = &node.threads[place];
        let Some(op) = thread.op() else { return false };
        match thread.state {
            ThreadState::Running => match self.missing(rank, thread) {
                // A page it needs is not there: it faults.
                Some(_) => self.setup.faults != Faults::AtOnce || node.is_idle(),
                None => !self.calls_at_once(node, place, op) || node.is_idle(),
            },
            ThreadState::Trying | ThreadState::Freeing { .. } => node.is_idle(),
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
        self.told = None;
        match step {
            Step::Run(rank, thread) => self.run(rank, thread)?,
            Step::ReadFaults(rank) => change(&mut self.nodes[at(rank)]).read_faults(),
            Step::TellFault(rank) => {
                let fault = change(&mut self.nodes[at(rank)]).faults.pop_front();
                self.tell_fault(rank, fault.expect("the step was offered"))?;
            }
            Step::CarryOut(rank) => {
                let output = change(&mut self.nodes[at(rank)]).outputs.pop_front();
                self.carry_out(rank, output.expect("the step was offered"))?;
                self.settle(rank)?;
            }
            Step::FollowUp(rank) => {
                let input = change(&mut self.nodes[at(rank)]).followups.pop_front();
                self.handle(rank, input.expect("the step was offered"))?;
            }
            Step::TakeCall(rank) => {
                let call = change(&mut self.nodes[at(rank)]).calls.pop_front();
                let call = call.expect("the step was offered");
                self.handle(rank, Input::Call { id: NOBODY, call })?;
            }
            Step::GiveUp(rank, thread) => self.give_up(rank, thread)?,
            Step::Arrive(from, to) => self.arrive(from, to)?,
            Step::Deliver(from, to) => self.deliver(from, to)?,
            Step::HoldOver(rank, page) => {
                let node = change(&mut self.nodes[at(rank)]);
                node.held.remove(&page);
                node.pinned.remove(&page);
                node.kept.remove(&page);
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

    /// What a thread would fault on if it tried its next operation.
    pub(crate) fn lacks(&self, rank: Rank, thread: usize) -> Option<(PageId, Access)> {
        self.missing(rank, &self.node(rank).threads[thread])
    }

    /// The first access of its next operation that this rank has no right to.
    fn missing(&self, rank: Rank, thread: &Thread) -> Option<(PageId, Access)> {
        let lacks = |need: &(PageId, Access)| self.memory.cell(rank, need.0).access < need.1;
        match thread.op()? {
            Op::Scribble => thread.scribbles().find(lacks),
            op => op.needs().find(lacks),
        }
    }

    /// Whether some thread of a rank is stopped at a fault.
    #[must_use]
    pub fn is_stopped(&self, rank: Rank) -> bool {
        self.node(rank).threads.iter().any(Thread::is_stopped)
    }

    /// The engine that a step is about to give an input, and the input.
    #[cfg(feature = "mutants")]
    pub(crate) fn input_of(&self, step: Step) -> Option<(&dsm_core::Engine, Input)> {
        let mut next = self.clone();
        // What is told is told whether a promise is broken by it or not.
        let _ = next.take(step);
        let (rank, input) = next.told?;
        Some((&self.node(rank).engine, input))
    }

    pub(crate) fn is_up(&self, rank: Rank) -> bool {
        self.node(rank).is_up()
    }

    /// What a semaphore should be.
    pub(crate) fn value_of(&self, semaphore: ObjectId) -> u32 {
        self.oracle.value_of(semaphore)
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
        self.memory.used().hash(&mut rest);
        self.oracle.state().hash(&mut rest);
        self.tally.state().hash(&mut rest);
        for wire in &self.wires {
            rest.push(wire.len() as u64);
            for packet in wire.iter() {
                packet.message.hash(&mut rest);
                let age = |page| packet.content.map(|content| self.memory.age(page, content));
                let age = packet.message.attached_page().and_then(age);
                rest.push(age.map_or(0, |age| age * 2 + u64::from(packet.arriving)));
            }
        }
        digest(self.nodes.iter().map(|node| node.tape()).chain([&rest]), self.fixed)
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

    /// All pages, the heap's too.
    pub(crate) fn pages(&self) -> impl Iterator<Item = PageId> + use<> {
        (0..self.setup.space().pages).map(PageId)
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

/// Whether a thread waits with patience that can end now.
fn can_give_up(node: &Node, thread: &Thread) -> bool {
    match (thread.op(), thread.state) {
        (Some(Op::Lock(_, _, Patience::Limited)), ThreadState::Queued) => true,
        (Some(Op::CondWait { patience: Patience::Limited, .. }), ThreadState::Asleep) => {
            node.is_idle()
        }
        _ => false,
    }
}

/// The highest number that names something, so that it is told apart from epochs, of which nothing but
/// the order counts.
fn fixed_numbers(setup: &Setup) -> u64 {
    let pages = setup.space().pages;
    let calls = |op: Op| op.barrier().is_none() && op.needs().next().is_none() && op != Op::Crash;
    if !setup.ops().any(calls) {
        return pages.max(setup.threads());
    }
    // Tokens are numbered behind the pages; a thread has two numbers for calls, and some for probes.
    let operations = setup.ops().filter(|op| matches!(op, Op::Add(_) | Op::Swap(_))).count() as u64;
    (2 * pages).max(4 * setup.threads()).max(operations)
}

fn at(rank: Rank) -> usize {
    usize::from(rank.0)
}

/// No thread waits for the answer.
const NOBODY: CallId = CallId(0);
