use crate::ScriptError;
use dsm_core::{Access, Ask, BarrierKind, ObjectId, PageId};
use std::fmt;

/// One thing a thread does. A store is also a load of the rest of its page: it must not be lost on an old copy.
///
/// A lock, condition variable, semaphore or barrier is named by a word. A page has one word here, so
/// word 1 is in page 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Reads a word of the page.
    Load(PageId),
    /// Writes a word of the page, or reads and writes it in one instruction.
    Store(PageId),
    /// Reads the first page and writes the second in one instruction, which needs both at the same time.
    Move(PageId, PageId),
    /// Asks for a page and does not wait for it.
    Prefetch(PageId, Access),
    /// Does so with a page of the heap, by its number there, whoever has it: a walk through memory does not
    /// know where the blocks of others begin.
    Ahead(u64, Access),
    /// Waits at the barrier of all ranks.
    Barrier,
    /// Leaves the job, as all ranks must together. Nothing follows it.
    Finalize,
    /// Ends its rank without a word.
    Crash,
    /// Takes a lock, if patience lasts.
    Lock(ObjectId, Mode, Patience),
    /// Gives a lock back that the thread has; nothing if it has not.
    Unlock(ObjectId),
    /// Takes one of the things that a condition variable is about; waits while there is none, if patience
    /// lasts. Nothing if the thread does not have the mutex.
    CondWait {
        /// The condition variable.
        cond: ObjectId,
        /// The mutex that guards what it is about.
        mutex: ObjectId,
        /// How long.
        patience: Patience,
    },
    /// Adds one of the things that a condition variable is about, and signals it.
    Signal(ObjectId),
    /// Makes the things that a condition variable is about endless, and wakes all that wait.
    Broadcast(ObjectId),
    /// Ends the use of a condition variable, unless threads wait.
    CondDestroy(ObjectId),
    /// Takes one of a semaphore, once there is one.
    SemaphoreWait(ObjectId),
    /// Takes one of a semaphore, if there is one.
    SemaphoreTry(ObjectId),
    /// Gives a semaphore one.
    SemaphorePost(ObjectId),
    /// Sets a semaphore's value, unless threads wait; ends its use if that is 0.
    SemaphoreSet(ObjectId, u32),
    /// Waits until so many threads have come.
    Gather(ObjectId, u32),
    /// Adds 1 to a word where its page is.
    Add(ObjectId),
    /// Adds 1 to a word where its page is if it is what the thread saw last, at first 0.
    Swap(ObjectId),
    /// Gets a run of so many pages of the heap, if there is one.
    Take(u64),
    /// Stores to all pages of the last run that the thread got and has, if any.
    Scribble,
    /// Gives that run back.
    Give,
    /// Has a block freed in the first run that anybody has, at the rank that got it.
    Free,
}

/// How a thread wants a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Together with other readers.
    Read,
    /// Alone. Every lock of a mutex.
    Write,
}

/// How long a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Patience {
    /// For ever.
    Endless,
    /// Until any moment.
    Limited,
    /// Only as long as it takes to find out whether somebody has it.
    None,
}

impl Mode {
    /// What a rank needs of the token.
    pub(crate) fn access(self) -> Access {
        match self {
            Self::Read => Access::Read,
            Self::Write => Access::Write,
        }
    }
}

impl Op {
    /// The accesses the operation needs at one instant, in the order its instruction makes them, unless they
    /// depend on what the thread did before.
    pub(crate) fn needs(self) -> impl Iterator<Item = (PageId, Access)> {
        let needs = match self {
            Self::Load(page) => [Some((page, Access::Read)), None],
            Self::Store(page) => [Some((page, Access::Write)), None],
            Self::Move(from, to) => [Some((from, Access::Read)), Some((to, Access::Write))],
            _ => [None, None],
        };
        needs.into_iter().flatten()
    }

    /// The barrier of all ranks that the operation waits at, if it does.
    pub(crate) fn barrier(self) -> Option<BarrierKind> {
        match self {
            Self::Barrier => Some(BarrierKind::Program),
            Self::Finalize => Some(BarrierKind::Finalize),
            _ => None,
        }
    }

