use super::{NOBODY, World, at};
use crate::locks::{Change, Take};
use crate::node::{Node, change};
use crate::oracle::Waiter;
use crate::thread::{Fault, ThreadState, Wakeup, call_of, leave_of, thread_of};
use crate::{Broken, Faults, Mode, Op, Patience, Promise, Watch};
use dsm_core::{Access, Answer, Ask, BarrierKind, Call, CallId, Input, ObjectId, PageId, Rank};
use std::rc::Rc;

/// What threads do.
impl World {
    pub(super) fn run(&mut self, rank: Rank, thread: usize) -> Result<(), Broken> {
        let node = self.node(rank);
        let op = node.threads[thread].op().expect("the step was offered");
        match node.threads[thread].state {
            ThreadState::Trying => return self.probe(rank, thread, op),
            ThreadState::Freeing { owner, page } => {
                let object = self.setup.space().first_object(page);
                return self.call(rank, thread, Call::Free { owner, object });
            }
            _ => {}
        }
        if let Some((page, access)) = self.missing(rank, &node.threads[thread]) {
            let node = change(&mut self.nodes[at(rank)]);
            let (told, fault) = match self.setup.faults {
                Faults::AtOnce => (true, Fault::Read),
                Faults::Batched | Faults::Posted => (false, Fault::Unread),
            };
            node.threads[thread].state = ThreadState::Stopped { page, access, fault };
            let came = node.threads[thread].came;
            return if told { self.tell_fault(rank, (page, access, came)) } else { Ok(()) };
        }
        match op {
            Op::Crash => self.go_down(rank),
            Op::Barrier => return self.call(rank, thread, Call::Barrier(BarrierKind::Program)),
            Op::Finalize => return self.call(rank, thread, Call::Barrier(BarrierKind::Finalize)),
            Op::Load(_) | Op::Store(_) | Op::Move(..) | Op::Scribble => {
                return self.access(rank, thread, op);
            }
            Op::Prefetch(first, access) => self.prefetch(rank, thread, first, access),
            Op::Ahead(number, access) => {
                let first = PageId(self.setup.pages + number % self.setup.heap.max(1));
                self.prefetch(rank, thread, first, access);
            }
            Op::Lock(lock, mode, patience) => {
                return self.lock(rank, thread, (lock, mode, patience));
            }
            Op::Unlock(lock) => {
                let node = change(&mut self.nodes[at(rank)]);
                node.threads[thread].retire();
                if let Some(changed) = node.release(lock, thread) {
                    return self.follow(rank, lock, changed);
                }
            }
            Op::CondWait { cond, mutex, .. } => return self.wait_at(rank, thread, cond, mutex),
            _ => return self.ask(rank, thread, op),
        }
        Ok(())
    }

    /// A driver tells its engine of a fault, and which lock the page is needed under.
    pub(super) fn tell_fault(
        &mut self,
        rank: Rank,
        (page, access, came): (PageId, Access, Option<ObjectId>),
    ) -> Result<(), Broken> {
        if let Some(object) = came {
            let call = Call::Carry { object, page, access };
            self.handle(rank, Input::Call { id: NOBODY, call })?;
        }
        self.handle(rank, Input::Fault { page, access })
    }

    /// Nobody waits for what comes of it.
    fn prefetch(&mut self, rank: Rank, thread: usize, first: PageId, access: Access) {
        let node = change(&mut self.nodes[at(rank)]);
        if first.0 < self.setup.space().pages {
            node.calls.push_back(Call::Prefetch { first, pages: 1, access });
        }
        node.threads[thread].retire();
    }

    /// Whether an operation with all its pages needs a driver that is idle.
    pub(super) fn calls_at_once(&self, node: &Node, thread: usize, op: Op) -> bool {
        match op {
            Op::Load(_)
            | Op::Store(_)
            | Op::Move(..)
            | Op::Scribble
            | Op::Prefetch(..)
            | Op::Ahead(..)
            | Op::Crash
            | Op::Lock(..)
            | Op::Unlock(_) => false,
            Op::CondWait { cond, mutex, .. } => {
                !self.tally.has_thing(cond) && node.locks.mode_of(mutex, thread).is_some()
            }
            Op::Give => !node.threads[thread].runs.is_empty(),
            _ => true,
        }
    }

