//! Every interleaving of three threads, one rank's entry, and an engine as dsm-core has it, which hears
//! of what the entry asks for some time later.

use super::{Entry, Step, Take, Waiter};
use crate::locks::thread::Thread;
use crate::locks::users::Users;
use crate::locks::{LockError, Mode};
use crate::parker::Parker;
use dsm_core::Access;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

#[derive(Clone)]
struct World {
    entry: Entry,
    threads: [Doing; THREADS],
    /// What the entry asked for and the engine has not heard yet.
    calls: VecDeque<Heard>,
    engine: Engine,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    Idle,
    Waiting(Mode),
    Having(Mode, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    Surrender,
    Acquire(Access),
}

/// The rank's copy of the token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Engine {
    copy: Access,
    requested: Access,
    /// What another rank's request leaves here, once the token is surrendered.
    demand: Option<Access>,
}

/// Whether a demand that leaves a copy to read is told apart from one that leaves none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recalls {
    Whole,
    WhatIsNeeded,
}

/// What the engine answers a request with whose token is lent already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Acquires {
    /// Nothing, as it should.
    OfWhatIsMissing,
    /// It lends it again.
    OfAnything,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Lock(usize, Mode),
    Unlock(usize),
    WalkAway(usize),
    Hear,
    Grant(Access),
    Demand(Access),
}

/// What distinguishes two worlds.
type Key = (
    (Access, Access, Option<(Access, u8)>, Users, Vec<(Thread, Mode)>),
    [Doing; THREADS],
    VecDeque<Heard>,
    Engine,
);

impl World {
    fn new() -> Self {
        let engine = Engine { copy: Access::None, requested: Access::None, demand: None };
        let (entry, calls) = (Entry::new(Access::None), VecDeque::new());
        Self { entry, threads: [Doing::Idle; THREADS], calls, engine }
    }

    fn key(&self) -> Key {
        let entry = &self.entry;
        let recall = entry.recall.map(|recall| (recall.keep, recall.handovers));
        let queue = entry.queue.iter().flat_map(|queue| queue.iter());
        let queue = queue.map(|waiter| (waiter.thread, waiter.mode)).collect();
        let entry = (entry.right, entry.asked, recall, entry.users.clone(), queue);
        (entry, self.threads, self.calls.clone(), self.engine.clone())
    }

    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (at, doing) in self.threads.iter().enumerate() {
            match doing {
                Doing::Idle => {
                    events.extend([Event::Lock(at, Mode::Read), Event::Lock(at, Mode::Write)]);
                }
                Doing::Waiting(_) => events.push(Event::WalkAway(at)),
                Doing::Having(mode, times) => {
                    events.push(Event::Unlock(at));
                    if (*mode, *times) == (Mode::Read, 1) && at == 0 {
                        events.push(Event::Lock(at, Mode::Read));
                    }
                }
            }
        }
        if !self.calls.is_empty() {
            events.push(Event::Hear);
        }
        // The home lets nobody have the token while a demand on it is not met.
        if self.engine.requested > Access::None && self.engine.demand.is_none() {
            events.push(Event::Grant(self.engine.requested));
            events.push(Event::Grant(Access::Write));
        }
        if self.engine.copy > Access::None && self.engine.demand.is_none() {
            events.push(Event::Demand(Access::None));
        }
        if self.engine.copy == Access::Write && self.engine.demand.is_none() {
            events.push(Event::Demand(Access::Read));
        }
        events
    }

    fn happen(
        &mut self,
        event: Event,
        recalls: Recalls,
        acquires: Acquires,
    ) -> Result<(), &'static str> {
        match event {
            Event::Lock(at, mode) => self.lock(at, mode),
            Event::Unlock(at) => {
                self.threads[at] = match self.threads[at] {
                    Doing::Having(mode, times) if times > 1 => Doing::Having(mode, times - 1),
                    _ => Doing::Idle,
                };
                let step = self.entry.release(thread(at)).ok_or("who has the lock releases it")?;
                self.carry_out(step)
            }
            Event::WalkAway(at) => {
                self.threads[at] = Doing::Idle;
                let step = self.entry.walk_away(thread(at)).ok_or("who waits is in the queue")?;
                self.carry_out(step)
            }
            Event::Hear => match self.calls.pop_front() {
                Some(Heard::Acquire(access)) if self.engine.copy >= access => match acquires {
                    Acquires::OfWhatIsMissing => Ok(()),
                    Acquires::OfAnything => self.lend(),
                },
                Some(Heard::Acquire(access)) => {
                    if self.engine.requested == Access::None {
                        self.engine.requested = access;
                    }
                    Ok(())
                }
                Some(Heard::Surrender) => self.surrendered(),
                None => unreachable!("there is a call"),
            },
            Event::Grant(access) => {
                self.engine.requested = Access::None;
                self.engine.copy = access;
                self.lend()
            }
            Event::Demand(keep) => self.demand(keep, recalls),
        }
    }

    fn lock(&mut self, at: usize, mode: Mode) -> Result<(), &'static str> {
        match (self.entry.take(thread(at), mode), self.threads[at]) {
            (Take::Local | Take::Remote, Doing::Idle) => {
                self.threads[at] = Doing::Having(mode, 1);
                Ok(())
            }
            (Take::Local, Doing::Having(mode, times)) => {
                self.threads[at] = Doing::Having(mode, times + 1);
                Ok(())
            }
            (Take::Used | Take::Elsewhere, Doing::Idle) => {
                self.threads[at] = Doing::Waiting(mode);
                let parker = Arc::new(Parker::<Result<(), LockError>>::new());
                let step = self.entry.queue_up(Waiter { thread: thread(at), mode, parker });
                self.carry_out(step)
            }
            _ => Err("a thread takes a lock or waits for it, and reads once more at once"),
        }
    }

    fn demand(&mut self, keep: Access, recalls: Recalls) -> Result<(), &'static str> {
        self.engine.demand = Some(keep);
        let keep = if recalls == Recalls::Whole { Access::None } else { keep };
        let Some(step) = self.entry.recall(keep) else { return Ok(()) };
        if keep > Access::None {
            self.engine.demand = None;
            self.engine.copy = keep;
            self.carry_out(step)?;
            return self.lend();
        }
        self.carry_out(step)?;
        self.surrendered()
    }

    /// Nothing is lent: the demand is met, and what it leaves is lent again.
    fn surrendered(&mut self) -> Result<(), &'static str> {
        let keep = self.engine.demand.take().ok_or("what is recalled is surrendered")?;
        self.engine.copy = self.engine.copy.min(keep);
        if self.engine.copy > Access::None { self.lend() } else { Ok(()) }
    }

    fn lend(&mut self) -> Result<(), &'static str> {
        let step = self.entry.lend(self.engine.copy);
        self.carry_out(step)
    }

    fn carry_out(&mut self, step: Step) -> Result<(), &'static str> {
        for waiter in step.admitted {
            let at = (0..THREADS).find(|&at| thread(at) == waiter.thread).unwrap();
            if self.threads[at] != Doing::Waiting(waiter.mode) {
                return Err("who waits is admitted");
            }
            self.threads[at] = Doing::Having(waiter.mode, 1);
        }
        if step.surrenders {
            self.calls.push_back(Heard::Surrender);
        }
        self.calls.extend(step.acquires.map(Heard::Acquire));
        Ok(())
    }

    fn check(&self) -> Result<(), &'static str> {
        let having = self.threads.iter().filter_map(|doing| match doing {
            Doing::Having(mode, _) => Some(*mode),
            _ => None,
        });
        let having: Vec<Mode> = having.collect();
        if having.contains(&Mode::Write) && having.len() > 1 {
            return Err("a lock has one writer or any number of readers");
        }
        if having.iter().any(|mode| mode.access() > self.engine.copy) {
            return Err("what a thread relies on is here");
        }
        let is_waiting = self.threads.iter().any(|doing| matches!(doing, Doing::Waiting(_)));
        let goes_on = !having.is_empty() || !self.calls.is_empty();
        if is_waiting && !goes_on && self.engine.requested == Access::None {
            return Err("what a thread waits for is under way");
        }
        if self.engine.demand.is_some() && !goes_on {
            return Err("a demand waits for threads that have the lock");
        }
        if self.calls.len() > 3 {
            return Err("a request, a surrender and a request are on their way at most");
        }
        Ok(())
    }
}