    /// The highest page or word it names.
    pub(crate) fn highest(self) -> u64 {
        match self {
            Self::Load(page) | Self::Store(page) | Self::Prefetch(page, _) => page.0,
            Self::Move(from, to) => from.0.max(to.0),
            Self::CondWait { cond, mutex, .. } => cond.0.max(mutex.0),
            Self::Lock(object, ..)
            | Self::Unlock(object)
            | Self::Signal(object)
            | Self::Broadcast(object)
            | Self::CondDestroy(object)
            | Self::SemaphoreWait(object)
            | Self::SemaphoreTry(object)
            | Self::SemaphorePost(object)
            | Self::SemaphoreSet(object, _)
            | Self::Gather(object, _)
            | Self::Add(object)
            | Self::Swap(object) => object.0,
            Self::Barrier
            | Self::Finalize
            | Self::Crash
            | Self::Ahead(..)
            | Self::Take(_)
            | Self::Scribble
            | Self::Give
            | Self::Free => 0,
        }
    }

    /// The lock it takes or has.
    pub(crate) fn lock(self) -> Option<ObjectId> {
        match self {
            Self::Lock(lock, ..) | Self::Unlock(lock) => Some(lock),
            Self::CondWait { mutex, .. } => Some(mutex),
            _ => None,
        }
    }

    /// The semaphore it is about.
    pub(crate) fn semaphore(self) -> Option<ObjectId> {
        match self {
            Self::SemaphoreWait(semaphore)
            | Self::SemaphoreTry(semaphore)
            | Self::SemaphorePost(semaphore)
            | Self::SemaphoreSet(semaphore, _) => Some(semaphore),
            _ => None,
        }
    }

    /// What it asks of who serves an object, unless that depends on what the thread did before.
    pub(crate) fn asks(self) -> Option<(ObjectId, Ask)> {
        Some(match self {
            Self::Signal(cond) => (cond, Ask::CondSignal),
            Self::Broadcast(cond) => (cond, Ask::CondBroadcast),
            Self::CondDestroy(cond) => (cond, Ask::CondDestroy),
            Self::SemaphoreWait(semaphore) => (semaphore, Ask::SemaphoreWait),
            Self::SemaphoreTry(semaphore) => (semaphore, Ask::SemaphoreTry),
            Self::SemaphorePost(semaphore) => (semaphore, Ask::SemaphorePost),
            Self::SemaphoreSet(semaphore, 0) => (semaphore, Ask::SemaphoreDestroy),
            Self::SemaphoreSet(semaphore, value) => (semaphore, Ask::SemaphoreInit { value }),
            Self::Gather(barrier, count) => (barrier, Ask::BarrierWait { count }),
            Self::Add(word) => (word, Ask::Add { value: 1 }),
            Self::Take(pages) => (ObjectId(0), Ask::RunTake { pages }),
            _ => return None,
        })
    }

    /// Reads one operation of a script; see [`scripts`](crate::scripts).
    pub(crate) fn read(word: &str, pages: u64) -> Result<Self, ScriptError> {
        let expected = "an operation, see dsm-sim explore --help, of pages that are there";
        read(word, pages).ok_or_else(|| ScriptError { word: word.to_owned(), expected })
    }
}

fn read(word: &str, pages: u64) -> Option<Op> {
    let (letter, rest) = word.split_at_checked(1)?;
    let (first, second) = match rest.split_once('>') {
        Some((first, second)) => (first, Some(second)),
        None => (rest, None),
    };
    let place = |digits: &str| digits.parse().ok().filter(|place| *place < pages);
    let Some(second) = second else { return read_one(letter, rest, place(rest)) };
    let (place, object) = (place(first)?, ObjectId(place(first)?));
    let cond_wait = |patience, mutex| Op::CondWait { cond: object, mutex, patience };
    let other = || second.parse().ok().filter(|other| *other < pages);
    Some(match letter {
        "m" => Op::Move(PageId(place), PageId(other()?)),
        "c" => cond_wait(Patience::Endless, ObjectId(other()?)),
        "d" => cond_wait(Patience::Limited, ObjectId(other()?)),
        "i" => Op::SemaphoreSet(object, second.parse().ok()?),
        "g" => Op::Gather(object, second.parse().ok().filter(|count| *count > 0)?),
        _ => return None,
    })
}

