//! Mutexes and read-write locks as the threads of one rank see them.
//!
//! A lock is a token that moves between the ranks like a page, see dsm-core. While the engine lends it to
//! this rank, its threads lock and unlock among themselves here, without the driver and without a system
//! call. What the lock protects, and where its object lies, is unknown here: nothing here touches shared
//! memory.

mod cycle;
mod entry;
mod table;
#[cfg(test)]
mod tests;
mod thread;
mod users;

use crate::calls::{Bell, Calls, Unrung};
use crate::parker::{Given, Parker};
use dsm_core::{Access, Answer, Call, ObjectId, Rank};
use dsm_mem::{block_signals, is_forked_child};
use entry::{Entry, Step, Take, Waiter};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use table::{Locked, Table};
use thiserror::Error;
use thread::Thread;

/// The locks of a rank, for its threads and its driver.
///
/// The locks taken inside are, in this order, one shard of `table`, `waiting`, and those of [`Calls`]; none
/// is held while a thread sleeps or is woken. What a shard's change asks of the engine is queued before the
/// shard is unlocked, so that the engine hears it in the order in which it happened.
///
/// What it expects of the engine: a [`Call::Acquire`] of more than is lent is followed by
/// [`lend`](Self::lend) of as much, and one of what is lent already by nothing. Only a token that is
/// lent is recalled, and of the tokens recalled only one that was surrendered is taken back.
#[derive(Debug)]
pub(crate) struct Locks {
    table: Table,
    /// The threads that sleep until they have a lock.
    waiting: Mutex<BTreeMap<Thread, Waiting>>,
    /// For which thread of the host which lock came from another rank last.
    came: Mutex<BTreeMap<u32, ObjectId>>,
    /// `None` in a job of one rank, which has every token.
    calls: Option<Arc<Calls>>,
    rank: Rank,
    /// The first address of the region, to tell people where a lock is.
    base: usize,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    object: ObjectId,
    since: Instant,
}

/// How a thread wants a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// Together with other readers; a thread may do so several times at once.
    Read,
    /// Alone. Every lock of a mutex.
    Write,
}

/// How long a thread waits for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Forever,
    Until(Instant),
    /// Only as long as it takes to find out whether somebody has it.
    Never,
}

/// Why a thread did not get a lock, or could not give it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum LockError {
    #[error("this thread has the lock already")]
    Deadlock,
    #[error("this thread does not have the lock")]
    NotHolder,
    #[error("the lock was not free in time")]
    TimedOut,
    #[error("another thread has the lock")]
    Busy,
    #[error("this rank has left the job")]
    Left,
}

/// What became of a recall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recalled {
    /// Only what may stay is here from now on.
    Surrendered,
    /// Threads have the lock, or had it a moment ago: [`Call::Surrender`] follows, or is queued already.
    Kept,
}

/// A thread that has a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its number on this host.
    pub(crate) thread: u32,
    /// The lock that it waits for in turn.
    pub(crate) waits_for: Option<ObjectId>,
}

/// A thread that waits for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) object: ObjectId,
    /// Its number on this host.
    pub(crate) thread: u32,
    pub(crate) since: Instant,
}

/// How many locks this rank's threads took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// With a token that was here.
    pub(crate) local: u64,
    /// With a token that came from another rank for it.
    pub(crate) remote: u64,
}

impl Locks {
    /// The locks of a rank whose driver takes these calls; of a job of one rank without.
    pub(crate) fn new(calls: Option<Arc<Calls>>) -> Self {
        Self {
            table: Table::new(),
            waiting: Mutex::default(),
            came: Mutex::default(),
            calls,
            rank: Rank(0),
            base: 0,
        }
    }

    /// Says where they are, for people.
    pub(crate) fn at(self, rank: Rank, base: usize) -> Self {
        Self { rank, base, ..self }
    }

