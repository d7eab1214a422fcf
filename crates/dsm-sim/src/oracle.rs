//! What the engines of a world should answer, kept by the plainest means, in the order in which the ranks
//! that serve the objects take what is asked.

mod runs;
mod turns;

use crate::memory::Memory;
use crate::{Broken, Promise};
use dsm_core::{Answer, Ask, Call, CallId, Engine, Input, Message, ObjectId, Output, Rank, Space};
use runs::Runs;
use std::collections::{BTreeMap, VecDeque};
use turns::Turns;

/// The state that condition variables, semaphores, barriers and runs of the heap should have, and what each
/// call is still to be answered.
#[derive(Clone, Debug)]
pub(crate) struct Oracle {
    space: Space,
    /// Who waits, the longest first.
    conds: BTreeMap<ObjectId, VecDeque<Waiter>>,
    semaphores: BTreeMap<ObjectId, Semaphore>,
    gatherings: BTreeMap<ObjectId, (u32, Vec<Waiter>)>,
    pub(crate) runs: Runs,
    due: BTreeMap<Waiter, VecDeque<Answer>>,
    probes: BTreeMap<Waiter, Probe>,
    turns: Turns,
}

/// A call of a rank.
pub(crate) type Waiter = (Rank, CallId);

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Semaphore {
    value: u32,
    queue: VecDeque<Waiter>,
}

/// A thread asks all other ranks whether somebody has a lock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Probe {
    thread: usize,
    /// How many ranks said so, and how many did not.
    held: u16,
    free: u16,
    /// How many answers have not come back.
    left: u16,
    /// The thread has heard what it asked for.
    is_heard: bool,
}

impl Oracle {
    pub(crate) fn new(space: Space) -> Self {
        Self {
            space,
            conds: BTreeMap::new(),
            semaphores: BTreeMap::new(),
            gatherings: BTreeMap::new(),
            runs: Runs::new(space),
            due: BTreeMap::new(),
            probes: BTreeMap::new(),
            turns: Turns::default(),
        }
    }

    /// What is in it that decides what happens next.
    pub(crate) fn state(&self) -> impl std::hash::Hash {
        (&self.conds, &self.semaphores, &self.gatherings, &self.runs, &self.due, &self.probes)
    }

    /// What a semaphore should be.
    pub(crate) fn value_of(&self, semaphore: ObjectId) -> u32 {
        self.semaphores.get(&semaphore).map_or(0, |semaphore| semaphore.value)
    }

    /// An engine is about to take this.
    pub(crate) fn take(&mut self, rank: Rank, engine: &Engine, input: &Input) {
        match *input {
            Input::Call { id, call: Call::Ask { object, ask } }
                if self.server_of(object, ask) == Some(rank) =>
            {
                self.on_ask((rank, id), object, ask);
            }
            Input::Message { message: Message::Ask { asker, id, object, ask }, .. }
                if self.server_of(object, ask) == Some(rank) =>
            {
                self.on_ask((asker, id), object, ask);
            }
            Input::Message { message: Message::Answer { id, .. }, .. } => {
                if let Some(probe) = self.probes.get_mut(&(rank, id)) {
                    probe.left -= 1;
                    self.forget_probe((rank, id));
                }
            }
            Input::Message { from, message: Message::Reclaimed { first } } => {
                self.runs.on_reclaimed(from, first);
            }
            Input::Message { from, message: Message::Request { page, access } } => {
                self.turns.on_request(page, from, access);
            }
            Input::Call { call: Call::Acquire { object, access }, .. } => {
                let token = self.space.token(object);
                let has = engine.access(token);
                let asks = has < access && !self.turns.has_asked(token, rank, has);
                if self.space.home(token) == rank && asks {
                    self.turns.on_request(token, rank, access);
                }
            }
            _ => {}
        }
    }