    fn access(&mut self, rank: Rank, thread: usize, op: Op) -> Result<(), Broken> {
        let needs: Vec<_> = match op {
            Op::Scribble => self.node(rank).threads[thread].scribbles().collect(),
            op => op.needs().collect(),
        };
        for (page, access) in needs {
            match access {
                Access::Write => self.memory.store(rank, page)?,
                Access::None | Access::Read => self.memory.load(rank, page)?,
            }
        }
        change(&mut self.nodes[at(rank)]).threads[thread].retire();
        Ok(())
    }

    /// Asks the engine for something, and waits for the answer.
    fn call(&mut self, rank: Rank, thread: usize, call: Call) -> Result<(), Broken> {
        self.start(rank, thread, (call_of(thread), call), ThreadState::Calling)
    }

    fn start(
        &mut self,
        rank: Rank,
        thread: usize,
        (id, call): (CallId, Call),
        state: ThreadState,
    ) -> Result<(), Broken> {
        change(&mut self.nodes[at(rank)]).threads[thread].state = state;
        self.handle(rank, Input::Call { id, call })
    }

    /// Operations that are a question and an answer.
    fn ask(&mut self, rank: Rank, thread: usize, op: Op) -> Result<(), Broken> {
        let space = self.setup.space();
        self.tally.begin(op);
        let (object, ask) = match op {
            Op::Swap(word) => {
                let expected = self.node(rank).threads[thread].saw;
                (word, Ask::Swap { expected, desired: expected + 1 })
            }
            Op::Give => {
                let node = change(&mut self.nodes[at(rank)]);
                let Some((first, pages)) = node.threads[thread].runs.pop() else {
                    node.threads[thread].retire();
                    return Ok(());
                };
                self.memory.give_back(first, pages);
                (space.first_object(first), Ask::RunGive)
            }
            Op::Free => {
                let nobodys = PageId(space.pages - 1);
                let first = self.oracle.runs.first_taken().unwrap_or(nobodys);
                (space.first_object(first), Ask::RunOwner)
            }
            op => op.asks().expect("it is a question"),
        };
        self.call(rank, thread, Call::Ask { object, ask })
    }

    fn lock(
        &mut self,
        rank: Rank,
        thread: usize,
        (lock, mode, patience): (ObjectId, Mode, Patience),
    ) -> Result<(), Broken> {
        let node = change(&mut self.nodes[at(rank)]);
        match (node.locks.take(lock, thread, mode), patience) {
            (taken @ (Take::Taken | Take::Came), _) => {
                if taken == Take::Came {
                    node.threads[thread].came = Some(lock);
                }
                node.threads[thread].retire();
                self.require_exclusion(rank, lock)
            }
            (Take::Used, Patience::None) => {
                node.threads[thread].retire();
                Ok(())
            }
            (Take::Used | Take::Elsewhere, _) => {
                node.threads[thread].state = match patience {
                    Patience::None => ThreadState::Trying,
                    Patience::Endless | Patience::Limited => ThreadState::Queued,
                };
                let changed = node.locks.queue_up(lock, thread, mode);
                self.follow(rank, lock, changed)
            }
        }
    }

    /// A thread that tries a lock asks all other ranks whether somebody has it.
    fn probe(&mut self, rank: Rank, thread: usize, op: Op) -> Result<(), Broken> {
        let Op::Lock(object, mode, _) = op else { unreachable!("only locks are tried") };
        let above = call_of(self.node(rank).threads.len());
        let id = self.oracle.on_probe(rank, thread, above);
        let call = Call::Probe { object, access: mode.access() };
        self.start(rank, thread, (id, call), ThreadState::Probing)
    }

    /// Takes a thing if there is one, or waits for it. The thread has the mutex.
    fn wait_at(
        &mut self,
        rank: Rank,
        thread: usize,
        cond: ObjectId,
        mutex: ObjectId,
    ) -> Result<(), Broken> {
        let node = change(&mut self.nodes[at(rank)]);
        let has_mutex = node.locks.mode_of(mutex, thread) == Some(Mode::Write);
        if has_mutex && !self.tally.has_thing(cond) {
            let call = Call::Ask { object: cond, ask: Ask::CondWait };
            return self.start(rank, thread, (call_of(thread), call), ThreadState::Registering);
        }
        if has_mutex {
            self.tally.take_thing(cond);
        }
        node.threads[thread].retire();
        Ok(())
    }

