use crate::{Broken, Op, Promise};
use dsm_core::{Answer, ObjectId, Rank};
use std::collections::BTreeMap;

/// What the programs of a world share beside pages, and what they could notice about it.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// What each word is that operations are run on.
    words: Vec<u64>,
    /// How many things there are that each condition variable is about.
    things: BTreeMap<ObjectId, Things>,
    gathered: BTreeMap<(ObjectId, u32), Gathered>,
    counted: BTreeMap<ObjectId, Counted>,
}

/// Threads that came to a barrier with a count, passed it, and were the one.
#[derive(Clone, Copy, Debug, Default)]
struct Gathered {
    came: u64,
    passed: u64,
    serial: u64,
}

/// What was put into a semaphore at most, and taken from it.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    put: u64,
    taken: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Things {
    Some(u32),
    Endless,
}

impl Tally {
    pub(crate) fn new(words: u64) -> Self {
        let words = (0..words).map(|_| 0).collect();
        Self { words, things: BTreeMap::new(), gathered: BTreeMap::new(), counted: BTreeMap::new() }
    }

    /// What is in it that decides what happens next.
    pub(crate) fn state(&self) -> impl std::hash::Hash {
        (&self.words, &self.things)
    }

    pub(crate) fn word(&self, object: ObjectId) -> u64 {
        self.words[index(object)]
    }

    pub(crate) fn set_word(&mut self, object: ObjectId, word: u64) {
        self.words[index(object)] = word;
    }

    /// A thread is about to ask for this.
    pub(crate) fn begin(&mut self, op: Op) {
        match op {
            Op::Signal(cond) => {
                if let Things::Some(count) = self.things.entry(cond).or_insert(Things::Some(0)) {
                    *count += 1;
                }
            }
            Op::Broadcast(cond) => drop(self.things.insert(cond, Things::Endless)),
            Op::Gather(barrier, count) => {
                self.gathered.entry((barrier, count)).or_default().came += 1;
            }
            Op::SemaphorePost(semaphore) => self.counted.entry(semaphore).or_default().put += 1,
            Op::SemaphoreSet(semaphore, value) => {
                self.counted.entry(semaphore).or_default().put += u64::from(value);
            }
            _ => {}
        }
    }

    /// A thread was answered.
    pub(crate) fn end(&mut self, rank: Rank, op: Op, answer: Answer) -> Result<(), Broken> {
        match (op, answer) {
            (Op::Gather(barrier, count), Answer::CountDiffers) => {
                self.gathered.entry((barrier, count)).or_default().came -= 1;
                Ok(())
            }
            (Op::Gather(barrier, count), _) => {
                let gathered = self.gathered.entry((barrier, count)).or_default();
                gathered.pass(rank, count, answer == Answer::Serial)
            }
            (Op::SemaphoreWait(semaphore) | Op::SemaphoreTry(semaphore), Answer::Done) => {
                self.counted.entry(semaphore).or_default().take(rank)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn has_thing(&self, cond: ObjectId) -> bool {
        self.things.get(&cond).is_some_and(|things| *things != Things::Some(0))
    }

    pub(crate) fn take_thing(&mut self, cond: ObjectId) {
        if let Some(Things::Some(count)) = self.things.get_mut(&cond) {
            *count -= 1;
        }
    }
}

impl Gathered {
    /// As many must have come as pass together, and one of them is the one.
    fn pass(&mut self, rank: Rank, count: u32, is_serial: bool) -> Result<(), Broken> {
        self.passed += 1;
        self.serial += u64::from(is_serial);
        let together = u64::from(count);
        let needed = self.passed.div_ceil(together).max(self.serial) * together;
        if needed <= self.came {
            return Ok(());
        }
        let how = format!("rank {rank} passes a barrier of {count}: {self:?}");
        Err(Broken::new(Promise::Gatherings, how))
    }
}

impl Counted {
    fn take(&mut self, rank: Rank) -> Result<(), Broken> {
        self.taken += 1;
        if self.taken <= self.put {
            return Ok(());
        }
        let how = format!("rank {rank} takes one of a semaphore: {self:?}");
        Err(Broken::new(Promise::Semaphores, how))
    }
}

fn index(object: ObjectId) -> usize {
    usize::try_from(object.0).expect("a world has few words")
}