    /// A driver is about to carry this out.
    pub(crate) fn follow(
        &mut self,
        rank: Rank,
        output: &Output,
        memory: &mut Memory,
    ) -> Result<(), Broken> {
        match *output {
            Output::Send { to, message: Message::Answer { id, answer }, .. } => {
                self.on_run_answer((to, id), answer, memory)
            }
            Output::Answered { id, answer } => self.on_run_answer((rank, id), answer, memory),
            Output::Clear { first, .. } if rank == COORDINATOR => {
                self.runs.on_reclaimed(rank, first);
                Ok(())
            }
            Output::Lend { object, access } => {
                self.turns.on_lend(self.space.token(object), rank, access)
            }
            _ => Ok(()),
        }
    }

    /// A driver did what its engine was asked for.
    pub(crate) fn on_served(&mut self, asker: Waiter, answer: Answer) {
        match (self.probes.get_mut(&asker), answer) {
            (Some(probe), Answer::Held { .. }) => probe.held += 1,
            (Some(probe), _) => probe.free += 1,
            (None, _) => self.owe(asker, answer),
        }
    }

    /// A thread asks whether somebody has a lock; the number for it is not in use.
    pub(crate) fn on_probe(&mut self, rank: Rank, thread: usize, above: CallId) -> CallId {
        let left = self.space.nodes - 1;
        let free = (above.0..).map(CallId).find(|id| !self.probes.contains_key(&(rank, *id)));
        let id = free.expect("numbers do not run out");
        self.probes.insert((rank, id), Probe { thread, held: 0, free: 0, left, is_heard: false });
        id
    }

    /// The thread that asked this, if it is a question to all ranks.
    pub(crate) fn prober(&self, rank: Rank, id: CallId) -> Option<usize> {
        self.probes.get(&(rank, id)).map(|probe| probe.thread)
    }

    /// A thread hears an answer. Is it the right one?
    pub(crate) fn hear(
        &mut self,
        (rank, id): Waiter,
        answer: Answer,
        promise: Promise,
    ) -> Result<(), Broken> {
        if let Some(probe) = self.probes.get_mut(&(rank, id)) {
            probe.is_heard = true;
            let is_true = match answer {
                Answer::Held { .. } => probe.held > 0,
                _ => probe.held == 0 && probe.free == self.space.nodes - 1,
            };
            let how = format!("rank {rank} hears {answer:?}, ranks said {probe:?}");
            self.forget_probe((rank, id));
            return if is_true { Ok(()) } else { Err(Broken::new(promise, how)) };
        }
        let due = self.due.get_mut(&(rank, id)).and_then(VecDeque::pop_front);
        if self.due.get(&(rank, id)).is_some_and(VecDeque::is_empty) {
            self.due.remove(&(rank, id));
        }
        if due == Some(answer) {
            return Ok(());
        }
        let due = due.map_or("nothing".to_owned(), |answer| format!("{answer:?}"));
        let how = format!("rank {rank} hears {answer:?} about call {}, due is {due}", id.0);
        Err(Broken::new(promise, how))
    }

    /// The rank whose engine decides what is asked; `None` if a driver does.
    fn server_of(&self, object: ObjectId, ask: Ask) -> Option<Rank> {
        match ask {
            Ask::Add { .. } | Ask::Swap { .. } | Ask::BlockFree | Ask::Inspect { .. } => None,
            Ask::RunTake { .. } | Ask::RunGive | Ask::RunOwner => Some(COORDINATOR),
            _ => Some(self.space.home_of(object)),
        }
    }