fn thread(at: usize) -> Thread {
    Thread::numbered(u32::try_from(at + 1).unwrap())
}

/// Visits every world; gives their number, or the shortest way to one that is unsound.
fn explore(recalls: Recalls, acquires: Acquires) -> Result<usize, Vec<Event>> {
    let mut seen = BTreeSet::from([World::new().key()]);
    let mut next = VecDeque::from([(World::new(), 0)]);
    // How each world was reached first: from which, by what.
    let mut reached = vec![(0, None)];
    while let Some((world, from)) = next.pop_front() {
        for event in world.events() {
            let mut then = world.clone();
            let sound = then.happen(event, recalls, acquires).and_then(|()| then.check());
            let is_new = seen.insert(then.key());
            if is_new || sound.is_err() {
                reached.push((from, Some(event)));
            }
            if let Err(why) = sound {
                println!("{why}");
                let way = std::iter::successors(Some(reached.len() - 1), |&at| Some(reached[at].0));
                let mut way: Vec<_> = way.map_while(|at| reached[at].1).collect();
                way.reverse();
                return Err(way);
            }
            if is_new {
                next.push_back((then, reached.len() - 1));
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn every_interleaving_of_three_threads_is_sound() {
    let worlds = explore(Recalls::Whole, Acquires::OfWhatIsMissing);
    println!("{worlds:?} worlds");
    assert!(worlds.is_ok());
}

#[test]
fn every_interleaving_with_readers_that_stay_is_sound() {
    let worlds = explore(Recalls::WhatIsNeeded, Acquires::OfWhatIsMissing);
    println!("{worlds:?} worlds");
    assert!(worlds.is_ok());
}

/// What the engine must not do, or a lend meets a surrender on its way.
#[test]
fn an_engine_that_lends_what_is_lent_is_found_out() {
    for recalls in [Recalls::Whole, Recalls::WhatIsNeeded] {
        let way = explore(recalls, Acquires::OfAnything).unwrap_err();
        println!("{way:?}");
    }
}

const THREADS: usize = 3;