    /// Takes a lock, after those that came before.
    ///
    /// # Errors
    /// [`LockError::Deadlock`] if this thread has it in a way that rules this out; with
    /// [`Patience::Never`], [`LockError::Busy`] then and when another thread has it, and if others of
    /// this rank wait for those that have it. [`LockError::TimedOut`], [`LockError::Left`].
    pub(crate) fn lock(
        &self,
        object: ObjectId,
        mode: Mode,
        patience: Patience,
    ) -> Result<(), LockError> {
        let thread = Thread::current();
        let mut shard = self.table.lock(object);
        let taken = match shard.entries.get_mut(&object) {
            Some(entry) => entry.take(thread, mode),
            None => Take::Elsewhere,
        };
        match (taken, patience) {
            (Take::Local, _) => shard.local += 1,
            (Take::Remote, _) => {
                shard.remote += 1;
                let _blocked = block_signals();
                self.came().insert(thread.on_host(), object);
            }
            (Take::Own | Take::Used, Patience::Never) => return Err(LockError::Busy),
            (Take::Own, _) => return Err(LockError::Deadlock),
            (Take::Used | Take::Elsewhere, _) => {
                return self.queue_up(shard, object, thread, mode, patience);
            }
        }
        Ok(())
    }

    /// Gives back a lock that this thread has; of a reader that has entered several times, the last entry.
    ///
    /// # Errors
    /// [`LockError::NotHolder`], [`LockError::Left`].
    pub(crate) fn unlock(&self, object: ObjectId) -> Result<(), LockError> {
        let thread = Thread::current();
        let mut shard = self.table.lock(object);
        if shard.is_closed {
            return Err(LockError::Left);
        }
        let entry = shard.entries.get_mut(&object).ok_or(LockError::NotHolder)?;
        let step = entry.release(thread).ok_or(LockError::NotHolder)?;
        self.carry_out_and_ring(shard, object, step);
        Ok(())
    }

    /// How this thread has a lock, if it does.
    pub(crate) fn holds(&self, object: ObjectId) -> Option<Mode> {
        let shard = self.table.lock(object);
        shard.entries.get(&object)?.users().mode_of(Thread::current())
    }

    /// Makes sure that no thread of any rank has a lock that is not to be used any more.
    ///
    /// # Errors
    /// [`LockError::Busy`], [`LockError::Left`].
    pub(crate) fn destroy(&self, object: ObjectId) -> Result<(), LockError> {
        self.lock(object, Mode::Write, Patience::Never)?;
        self.unlock(object)
    }

    /// For the driver: this rank has this much of the token from now on. `None`: later.
    pub(crate) fn lend(&self, object: ObjectId, access: Access) -> Option<()> {
        let mut shard = self.table.try_lock(object)?;
        if !shard.is_closed {
            let step = self.entry(&mut shard, object).lend(access);
            self.carry_out_and_ring(shard, object, step);
        }
        Some(())
    }

    /// For the driver: another rank wants the token, of which only `keep` may stay here: `Read` if the
    /// other only reads, so that readers of both have the lock at once, else `None`. No answer: later.
    pub(crate) fn recall(&self, object: ObjectId, keep: Access) -> Option<Recalled> {
        let mut shard = self.table.try_lock(object)?;
        let step = shard.entries.get_mut(&object).and_then(|entry| entry.recall(keep));
        let Some(step) = step else { return Some(Recalled::Kept) };
        self.carry_out_and_ring(shard, object, step);
        Some(Recalled::Surrendered)
    }

    /// For the driver: what [`inspect`](Self::inspect) says. `None`: later.
    pub(crate) fn try_inspect(&self, object: ObjectId, access: Access) -> Option<Option<Holder>> {
        Some(self.holder_in(&*self.table.try_lock(object)?, object, access))
    }

    /// A thread of this rank that has a lock in a way that rules this access out; one that waits itself,
    /// if there are several.
    pub(crate) fn inspect(&self, object: ObjectId, access: Access) -> Option<Holder> {
        let _blocked = block_signals();
        self.holder_in(&self.table.lock(object), object, access)
    }

    fn holder_in(&self, shard: &Locked, object: ObjectId, access: Access) -> Option<Holder> {
        let holders = shard.entries.get(&object)?.users().against(access);
        // With the shard locked, so that nobody is seen to wait for what it has.
        let waiting = self.waiting();
        let holders = holders.into_iter().map(|thread| Holder {
            thread: thread.on_host(),
            waits_for: waiting.get(&thread).map(|waiting| waiting.object),
        });
        holders.max_by_key(|holder| holder.waits_for.is_some())
    }

