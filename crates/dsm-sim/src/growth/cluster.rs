use super::member::{Member, Traffic, Waits};
use super::model::{Model, PAGE_BYTES};
use crate::locks::{Change, Take};
use crate::{Mode, Op};
use dsm_core::wire::{HEADER_BYTES, Limits, decode, encode};
use dsm_core::{
    Access, Answer, Ask, BarrierKind, Call, CallId, Config, Engine, Hold, Input, Message, ObjectId,
    Output, PageId, Rank, Space, Task,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Ranks, and what is under way between them, at one instant of the model's time.
///
/// Invariant: what happens at the same instant happens in the order in which it was caused, so that a run is
/// determined by its scripts.
#[derive(Debug)]
pub(super) struct Cluster {
    model: Model,
    limits: Limits,
    members: Vec<Member>,
    events: BinaryHeap<Reverse<Event>>,
    caused: u64,
    now: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: u64,
    number: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The first bits of a message reach a rank's link.
    Bits(Packet),
    /// All of it is there.
    Whole(Packet),
    /// The hold time of a page is over.
    HoldOver(Rank, PageId),
    /// A thread goes on.
    Run(Rank),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    from: Rank,
    to: Rank,
    message: Message,
    /// How many messages, this one too, were sent one because of the other.
    hops: u32,
}

impl Cluster {
    pub(super) fn new(model: Model, space: Space) -> Self {
        Self::with_fan_in(model, space, None)
    }

    /// With another width of the barrier's tree.
    pub(super) fn with_fan_in(model: Model, space: Space, fan_in: Option<u16>) -> Self {
        let engine = |rank| Engine::new(Config { rank: Rank(rank), space, hold: Hold::Timed });
        let engine = |rank| match fan_in {
            Some(fan_in) => engine(rank).with_fan_in(fan_in),
            None => engine(rank),
        };
        let page_bytes = u32::try_from(PAGE_BYTES).expect("a page is small");
        Self {
            model,
            limits: Limits { space, page_bytes },
            members: (0..space.nodes).map(|rank| Member::new(engine(rank))).collect(),
            events: BinaryHeap::new(),
            caused: 0,
            now: 0,
        }
    }

    pub(super) fn space(&self) -> &Space {
        &self.limits.space
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The model's time, in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// A rank's thread does this from now on.
    pub(super) fn assign(&mut self, rank: u16, ops: impl IntoIterator<Item = Op>) {
        let at = self.now;
        let member = self.member(Rank(rank));
        assert!(member.script.is_empty(), "a new script follows a finished one");
        member.script.extend(ops);
        member.hops = 0;
        self.cause(at, What::Run(Rank(rank)));
    }

    /// Goes on until nothing happens any more, and says whose threads are not done.
    pub(super) fn settle(&mut self) -> Vec<Rank> {
        while let Some(Reverse(event)) = self.events.pop() {
            self.happen(event);
        }
        self.rest()
    }

    /// Goes on until all that can still happen is that hold times end.
    pub(super) fn settle_but_holds(&mut self) -> Vec<Rank> {
        let mut holds = Vec::new();
        while let Some(Reverse(event)) = self.events.pop() {
            match event.what {
                What::HoldOver(..) => holds.push(Reverse(event)),
                _ => self.happen(event),
            }
        }
        self.events.extend(holds);
        self.rest()
    }

    fn happen(&mut self, Event { at, what, .. }: Event) {
        self.now = self.now.max(at);
        match what {
            What::Bits(packet) => self.on_bits(packet),
            What::Whole(Packet { from, to, message, hops }) => {
                self.member(to).traffic.received += 1;
                let overhead = self.model.overhead;
                self.handle(to, at, overhead, Input::Message { from, message }, hops);
            }
            What::HoldOver(rank, page) => {
                if self.member(rank).held.get(&page) == Some(&at) {
                    self.member(rank).held.remove(&page);
                    self.handle(rank, at, 0, Input::HoldOver { page }, 0);
                }
            }
            What::Run(rank) => self.run(rank),
        }
    }

    /// Lets all processors end what they do; returns whose threads are not done.
    fn rest(&mut self) -> Vec<Rank> {
        let free = self.members.iter().map(|member| member.processor_free);
        self.now = free.fold(self.now, u64::max);
        let busy = |member: &&Member| !member.script.is_empty();
        let busy = self.members.iter().zip(0..).filter(|(member, _)| busy(member));
        busy.map(|(_, rank)| Rank(rank)).collect()
    }

    /// Lets one rank do something, and waits until nothing happens any more.
    pub(super) fn perform(&mut self, rank: u16, ops: impl IntoIterator<Item = Op>) {
        self.assign(rank, ops);
        let busy = self.settle();
        assert!(busy.is_empty(), "every operation ends: ranks {busy:?} wait");
    }

    pub(super) fn forget_traffic(&mut self) {
        self.members.iter_mut().for_each(|member| member.traffic = Traffic::default());
    }

    fn member(&mut self, rank: Rank) -> &mut Member {
        &mut self.members[usize::from(rank.0)]
    }

    fn cause(&mut self, at: u64, what: What) {
        self.caused += 1;
        self.events.push(Reverse(Event { at, number: self.caused, what }));
    }

    /// A thread does what it can at once, up to the first thing it must wait for.
    fn run(&mut self, rank: Rank) {
        let now = self.now;
        loop {
            let member = self.member(rank);
            assert_eq!(member.waits, Waits::Nothing, "a thread that goes on waits for nothing");
            let Some(&op) = member.script.front() else {
                member.done_at = now;
                return;
            };
            let ended = match op {
                Op::Load(page) => self.touch(rank, page, Access::Read),
                Op::Store(page) => self.touch(rank, page, Access::Write),
                Op::Lock(lock, mode, _) => self.lock(rank, lock, mode),
                Op::Unlock(lock) => {
                    member.came = None;
                    let change = member.locks.release(lock, THREAD);
                    self.follow(rank, change.expect("who unlocks has the lock"), now);
                    true
                }
                Op::Barrier => self.call(rank, Call::Barrier(BarrierKind::Program)),
                Op::Finalize => self.call(rank, Call::Barrier(BarrierKind::Finalize)),
                Op::Give => {
                    let run = member.run.take().expect("who gives a run back has one");
                    let object = self.space().first_object(run);
                    self.call(rank, Call::Ask { object, ask: Ask::RunGive })
                }
                op => {
                    let (object, ask) = op.asks().expect("the model knows this operation");
                    self.call(rank, Call::Ask { object, ask })
                }
            };
            if !ended {
                return;
            }
            self.member(rank).script.pop_front();
        }
    }

    fn touch(&mut self, rank: Rank, page: PageId, access: Access) -> bool {
        let at = self.now + self.model.trap;
        let member = self.member(rank);
        if member.engine.access(page) >= access {
            return true;
        }
        member.waits = Waits::Page(page);
        let hops = member.hops;
        if let Some(object) = member.came {
            let call = Call::Carry { object, page, access };
            self.handle(rank, at, 0, Input::Call { id: NOBODY, call }, hops);
        }
        self.handle(rank, at, 0, Input::Fault { page, access }, hops);
        false
    }

    fn lock(&mut self, rank: Rank, lock: ObjectId, mode: Mode) -> bool {
        let now = self.now;
        let member = self.member(rank);
        match member.locks.take(lock, THREAD, mode) {
            Take::Taken => return true,
            Take::Came => {
                member.came = Some(lock);
                return true;
            }
            Take::Used | Take::Elsewhere => {}
        }
        member.waits = Waits::Lock(lock);
        let change = member.locks.queue_up(lock, THREAD, mode);
        self.follow(rank, change, now);
        false
    }

    fn call(&mut self, rank: Rank, call: Call) -> bool {
        let (now, id) = (self.now, CallId(self.caused));
        self.caused += 1;
        let member = self.member(rank);
        member.waits = Waits::Answer(id);
        let hops = member.hops;
        self.handle(rank, now, 0, Input::Call { id, call }, hops);
        false
    }

    /// What follows from a change of a rank's locks.
    fn follow(&mut self, rank: Rank, change: Change, at: u64) {
        let hops = self.member(rank).hops;
        for call in self.admit(rank, change, at, hops) {
            self.handle(rank, at, 0, Input::Call { id: NOBODY, call }, hops);
        }
    }

    /// Lets threads go on that have a lock from now on; returns what the engine is to be told.
    fn admit(&mut self, rank: Rank, change: Change, at: u64, hops: u32) -> Vec<Call> {
        let came = change.came.is_some();
        for _ in &change.admitted {
            let member = self.member(rank);
            if let Waits::Lock(lock) = member.waits {
                member.came = came.then_some(lock);
                self.resume(rank, at, hops);
                self.member(rank).script.pop_front();
            }
        }
        change.calls
    }

    /// A rank's runtime takes an input as soon as it can, and does all that follows. Its processor needs
    /// `cost` for that, and what the outputs cost.
    fn handle(&mut self, rank: Rank, ready: u64, cost: u64, input: Input, hops: u32) {
        let mut at = self.member(rank).processor_free.max(ready) + cost;
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for output in self.member(rank).engine.handle(input) {
                at = self.carry_out(rank, output, at, hops, &mut inputs);
            }
        }
        self.member(rank).processor_free = at;
    }

    /// Does what an engine asks for, from `at` on; returns when it is done.
    fn carry_out(
        &mut self,
        rank: Rank,
        output: Output,
        at: u64,
        hops: u32,
        inputs: &mut VecDeque<Input>,
    ) -> u64 {
        let Model { map, hold, .. } = self.model;
        let member = self.member(rank);
        let told = |call| Input::Call { id: NOBODY, call };
        match output {
            Output::Protect { .. } | Output::Install { .. } => return at + map,
            Output::Send { to, message, .. } => {
                return self.send(Packet { from: rank, to, message, hops: hops + 1 }, at);
            }
            Output::Resume { page } if member.waits == Waits::Page(page) => {
                self.resume(rank, at, hops);
            }
            Output::Resume { .. } | Output::Clear { .. } => {}
            Output::Hold { page } => self.keep(rank, page, at + hold),
            Output::Pin { page } => self.keep(rank, page, at + hold * PINNED),
            Output::Lend { object, access } => {
                let change = member.locks.lend(object, access);
                inputs.extend(self.admit(rank, change, at, hops).into_iter().map(told));
            }
            Output::Recall { object, keep } => {
                if let Some(change) = member.locks.recall(object, keep) {
                    inputs.push_back(told(Call::Surrender { object, keep }));
                    inputs.extend(self.admit(rank, change, at, hops).into_iter().map(told));
                }
            }
            Output::Serve { asker, id, task } => {
                let answer = match task {
                    Task::Add { .. } | Task::Swap { .. } => Answer::Value(0),
                    Task::Free { .. } | Task::Inspect { .. } => Answer::Done,
                };
                inputs.push_back(Input::Served { asker, id, answer });
            }
            Output::Answered { id, answer } => {
                assert_eq!(member.waits, Waits::Answer(id), "an answer is awaited");
                if let Answer::Run(first) = answer {
                    member.run = Some(first);
                }
                self.resume(rank, at, hops);
                self.member(rank).script.pop_front();
            }
            Output::Fail { violation } => panic!("rank {rank} ends the job: {violation}"),
        }
        at
    }

    fn keep(&mut self, rank: Rank, page: PageId, until: u64) {
        self.member(rank).held.insert(page, until);
        self.cause(until, What::HoldOver(rank, page));
    }

    fn resume(&mut self, rank: Rank, at: u64, hops: u32) {
        let member = self.member(rank);
        member.waits = Waits::Nothing;
        member.hops = member.hops.max(hops);
        self.cause(at, What::Run(rank));
    }

    /// Returns when the processor has done its part.
    fn send(&mut self, packet: Packet, at: u64) -> u64 {
        let header = encode(&packet.message, &self.limits);
        assert_eq!(decode(&header, &self.limits), Ok(packet.message), "a message is readable");
        let (latency, sent) = (self.model.latency, at + self.model.overhead);
        let bytes = bytes_of(&packet.message);
        let transfer = self.model.transfer(bytes);
        let member = self.member(packet.from);
        member.traffic.sent += 1;
        member.traffic.sent_bytes += bytes;
        let begins = member.out_free.max(sent);
        member.out_free = begins + transfer;
        self.cause(begins + latency, What::Bits(packet));
        sent
    }

    fn on_bits(&mut self, packet: Packet) {
        let transfer = self.model.transfer(bytes_of(&packet.message));
        let begins = self.member(packet.to).in_free.max(self.now);
        self.member(packet.to).in_free = begins + transfer;
        self.cause(begins + transfer, What::Whole(packet));
    }
}

fn bytes_of(message: &Message) -> u64 {
    HEADER_BYTES as u64 + if message.attached_page().is_some() { PAGE_BYTES } else { 0 }
}

/// The number of a rank's only thread.
const THREAD: usize = 0;
/// The call of a thread that waits for no answer.
const NOBODY: CallId = CallId(u64::MAX);
/// As in the runtime: a page that comes with a lock is kept this many hold times for who has the lock.
const PINNED: u64 = 100;