    /// A thread's patience ends.
    pub(super) fn give_up(&mut self, rank: Rank, thread: usize) -> Result<(), Broken> {
        match self.node(rank).threads[thread].op().expect("the step was offered") {
            Op::CondWait { cond: object, .. } => {
                let ask = Ask::CondLeave { waiter: call_of(thread) };
                let call = Call::Ask { object, ask };
                self.start(rank, thread, (leave_of(thread), call), ThreadState::Leaving)
            }
            Op::Lock(lock, ..) => self.walk_away(rank, thread, lock),
            op => unreachable!("no patience ends at {op}"),
        }
    }

    fn walk_away(&mut self, rank: Rank, thread: usize, lock: ObjectId) -> Result<(), Broken> {
        let node = change(&mut self.nodes[at(rank)]);
        let changed = node.locks.walk_away(lock, thread).expect("it waits");
        node.threads[thread].retire();
        self.follow(rank, lock, changed)
    }

    /// What follows from a change of a rank's locks.
    pub(super) fn follow(
        &mut self,
        rank: Rank,
        lock: ObjectId,
        Change { admitted, came, calls }: Change,
    ) -> Result<(), Broken> {
        let node = change(&mut self.nodes[at(rank)]);
        node.calls.extend(calls);
        if let Some(thread) = came {
            node.threads[thread].came = Some(lock);
        }
        for thread in &admitted {
            let thread = &mut node.threads[*thread];
            match thread.state {
                ThreadState::Probing => thread.state = ThreadState::ProbingInVain,
                // It looks again whether there is something to take.
                ThreadState::Relocking(Wakeup::Woken) => thread.state = ThreadState::Running,
                _ => thread.retire(),
            }
        }
        if admitted.is_empty() { Ok(()) } else { self.require_exclusion(rank, lock) }
    }

    /// Threads of this rank have just got a lock.
    fn require_exclusion(&self, rank: Rank, lock: ObjectId) -> Result<(), Broken> {
        let here = self.node(rank).locks.used(lock);
        let others = self.ranks().filter(|other| *other != rank);
        let there = others.map(|other| self.node(other).locks.used(lock)).max();
        let there = there.unwrap_or(Access::None);
        if there == Access::None || (here, there) == (Access::Read, Access::Read) {
            return Ok(());
        }
        let how =
            format!("rank {rank} has lock {lock} for {here:?}, another rank has it for {there:?}");
        Err(Broken::new(Promise::Exclusion, how))
    }

    /// A thread hears what became of its call.
    pub(super) fn answered(
        &mut self,
        rank: Rank,
        id: CallId,
        answer: Answer,
    ) -> Result<(), Broken> {
        let prober = self.oracle.prober(rank, id);
        let thread = prober.unwrap_or_else(|| thread_of(id));
        let waits = self.node(rank).threads.get(thread).map(|thread| (thread.state, thread.op()));
        let nobody = || {
            let how = format!("rank {rank} answers call {}, which nobody made", id.0);
            Broken::new(Promise::DriverCan, how)
        };
        let Some((state, Some(op))) = waits else { return Err(nobody()) };
        if op.barrier().is_none() {
            self.hear((rank, id), answer, promise_of(op))?;
        }
        let leaves = id == leave_of(thread);
        match (state, op) {
            (ThreadState::Probing | ThreadState::ProbingInVain, Op::Lock(lock, mode, _))
                if prober.is_some() =>
            {
                self.on_probed(rank, thread, (lock, mode), answer)
            }
            (ThreadState::Calling, op) if !leaves => self.finish(rank, thread, op, answer),
            (ThreadState::Registering, Op::CondWait { mutex, .. }) if !leaves => {
                let node = change(&mut self.nodes[at(rank)]);
                node.threads[thread].state = ThreadState::Asleep;
                let changed = node.release(mutex, thread).expect("it has the mutex");
                self.follow(rank, mutex, changed)
            }
            // Its leaving is answered next.
            (ThreadState::Leaving, _) if !leaves => Ok(()),
            (ThreadState::Asleep, Op::CondWait { mutex, .. }) if !leaves => {
                self.relock(rank, thread, mutex, answer)
            }
            (ThreadState::Leaving, Op::CondWait { mutex, .. }) => {
                self.relock(rank, thread, mutex, answer)
            }
            _ => Err(nobody()),
        }
    }