    /// For the driver: the lock that came from another rank for this thread of the host, if the thread
    /// has it still.
    pub(crate) fn came_for(&self, thread: u32) -> Option<ObjectId> {
        let object = *self.came().get(&thread)?;
        let shard = self.table.try_lock(object)?;
        let has = shard.entries.get(&object).is_some_and(|entry| entry.users().has(thread));
        drop(shard);
        if !has {
            self.came().remove(&thread);
        }
        has.then_some(object)
    }

    fn came(&self) -> MutexGuard<'_, BTreeMap<u32, ObjectId>> {
        self.came.lock().expect("no thread panics with this locked")
    }

    /// Who waits for what, the longest first.
    pub(crate) fn waits(&self) -> Vec<Wait> {
        let wait = |(thread, waiting): (&Thread, &Waiting)| Wait {
            object: waiting.object,
            thread: thread.on_host(),
            since: waiting.since,
        };
        let mut waits: Vec<_> = self.waiting().iter().map(wait).collect();
        waits.sort_by_key(|wait| wait.since);
        waits
    }

    /// How many locks were taken so far.
    pub(crate) fn taken(&self) -> Taken {
        self.table.all().fold(Taken::default(), |taken, shard| Taken {
            local: taken.local + shard.local,
            remote: taken.remote + shard.remote,
        })
    }

    /// The rank has left the job: nobody gets a lock any more, those that wait included.
    pub(crate) fn close(&self) {
        for mut shard in self.table.all() {
            shard.is_closed = true;
            let entries = std::mem::take(&mut shard.entries);
            drop(shard);
            for waiter in entries.into_values().flat_map(|mut entry| entry.take_queue()) {
                self.waiting().remove(&waiter.thread);
                self.tell(waiter.parker.give(Err(LockError::Left)));
            }
        }
    }

    fn queue_up(
        &self,
        mut shard: MutexGuard<'_, Locked>,
        object: ObjectId,
        thread: Thread,
        mode: Mode,
        patience: Patience,
    ) -> Result<(), LockError> {
        if shard.is_closed || is_forked_child() {
            return Err(LockError::Left);
        }
        let blocked = block_signals();
        let parker = Arc::new(Parker::new());
        let waiter = Waiter { thread, mode, parker: Arc::clone(&parker) };
        if patience != Patience::Never {
            let since = Instant::now();
            self.waiting().insert(thread, Waiting { object, since });
        }
        let step = self.entry(&mut shard, object).queue_up(waiter);
        let unrung = Unrung { bell: self.carry_out(shard, object, step), blocked };
        let told = match patience {
            Patience::Forever => Ok(self.wait_long(object, &parker, unrung)),
            Patience::Until(deadline) => {
                self.wait_until(&parker, Some(deadline), unrung).ok_or(LockError::TimedOut)
            }
            Patience::Never => {
                self.ring(unrung.bell);
                drop(unrung);
                self.probe(object, mode, &parker)
            }
        };
        match told {
            Ok(told) => told,
            Err(why) if self.walk_away(object, thread) => Err(why),
            // Whoever took this thread out of the queue has told it, or is about to.
            Err(_) => self.wait(&parker),
        }
    }

    /// A wait without end may be one of a cycle of them.
    fn wait_long<T: Copy>(&self, object: ObjectId, parker: &Parker<T>, unrung: Unrung) -> T {
        let mut unrung = Some(unrung);
        for after in EXPLAIN_AFTER {
            let deadline = Some(Instant::now() + after);
            let unrung = unrung.take().unwrap_or_else(Unrung::nothing);
            if let Some(told) = self.wait_until(parker, deadline, unrung) {
                return told;
            }
            if let Some(cycle) = self.cycle(object) {
                let line = format!("dsm: {cycle}\n");
                // One write, as another thread may have standard error locked; it may be closed.
                let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
                break;
            }
        }
        self.wait(parker)
    }

    fn wait<T: Copy>(&self, parker: &Parker<T>) -> T {
        let told = self.wait_until(parker, None, Unrung::nothing());
        told.expect("whoever waits without a deadline is told")
    }

    fn wait_until<T: Copy>(
        &self,
        parker: &Parker<T>,
        deadline: Option<Instant>,
        unrung: Unrung,
    ) -> Option<T> {
        match &self.calls {
            Some(calls) => calls.wait_for(parker, deadline, unrung),
            None => {
                drop(unrung);
                parker.wait_until(deadline)
            }
        }
    }

    fn ring(&self, bell: Bell) {
        if let Some(calls) = &self.calls {
            calls.ring(bell);
        }
    }

    fn tell(&self, given: Given) {
        if let Some(calls) = &self.calls {
            calls.tell(given);
        }
    }

    /// Waits for the token, as long as no thread of any rank has the lock in the way.
    fn probe(
        &self,
        object: ObjectId,
        mode: Mode,
        parker: &Parker<Result<(), LockError>>,
    ) -> Result<Result<(), LockError>, LockError> {
        let access = mode.access();
        loop {
            if let Some(told) = parker.take() {
                return Ok(told);
            }
            let calls = self.calls.as_ref().ok_or(LockError::Busy)?;
            let answer = calls.call(Call::Probe { object, access });
            let answer = answer.map_err(|_| LockError::Left)?;
            if answer != Answer::Done || self.inspect(object, access).is_some() {
                return parker.take().ok_or(LockError::Busy);
            }
        }
    }

    /// Whether the thread was still in the queue, which it is not any more.
    fn walk_away(&self, object: ObjectId, thread: Thread) -> bool {
        let _blocked = block_signals();
        let mut shard = self.table.lock(object);
        let entry = shard.entries.get_mut(&object);
        let Some(step) = entry.and_then(|entry| entry.walk_away(thread)) else { return false };
        self.waiting().remove(&thread);
        self.carry_out_and_ring(shard, object, step);
        true
    }

    /// Does what follows from a change of an entry, and sees to it that the driver hears of it.
    fn carry_out_and_ring(&self, shard: MutexGuard<'_, Locked>, object: ObjectId, step: Step) {
        let bell = self.carry_out(shard, object, step);
        self.ring(bell);
    }

    /// Does what follows from a change of an entry, and unlocks its shard. The driver waits for what is
    /// locked here: no signal handler, which may wait for the driver, comes in between.
    fn carry_out(&self, mut shard: MutexGuard<'_, Locked>, object: ObjectId, step: Step) -> Bell {
        let Step { admitted, surrenders, acquires, is_remote, leaves_blank } = step;
        let mut bell = Bell::Quiet;
        let is_nothing = admitted.is_empty() && !surrenders && acquires.is_none();
        let _blocked = (!is_nothing).then(block_signals);
        if let Some(calls) = &self.calls {
            if surrenders {
                bell = bell.or(calls.queue(Call::Surrender { object, keep: Access::None }));
            }
            if let Some(access) = acquires {
                bell = bell.or(calls.queue(Call::Acquire { object, access }));
            }
        }
        if !admitted.is_empty() {
            let remote = u64::from(is_remote);
            shard.remote += remote;
            shard.local += admitted.len() as u64 - remote;
            let mut waiting = self.waiting();
            for waiter in &admitted {
                waiting.remove(&waiter.thread);
            }
            drop(waiting);
            if let Some(first) = admitted.first().filter(|_| is_remote) {
                self.came().insert(first.thread.on_host(), object);
            }
        }
        if leaves_blank {
            shard.entries.remove(&object);
        }
        drop(shard);
        for waiter in admitted {
            self.tell(waiter.parker.give(Ok(())));
        }
        bell
    }

    fn entry<'a>(&self, shard: &'a mut Locked, object: ObjectId) -> &'a mut Entry {
        let right = if self.calls.is_some() { Access::None } else { Access::Write };
        shard.entries.entry(object).or_insert_with(|| Entry::new(right))
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Thread, Waiting>> {
        self.waiting.lock().expect("no thread panics with the waits locked")
    }
}

/// The number of the calling thread on this host.
pub(crate) fn thread_on_host() -> u32 {
    Thread::current().on_host()
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

/// After how long a thread looks whether it waits for itself, and how much later once more: the others
/// of the cycle may have begun to wait meanwhile.
const EXPLAIN_AFTER: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(7)];