    fn on_ask(&mut self, asker: Waiter, object: ObjectId, ask: Ask) {
        match ask {
            Ask::CondWait => {
                self.conds.entry(object).or_default().push_back(asker);
                self.owe(asker, Answer::Queued);
            }
            Ask::CondLeave { waiter } => {
                let waiter = (asker.0, waiter);
                let queue = self.conds.entry(object).or_default();
                let place = queue.iter().position(|other| *other == waiter);
                let left = place.and_then(|place| queue.remove(place));
                self.owe(asker, if left.is_some() { Answer::Done } else { Answer::Woken });
            }
            Ask::CondSignal => {
                let first = self.conds.entry(object).or_default().pop_front();
                first.into_iter().for_each(|waiter| self.owe(waiter, Answer::Woken));
                self.owe(asker, Answer::Done);
            }
            Ask::CondBroadcast => {
                let all = self.conds.remove(&object).unwrap_or_default();
                all.into_iter().for_each(|waiter| self.owe(waiter, Answer::Woken));
                self.owe(asker, Answer::Done);
            }
            Ask::CondDestroy => {
                let waits = self.conds.get(&object).is_some_and(|queue| !queue.is_empty());
                self.owe(asker, if waits { Answer::Busy } else { Answer::Done });
            }
            Ask::BarrierWait { count } => self.on_gather(asker, object, count),
            Ask::RunTake { pages } => self.runs.on_take(asker, pages),
            Ask::RunGive => {
                let answer = self.runs.on_give(self.space.page_of(object));
                self.owe(asker, answer);
            }
            Ask::RunOwner => {
                let answer = self.runs.owner(self.space.page_of(object));
                self.owe(asker, answer);
            }
            _ => self.on_semaphore(asker, object, ask),
        }
        self.forget_idle(object);
    }

    fn on_semaphore(&mut self, asker: Waiter, object: ObjectId, ask: Ask) {
        let Semaphore { value, queue } = self.semaphores.entry(object).or_default();
        let answer = match ask {
            Ask::SemaphoreWait if *value == 0 => return queue.push_back(asker),
            Ask::SemaphoreTry if *value == 0 => Answer::Empty,
            Ask::SemaphoreWait | Ask::SemaphoreTry => {
                *value -= 1;
                Answer::Done
            }
            Ask::SemaphorePost => {
                if let Some(first) = queue.pop_front() {
                    self.owe(first, Answer::Done);
                } else if *value == u32::MAX {
                    return self.owe(asker, Answer::Overflow);
                } else {
                    *value += 1;
                }
                Answer::Done
            }
            Ask::SemaphoreInit { .. } | Ask::SemaphoreDestroy if !queue.is_empty() => Answer::Busy,
            Ask::SemaphoreInit { value: new } => {
                *value = new;
                Answer::Done
            }
            _ => {
                *value = 0;
                Answer::Done
            }
        };
        self.owe(asker, answer);
    }

    fn on_gather(&mut self, asker: Waiter, object: ObjectId, count: u32) {
        let (named, here) = self.gatherings.entry(object).or_insert((count, Vec::new()));
        if *named != count {
            return self.owe(asker, Answer::CountDiffers);
        }
        here.push(asker);
        if here.len() as u64 == u64::from(count) {
            let (_, here) = self.gatherings.remove(&object).unwrap_or_default();
            for waiter in here {
                self.owe(waiter, if waiter == asker { Answer::Serial } else { Answer::Done });
            }
        }
    }

    fn on_run_answer(
        &mut self,
        waiter: Waiter,
        answer: Answer,
        memory: &mut Memory,
    ) -> Result<(), Broken> {
        if let Some(pages) = self.runs.asked(waiter) {
            self.runs.on_answer((waiter.0, pages), answer, memory)?;
            self.owe(waiter, answer);
        }
        Ok(())
    }

    /// The number of a probe is free when all is over.
    fn forget_probe(&mut self, asker: Waiter) {
        if self.probes.get(&asker).is_some_and(|probe| probe.is_heard && probe.left == 0) {
            self.probes.remove(&asker);
        }
    }

    fn owe(&mut self, waiter: Waiter, answer: Answer) {
        self.due.entry(waiter).or_default().push_back(answer);
    }

    /// States that do not differ in what can happen are one.
    fn forget_idle(&mut self, object: ObjectId) {
        if self.conds.get(&object).is_some_and(VecDeque::is_empty) {
            self.conds.remove(&object);
        }
        if self.semaphores.get(&object) == Some(&Semaphore::default()) {
            self.semaphores.remove(&object);
        }
    }
}

/// The rank that hands out the heap's pages.
const COORDINATOR: Rank = Rank(0);
