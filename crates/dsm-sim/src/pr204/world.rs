use super::Setup;
use crate::tape::{Tape, digest};
use dsm_core::pr204::{Config, Engine, Input, Message, Output, Profile};
use dsm_core::{PageId, Rank};
use std::collections::{BTreeSet, VecDeque};
use std::hash::Hash;

/// A job at one instant.
///
/// Invariant: a driver takes an input only when all outputs of the one before are carried out; threads run
/// whenever their page is open, also between two outputs.
#[derive(Clone, Debug, Hash)]
pub(super) struct World {
    profile: Profile,
    nodes: Vec<Node>,
    /// Sender by sender, receiver by receiver; each delivers in order.
    wires: Vec<VecDeque<Packet>>,
    /// How often each page was added to.
    latest: Vec<u32>,
    retries: u8,
}

#[derive(Clone, Debug, Hash)]
struct Node {
    engine: Engine,
    outputs: VecDeque<Output>,
    content: Vec<u32>,
    open: Vec<bool>,
    held: BTreeSet<PageId>,
    threads: Vec<Thread>,
    /// Requests of its own that are not answered.
    unanswered: u8,
    /// A page went out that was still open: when it is removed makes a difference.
    has_copied_open: bool,
    stage: Stage,
}

#[derive(Clone, Debug, Hash)]
struct Thread {
    script: VecDeque<PageId>,
    /// The page it is stopped on, and whether the driver knows.
    stopped: Option<(PageId, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Runs,
    Finalizes,
    Finalized,
    Gone,
}

#[derive(Clone, Copy, Debug, Hash)]
enum Packet {
    Message { message: Message, content: Option<u32> },
    Closed,
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A thread tries its next addition: it adds, or faults.
    Run(Rank, usize),
    /// A driver carries out its next output.
    CarryOut(Rank),
    /// A driver tells its engine of a thread's fault.
    TellFault(Rank, usize),
    /// The oldest message from the first rank to the second is there.
    Deliver(Rank, Rank),
    /// A page's minimum hold time is over.
    HoldOver(Rank, PageId),
    /// A thread has waited for long.
    Retry(Rank),
    /// A thread has done its script and leaves.
    Finalize(Rank),
    /// A rank that may leave is gone.
    Exit(Rank),
}

type Verdict = Result<(), String>;

impl World {
    pub(super) fn new(setup: &Setup) -> Self {
        let nodes = u16::try_from(setup.scripts.len()).expect("worlds are small");
        let pages = usize::try_from(setup.pages).expect("worlds are small");
        let thread = |script: &Vec<PageId>| {
            let script = script.iter().copied().collect();
            Thread { script, stopped: None }
        };
        let node = |(rank, scripts): (u16, &Vec<Vec<PageId>>)| {
            let rank = Rank(rank);
            let config = Config { profile: setup.profile, rank, nodes, pages: setup.pages };
            let engine = match setup.mutant {
                Some(mutant) => Engine::with_mutant(config, mutant),
                None => Engine::new(config),
            };
            Node {
                open: (0..setup.pages).map(|page| engine.is_here(PageId(page))).collect(),
                engine,
                outputs: VecDeque::new(),
                content: vec![0; pages],
                held: BTreeSet::new(),
                threads: scripts.iter().map(thread).collect(),
                unanswered: 0,
                has_copied_open: false,
                stage: Stage::Runs,
            }
        };
        Self {
            profile: setup.profile,
            nodes: (0..nodes).zip(&setup.scripts).map(node).collect(),
            wires: vec![VecDeque::new(); usize::from(nodes) * usize::from(nodes)],
            latest: vec![0; pages],
            retries: setup.retries,
        }
    }

    pub(super) fn digest(&self) -> u128 {
        let mut tape = Tape::default();
        self.hash(&mut tape);
        digest([&tape].into_iter(), u64::MAX)
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (rank, node) in self.ranks().zip(&self.nodes) {
            if node.stage == Stage::Gone {
                continue;
            }
            let threads = || node.threads.iter().enumerate();
            let can_run = threads().filter(|(_, it)| it.wants().is_some());
            steps.extend(can_run.map(|(thread, _)| Step::Run(rank, thread)));
            if !node.outputs.is_empty() {
                steps.push(Step::CarryOut(rank));
                continue;
            }
            let is_in = |told| move |it: &Thread| it.stopped.is_some_and(|(_, it)| it == told);
            let untold = threads().filter(|(_, it)| is_in(false)(it));
            steps.extend(untold.map(|(thread, _)| Step::TellFault(rank, thread)));
            if self.retries > 0 && node.threads.iter().any(is_in(true)) {
                steps.push(Step::Retry(rank));
            }
            let senders = self.ranks().filter(|&from| !self.wire(from, rank).is_empty());
            steps.extend(senders.map(|from| Step::Deliver(from, rank)));
            // A hold is long enough for the threads that waited for the page.
            let is_wanted =
                |page: &&PageId| node.threads.iter().any(|it| it.wants() == Some(**page));
            let over = node.held.iter().filter(|page| !is_wanted(page));
            steps.extend(over.map(|&page| Step::HoldOver(rank, page)));
            match node.stage {
                Stage::Runs if node.threads.iter().all(|it| it.script.is_empty()) => {
                    steps.push(Step::Finalize(rank))
                }
                Stage::Finalized => steps.push(Step::Exit(rank)),
                _ => (),
            }
        }
        steps
    }