    /// Whether the answer is the right one; what programs notice of it is watched elsewhere.
    fn hear(&mut self, waiter: Waiter, answer: Answer, promise: Promise) -> Result<(), Broken> {
        let heard = self.oracle.hear(waiter, answer, promise);
        if self.setup.watch == Watch::Everything { heard } else { Ok(()) }
    }

    fn on_probed(
        &mut self,
        rank: Rank,
        thread: usize,
        (lock, mode): (ObjectId, Mode),
        answer: Answer,
    ) -> Result<(), Broken> {
        let node = change(&mut self.nodes[at(rank)]);
        if node.threads[thread].state == ThreadState::ProbingInVain {
            node.threads[thread].retire();
            return Ok(());
        }
        if answer == Answer::Done && !node.locks.rules_out(lock, mode.access()) {
            // The token is on its way, or was taken in between.
            node.threads[thread].state = ThreadState::Trying;
            return Ok(());
        }
        self.walk_away(rank, thread, lock)
    }

    /// A thread takes its mutex again after it waited at a condition variable.
    fn relock(
        &mut self,
        rank: Rank,
        thread: usize,
        mutex: ObjectId,
        answer: Answer,
    ) -> Result<(), Broken> {
        let node = change(&mut self.nodes[at(rank)]);
        let wakeup = if answer == Answer::Woken { Wakeup::Woken } else { Wakeup::Left };
        node.threads[thread].state = ThreadState::Relocking(wakeup);
        let changed = match node.locks.take(mutex, thread, Mode::Write) {
            Take::Taken => Change { admitted: vec![thread], ..Change::default() },
            Take::Came => {
                Change { admitted: vec![thread], came: Some(thread), ..Change::default() }
            }
            Take::Used | Take::Elsewhere => node.locks.queue_up(mutex, thread, Mode::Write),
        };
        self.follow(rank, mutex, changed)
    }

    /// The answer to a question ends the operation, or shows who is to be asked next.
    fn finish(&mut self, rank: Rank, thread: usize, op: Op, answer: Answer) -> Result<(), Broken> {
        if op.barrier().is_some() {
            return self.pass_barrier(rank, thread, answer);
        }
        self.tally.end(rank, op, answer)?;
        let thread = &mut change(&mut self.nodes[at(rank)]).threads[thread];
        match (op, answer) {
            (Op::Take(pages), Answer::Run(first)) => thread.runs.push((first, pages)),
            (_, Answer::Value(value)) => thread.saw = value,
            (Op::Free, Answer::Owner(owner)) => {
                if let Some(page) = self.oracle.runs.first_taken() {
                    thread.state = ThreadState::Freeing { owner, page };
                    return Ok(());
                }
            }
            _ => {}
        }
        thread.retire();
        Ok(())
    }

    /// Every rank must have reached the barrier of all ranks that a thread passes.
    fn pass_barrier(&mut self, rank: Rank, thread: usize, answer: Answer) -> Result<(), Broken> {
        if answer != Answer::Done {
            let how = format!("rank {rank} is not let wait at the barrier: {answer:?}");
            return Err(Broken::new(Promise::NoFailure, how));
        }
        let passed = self.node(rank).barriers_reached();
        let is_behind = |node: &Rc<Node>| node.barriers_reached() < passed;
        if let Some(behind) = self.nodes.iter().position(is_behind) {
            let how = format!("rank {rank} passes barrier {passed} before rank {behind} is there");
            return Err(Broken::new(Promise::Barrier, how));
        }
        change(&mut self.nodes[at(rank)]).threads[thread].retire();
        Ok(())
    }
}

/// What is broken if the operation hears something wrong.
fn promise_of(op: Op) -> Promise {
    match op {
        Op::Lock(..) => Promise::Probes,
        Op::CondWait { .. } | Op::Signal(_) | Op::Broadcast(_) | Op::CondDestroy(_) => {
            Promise::Wakeups
        }
        Op::SemaphoreWait(_)
        | Op::SemaphoreTry(_)
        | Op::SemaphorePost(_)
        | Op::SemaphoreSet(..) => Promise::Semaphores,
        Op::Gather(..) => Promise::Gatherings,
        Op::Add(_) | Op::Swap(_) => Promise::Operations,
        _ => Promise::Runs,
    }
}