/// One that names one page or word, a number, or nothing.
fn read_one(letter: &str, rest: &str, place: Option<u64>) -> Option<Op> {
    let page = place.map(PageId);
    let object = place.map(ObjectId);
    let lock = |mode, patience| Some(Op::Lock(object?, mode, patience));
    match (letter, rest) {
        ("b", "") => Some(Op::Barrier),
        ("f", "") => Some(Op::Finalize),
        ("x", "") => Some(Op::Crash),
        ("j", "") => Some(Op::Scribble),
        ("k", "") => Some(Op::Give),
        ("y", "") => Some(Op::Free),
        ("h", pages) => pages.parse().ok().filter(|pages| *pages > 0).map(Op::Take),
        ("H", number) => number.parse().ok().map(|number| Op::Ahead(number, Access::Read)),
        ("J", number) => number.parse().ok().map(|number| Op::Ahead(number, Access::Write)),
        ("r", _) => page.map(Op::Load),
        ("w", _) => page.map(Op::Store),
        ("R", _) => page.map(|page| Op::Prefetch(page, Access::Read)),
        ("W", _) => page.map(|page| Op::Prefetch(page, Access::Write)),
        ("l", _) => lock(Mode::Write, Patience::Endless),
        ("L", _) => lock(Mode::Write, Patience::Limited),
        ("t", _) => lock(Mode::Write, Patience::None),
        ("s", _) => lock(Mode::Read, Patience::Endless),
        ("S", _) => lock(Mode::Read, Patience::Limited),
        ("T", _) => lock(Mode::Read, Patience::None),
        ("u", _) => object.map(Op::Unlock),
        ("n", _) => object.map(Op::Signal),
        ("a", _) => object.map(Op::Broadcast),
        ("e", _) => object.map(Op::CondDestroy),
        ("p", _) => object.map(Op::SemaphoreWait),
        ("q", _) => object.map(Op::SemaphoreTry),
        ("v", _) => object.map(Op::SemaphorePost),
        ("o", _) => object.map(Op::Add),
        ("z", _) => object.map(Op::Swap),
        _ => None,
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(page) => write!(f, "r{page}"),
            Self::Store(page) => write!(f, "w{page}"),
            Self::Move(from, to) => write!(f, "m{from}>{to}"),
            Self::Prefetch(page, Access::Write) => write!(f, "W{page}"),
            Self::Prefetch(page, _) => write!(f, "R{page}"),
            Self::Ahead(number, Access::Write) => write!(f, "J{number}"),
            Self::Ahead(number, _) => write!(f, "H{number}"),
            Self::Barrier => f.write_str("b"),
            Self::Finalize => f.write_str("f"),
            Self::Crash => f.write_str("x"),
            Self::Lock(lock, mode, patience) => {
                let letter = match (mode, patience) {
                    (Mode::Write, Patience::Endless) => 'l',
                    (Mode::Write, Patience::Limited) => 'L',
                    (Mode::Write, Patience::None) => 't',
                    (Mode::Read, Patience::Endless) => 's',
                    (Mode::Read, Patience::Limited) => 'S',
                    (Mode::Read, Patience::None) => 'T',
                };
                write!(f, "{letter}{lock}")
            }
            Self::Unlock(lock) => write!(f, "u{lock}"),
            Self::CondWait { cond, mutex, patience: Patience::Endless } => {
                write!(f, "c{cond}>{mutex}")
            }
            Self::CondWait { cond, mutex, .. } => write!(f, "d{cond}>{mutex}"),
            Self::Signal(cond) => write!(f, "n{cond}"),
            Self::Broadcast(cond) => write!(f, "a{cond}"),
            Self::CondDestroy(cond) => write!(f, "e{cond}"),
            Self::SemaphoreWait(semaphore) => write!(f, "p{semaphore}"),
            Self::SemaphoreTry(semaphore) => write!(f, "q{semaphore}"),
            Self::SemaphorePost(semaphore) => write!(f, "v{semaphore}"),
            Self::SemaphoreSet(semaphore, value) => write!(f, "i{semaphore}>{value}"),
            Self::Gather(barrier, count) => write!(f, "g{barrier}>{count}"),
            Self::Add(word) => write!(f, "o{word}"),
            Self::Swap(word) => write!(f, "z{word}"),
            Self::Take(pages) => write!(f, "h{pages}"),
            Self::Scribble => f.write_str("j"),
            Self::Give => f.write_str("k"),
            Self::Free => f.write_str("y"),
        }
    }
}