    pub(super) fn take(&mut self, step: Step) -> Verdict {
        match step {
            Step::Run(rank, thread) => self.run(rank, thread)?,
            Step::CarryOut(rank) => self.carry_out(rank)?,
            Step::TellFault(rank, thread) => {
                let stopped = &mut self.node(rank).threads[thread].stopped;
                let (page, _) = stopped.expect("the thread is stopped");
                *stopped = Some((page, true));
                self.tell(rank, Input::Fault { page })?;
            }
            Step::Deliver(from, to) => self.deliver(from, to)?,
            Step::HoldOver(rank, page) => {
                self.node(rank).held.remove(&page);
                self.tell(rank, Input::HoldOver { page })?;
            }
            Step::Retry(rank) => {
                self.retries -= 1;
                self.tell(rank, Input::Retry)?;
            }
            Step::Finalize(rank) => {
                self.node(rank).stage = Stage::Finalizes;
                self.tell(rank, Input::Finalize)?;
            }
            Step::Exit(rank) => self.exit(rank),
        }
        self.settle()?;
        self.check_owners()
    }

    /// Does at once what can be done at once without missing anything.
    fn settle(&mut self) -> Verdict {
        loop {
            let idle = self.ranks().find(|&rank| self.makes_no_difference(rank));
            if let Some(rank) = idle {
                self.carry_out(rank)?;
                self.check_owners()?;
            } else if let Some((from, to)) = self.farewell() {
                self.deliver(from, to)?;
            } else {
                return Ok(());
            }
        }
    }

    /// A farewell that is next to be delivered. Nothing depends on when it is, but that its receiver may
    /// leave; and that it does later is a step of its own.
    fn farewell(&self) -> Option<(Rank, Rank)> {
        let is_farewell = |packet: &Packet| {
            let message = Message::Finalize;
            matches!(packet, Packet::Closed)
                || matches!(packet, Packet::Message { message: it, .. } if *it == message)
        };
        let is_idle = |rank: Rank| self.nodes[usize::from(rank.0)].outputs.is_empty();
        let pairs = self.ranks().flat_map(|from| self.ranks().map(move |to| (from, to)));
        let mut pairs = pairs.filter(|&(_, to)| is_idle(to));
        pairs.find(|&(from, to)| self.wire(from, to).front().is_some_and(is_farewell))
    }

    /// Whether the rank's next output may be carried out at once, because nothing that can happen before
    /// it sees the difference: messages are delivered late anyway, a thread that ran before its page is
    /// removed could have run before that input, and one that is resumed late could have run late. But a
    /// page that is copied while its thread can write it may be copied before or after.
    fn makes_no_difference(&self, rank: Rank) -> bool {
        let node = &self.nodes[usize::from(rank.0)];
        let is_copied_open = |page: PageId| node.open[at(page)];
        match node.outputs.front() {
            None => false,
            Some(Output::Send { to, message }) => {
                !message.page_for(*to).is_some_and(is_copied_open)
            }
            Some(Output::Remove { .. }) => !node.has_copied_open,
            Some(_) => true,
        }
    }

    /// Nothing can happen any more.
    pub(super) fn check_end(&self) -> Verdict {
        if self.nodes.iter().any(|node| node.stage != Stage::Gone) {
            return Err("nothing can happen any more, and not all ranks have left".to_owned());
        }
        for (page, latest) in self.latest.iter().enumerate() {
            if !self.nodes.iter().any(|node| node.content[page] == *latest) {
                return Err(format!("the newest content of page {page} is nowhere"));
            }
        }
        Ok(())
    }

    fn run(&mut self, rank: Rank, thread: usize) -> Verdict {
        let node = &mut self.nodes[usize::from(rank.0)];
        let page = node.threads[thread].script[0];
        let at = at(page);
        if !node.open[at] {
            node.threads[thread].stopped = Some((page, false));
            // A fault told late is a thread that runs late, unless pages come that were not asked for.
            let is_told = self.retries == 0 && node.outputs.is_empty();
            return if is_told { self.take(Step::TellFault(rank, thread)) } else { Ok(()) };
        }
        if node.content[at] != self.latest[at] {
            let (seen, latest) = (node.content[at], self.latest[at]);
            return Err(format!("rank {rank} reads {seen} in page {page}, which is {latest}"));
        }
        self.latest[at] += 1;
        node.content[at] += 1;
        node.threads[thread].script.pop_front();
        Ok(())
    }

    fn tell(&mut self, rank: Rank, input: Input) -> Verdict {
        let outputs = self.node(rank).engine.handle(input);
        let told = |output: &Output| match output {
            Output::Send { to, message: Message::Page { .. } } => Some(*to),
            _ => None,
        };
        let told: BTreeSet<_> = outputs.iter().filter_map(told).collect();
        let is_deaf = |peer: Rank| peer == rank || self.nodes[usize::from(peer.0)].is_gone();
        if !told.is_empty() && self.ranks().any(|peer| !is_deaf(peer) && !told.contains(&peer)) {
            return Err(format!("rank {rank} announces a page to {told:?} alone"));
        }
        self.node(rank).outputs.extend(outputs);
        Ok(())
    }

    fn carry_out(&mut self, rank: Rank) -> Verdict {
        let node = self.node(rank);
        match node.outputs.pop_front().expect("there is an output") {
            Output::Remove { page } => {
                node.open[at(page)] = false;
                node.has_copied_open = false;
            }
            Output::Install { page } => node.open[at(page)] = true,
            Output::Resume { page } => {
                for thread in &mut node.threads {
                    thread.stopped = thread.stopped.filter(|(on, _)| *on != page);
                }
            }
            Output::Hold { page } => {
                node.held.insert(page);
            }
            Output::Finalized => node.stage = Stage::Finalized,
            Output::Fail { rank: cause, reason } => {
                return Err(format!("rank {rank} fails because of rank {cause}: {reason}"));
            }
            Output::Send { to, message } => return self.send(rank, to, message),
        }
        Ok(())
    }

    fn send(&mut self, from: Rank, to: Rank, message: Message) -> Verdict {
        let profile = self.profile;
        let node = self.node(from);
        if from == to {
            return Err(format!("rank {from} says {message:?} to itself"));
        }
        if let Message::Request { source, page } = message {
            if source == to {
                return Err(format!("rank {from} sends {to} its own request for page {page}"));
            }
            node.unanswered += u8::from(source == from && profile == Profile::Seed8);
            if node.unanswered > 1 {
                return Err(format!("rank {from} has two requests outstanding"));
            }
        }
        let page = message.page_for(to);
        node.has_copied_open |= page.is_some_and(|page| node.open[at(page)]);
        let content = page.map(|page| node.content[at(page)]);
        if !self.node(to).is_gone() {
            self.wire_mut(from, to).push_back(Packet::Message { message, content });
        }
        Ok(())
    }

    fn deliver(&mut self, from: Rank, to: Rank) -> Verdict {
        let packet = self.wire_mut(from, to).pop_front().expect("a message is under way");
        let Packet::Message { message, content } = packet else {
            return self.tell(to, Input::PeerClosed { rank: from });
        };
        if let (Some(content), Some(page)) = (content, message.page_for(to)) {
            let node = self.node(to);
            if node.open[at(page)] {
                return Err(format!("page {page} comes to rank {to}, where it is open"));
            }
            node.content[at(page)] = content;
            node.unanswered = node.unanswered.saturating_sub(1);
        }
        self.tell(to, Input::Message { from, message })
    }

    fn exit(&mut self, rank: Rank) {
        let node = self.node(rank);
        node.stage = Stage::Gone;
        node.open.fill(false);
        node.held.clear();
        for peer in self.ranks() {
            self.wire_mut(peer, rank).clear();
            if peer != rank && !self.node(peer).is_gone() {
                self.wire_mut(rank, peer).push_back(Packet::Closed);
            }
        }
    }

    fn check_owners(&self) -> Verdict {
        for page in 0..self.latest.len() {
            let owners = self.nodes.iter().filter(|node| node.open[page]).count();
            if owners > 1 {
                return Err(format!("page {page} has {owners} owners"));
            }
        }
        Ok(())
    }

    fn ranks(&self) -> impl Iterator<Item = Rank> + use<> {
        (0..u16::try_from(self.nodes.len()).expect("worlds are small")).map(Rank)
    }

    fn node(&mut self, rank: Rank) -> &mut Node {
        &mut self.nodes[usize::from(rank.0)]
    }

    fn wire(&self, from: Rank, to: Rank) -> &VecDeque<Packet> {
        &self.wires[usize::from(from.0) * self.nodes.len() + usize::from(to.0)]
    }

    fn wire_mut(&mut self, from: Rank, to: Rank) -> &mut VecDeque<Packet> {
        let nodes = self.nodes.len();
        &mut self.wires[usize::from(from.0) * nodes + usize::from(to.0)]
    }
}

impl Node {
    fn is_gone(&self) -> bool {
        self.stage == Stage::Gone
    }
}

impl Thread {
    /// The page it is about to touch, unless it is stopped.
    fn wants(&self) -> Option<PageId> {
        self.script.front().copied().filter(|_| self.stopped.is_none())
    }
}

fn at(page: PageId) -> usize {
    usize::try_from(page.0).expect("worlds are small")
}
