//! Synchronisation by address: what the typed layer and the C interface are made of.
//!
//! An object is named by its address, a multiple of 8 in shared memory. Its bytes are not used and stay
//! zero; its state is with the ranks, so that using it touches no page.

use crate::Node;
use crate::calls::CallError;
use crate::locks::{LockError, Mode, Patience};
use crate::settings::PeerProfile;
use dsm_core::{Access, Answer, Ask, Call, ObjectId, PageId};
use dsm_mem::Operation;
use std::time::Instant;
use thiserror::Error;

/// Why a synchronisation object refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SyncError {
    /// Objects are in shared memory.
    #[error("{address:#x} is not in shared memory")]
    NotShared {
        /// The address given.
        address: usize,
    },
    /// Objects and words begin at multiples of 8.
    #[error("{address:#x} is not a multiple of 8")]
    Unaligned {
        /// The address given.
        address: usize,
    },
    /// The thread has the lock already, and would wait for itself.
    #[error("this thread has the lock already")]
    Deadlock,
    /// The thread does not have the lock.
    #[error("this thread does not have the lock")]
    NotHolder,
    /// Others use the object.
    #[error("it is in use")]
    Busy,
    /// The deadline passed.
    #[error("the deadline passed")]
    TimedOut,
    /// The semaphore's value is 0.
    #[error("the semaphore's value is 0")]
    WouldBlock,
    /// The semaphore's value is the highest it can have.
    #[error("the semaphore's value is the highest")]
    Overflow,
    /// A barrier is for at least one thread, and all that meet at it name the same count.
    #[error("threads wait at the barrier that named another count than {count}")]
    CountMismatch {
        /// The count given.
        count: u32,
    },
    /// The rank has left the job.
    #[error("this rank has left the job")]
    Left,
    /// Ranks of another family share pages and nothing else.
    #[error("not with foreign ranks (DSM_PEER={})", profile.as_str())]
    ForeignRanks {
        /// How the ranks speak.
        profile: PeerProfile,
    },
}

/// What a thread is to the others that passed a barrier with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BarrierRole {
    /// The one that may do what is to be done once.
    Serial,
    /// One of the others.
    Other,
}

impl Node {
    /// Locks a mutex, after those that came before; zero bytes are one that nobody has.
    ///
    /// # Errors
    /// [`SyncError::Deadlock`] if this thread has it.
    pub fn mutex_lock(&self, mutex: usize) -> Result<(), SyncError> {
        self.lock(mutex, Mode::Write, Patience::Forever)
    }

    /// Locks a mutex that nobody has.
    ///
    /// # Errors
    /// [`SyncError::Busy`] if a thread of any rank has it, this one included.
    pub fn mutex_try_lock(&self, mutex: usize) -> Result<(), SyncError> {
        self.lock(mutex, Mode::Write, Patience::Never)
    }

    /// Locks a mutex, if that is possible before the deadline.
    ///
    /// # Errors
    /// [`SyncError::TimedOut`]; [`SyncError::Deadlock`] if this thread has it.
    pub fn mutex_lock_until(&self, mutex: usize, deadline: Instant) -> Result<(), SyncError> {
        self.lock(mutex, Mode::Write, Patience::Until(deadline))
    }

    /// Unlocks a mutex.
    ///
    /// # Errors
    /// [`SyncError::NotHolder`] if this thread does not have it.
    pub fn mutex_unlock(&self, mutex: usize) -> Result<(), SyncError> {
        self.unlock(mutex)
    }

    /// Ends the use of a mutex that nobody has; its bytes are a fresh one.
    ///
    /// # Errors
    /// [`SyncError::Busy`] while a thread of any rank has it.
    pub fn mutex_destroy(&self, mutex: usize) -> Result<(), SyncError> {
        Ok(self.locks.destroy(self.object(mutex)?)?)
    }

    /// Unlocks the mutex, waits until the condition variable is signalled, and locks the mutex again. A
    /// signal sent after the mutex was unlocked is not lost, and nothing but a signal ends the wait.
    ///
    /// # Errors
    /// [`SyncError::NotHolder`] if this thread does not have the mutex.
    pub fn cond_wait(&self, cond: usize, mutex: usize) -> Result<(), SyncError> {
        self.wait_at(cond, mutex, Patience::Forever)
    }

    /// As [`cond_wait`](Self::cond_wait), until a deadline; the mutex is locked again in any case.
    ///
    /// # Errors
    /// [`SyncError::TimedOut`] if no signal came before; [`SyncError::NotHolder`].
    pub fn cond_wait_until(
        &self,
        cond: usize,
        mutex: usize,
        deadline: Instant,
    ) -> Result<(), SyncError> {
        self.wait_at(cond, mutex, Patience::Until(deadline))
    }

    /// Wakes the thread that has waited longest, if any.
    ///
    /// # Errors
    /// If it is no object.
    pub fn cond_signal(&self, cond: usize) -> Result<(), SyncError> {
        self.ask(cond, Ask::CondSignal).map(drop)
    }

    /// Wakes all threads that wait.
    ///
    /// # Errors
    /// If it is no object.
    pub fn cond_broadcast(&self, cond: usize) -> Result<(), SyncError> {
        self.ask(cond, Ask::CondBroadcast).map(drop)
    }

    /// Ends the use of a condition variable; its bytes are a fresh one.
    ///
    /// # Errors
    /// [`SyncError::Busy`] while somebody waits.
    pub fn cond_destroy(&self, cond: usize) -> Result<(), SyncError> {
        self.ask(cond, Ask::CondDestroy).map(drop)
    }

    /// Locks for reading, together with other readers; a thread may do so several times at once.
    ///
    /// # Errors
    /// [`SyncError::Deadlock`] if this thread has it for writing.
    pub fn rwlock_read(&self, rwlock: usize) -> Result<(), SyncError> {
        self.lock(rwlock, Mode::Read, Patience::Forever)
    }

    /// Locks for writing, alone.
    ///
    /// # Errors
    /// [`SyncError::Deadlock`] if this thread has it.
    pub fn rwlock_write(&self, rwlock: usize) -> Result<(), SyncError> {
        self.lock(rwlock, Mode::Write, Patience::Forever)
    }

    /// Locks for reading if nobody has it for writing.
    ///
    /// # Errors
    /// [`SyncError::Busy`].
    pub fn rwlock_try_read(&self, rwlock: usize) -> Result<(), SyncError> {
        self.lock(rwlock, Mode::Read, Patience::Never)
    }

    /// Locks for writing if nobody has it.
    ///
    /// # Errors
    /// [`SyncError::Busy`].
    pub fn rwlock_try_write(&self, rwlock: usize) -> Result<(), SyncError> {
        self.lock(rwlock, Mode::Write, Patience::Never)
    }

    /// Unlocks what this thread locked last, for reading or writing.
    ///
    /// # Errors
    /// [`SyncError::NotHolder`].
    pub fn rwlock_unlock(&self, rwlock: usize) -> Result<(), SyncError> {
        self.unlock(rwlock)
    }

    /// Ends the use of a lock that nobody has; its bytes are a fresh one.
    ///
    /// # Errors
    /// [`SyncError::Busy`] while a thread of any rank has it.
    pub fn rwlock_destroy(&self, rwlock: usize) -> Result<(), SyncError> {
        Ok(self.locks.destroy(self.object(rwlock)?)?)
    }

    /// Sets a semaphore's value; without, it is 0.
    ///
    /// # Errors
    /// [`SyncError::Busy`] while somebody waits.
    pub fn semaphore_init(&self, semaphore: usize, value: u32) -> Result<(), SyncError> {
        self.ask(semaphore, Ask::SemaphoreInit { value }).map(drop)
    }

    /// Lowers the value by one, once it is above 0, after those that came before.
    ///
    /// # Errors
    /// If it is no object.
    pub fn semaphore_wait(&self, semaphore: usize) -> Result<(), SyncError> {
        self.ask(semaphore, Ask::SemaphoreWait).map(drop)
    }

    /// Lowers the value by one, if it is above 0.
    ///
    /// # Errors
    /// [`SyncError::WouldBlock`].
    pub fn semaphore_try_wait(&self, semaphore: usize) -> Result<(), SyncError> {
        self.ask(semaphore, Ask::SemaphoreTry).map(drop)
    }

    /// Raises the value by one, or lets the thread go on that has waited longest.
    ///
    /// # Errors
    /// [`SyncError::Overflow`] at `u32::MAX`.
    pub fn semaphore_post(&self, semaphore: usize) -> Result<(), SyncError> {
        self.ask(semaphore, Ask::SemaphorePost).map(drop)
    }

    /// Ends the use of a semaphore; its bytes are a fresh one.
    ///
    /// # Errors
    /// [`SyncError::Busy`] while somebody waits.
    pub fn semaphore_destroy(&self, semaphore: usize) -> Result<(), SyncError> {
        self.ask(semaphore, Ask::SemaphoreDestroy).map(drop)
    }

    /// Waits until `count` threads of any ranks are here. Can be used again at once.
    ///
    /// # Errors
    /// [`SyncError::CountMismatch`] if it is 0, or threads wait here that named another count.
    pub fn barrier_wait(&self, barrier: usize, count: u32) -> Result<BarrierRole, SyncError> {
        let object = self.object(barrier)?;
        let differs = SyncError::CountMismatch { count };
        if count == 0 {
            return Err(differs);
        }
        let call = Call::Ask { object, ask: Ask::BarrierWait { count } };
        let role = match self.calls.call(call)? {
            Answer::Serial => BarrierRole::Serial,
            Answer::Done => BarrierRole::Other,
            _ => return Err(differs),
        };
        self.counters.barriers.add(1);
        Ok(role)
    }

    /// Adds to a word where its page is, without moving the page; returns what it was before. For counters
    /// that many ranks use; sequentially consistent, also with plain atomics on the word.
    ///
    /// # Errors
    /// If it is no word of shared memory.
    pub fn fetch_add(&self, word: usize, value: u64) -> Result<u64, SyncError> {
        self.operate(word, Ask::Add { value }, Operation::Add { value })
    }

    /// Replaces a word where its page is if it is as expected; otherwise gives what it is.
    ///
    /// # Errors
    /// If it is no word of shared memory.
    pub fn compare_exchange(
        &self,
        word: usize,
        expected: u64,
        desired: u64,
    ) -> Result<Result<u64, u64>, SyncError> {
        let ask = Ask::Swap { expected, desired };
        let before = self.operate(word, ask, Operation::Swap { expected, desired })?;
        Ok(if before == expected { Ok(before) } else { Err(before) })
    }

    /// Starts bringing the pages of a range here, and returns at once.
    ///
    /// # Errors
    /// If the range is not in shared memory.
    pub fn prefetch(&self, address: usize, bytes: usize, access: Access) -> Result<(), SyncError> {
        self.require_own_family()?;
        let page = |address| self.region.page_of(address).ok_or(SyncError::NotShared { address });
        let Some(last) = bytes.checked_sub(1) else { return page(address).map(drop) };
        let (PageId(first), last) = (page(address)?, page(address.saturating_add(last))?);
        if access > Access::None && self.nodes() > 1 {
            let pages = last.0 - first + 1;
            self.calls.post(Call::Prefetch { first: PageId(first), pages, access });
        }
        Ok(())
    }

    fn lock(&self, address: usize, mode: Mode, patience: Patience) -> Result<(), SyncError> {
        Ok(self.locks.lock(self.object(address)?, mode, patience)?)
    }

    fn unlock(&self, address: usize) -> Result<(), SyncError> {
        Ok(self.locks.unlock(self.object(address)?)?)
    }

    /// The thread is in the queue before the mutex is free, so that no signal is missed.
    fn wait_at(&self, cond: usize, mutex: usize, patience: Patience) -> Result<(), SyncError> {
        let (object, mutex) = (self.object(cond)?, self.object(mutex)?);
        if self.locks.holds(mutex) != Some(Mode::Write) {
            return Err(SyncError::NotHolder);
        }
        let waiter = self.calls.start(Call::Ask { object, ask: Ask::CondWait })?;
        waiter.wait()?;
        self.locks.unlock(mutex)?;
        let woken = match patience {
            Patience::Until(deadline) => waiter.wait_until(deadline),
            Patience::Forever | Patience::Never => Some(waiter.wait()),
        };
        let woken = match woken {
            Some(answer) => answer,
            None => {
                let ask = Ask::CondLeave { waiter: waiter.id() };
                self.calls.call(Call::Ask { object, ask })
            }
        };
        let is_woken = woken? == Answer::Woken;
        self.locks.lock(mutex, Mode::Write, Patience::Forever)?;
        if is_woken { Ok(()) } else { Err(SyncError::TimedOut) }
    }

    fn ask(&self, address: usize, ask: Ask) -> Result<Answer, SyncError> {
        match self.calls.call(Call::Ask { object: self.object(address)?, ask })? {
            Answer::Busy => Err(SyncError::Busy),
            Answer::Empty => Err(SyncError::WouldBlock),
            Answer::Overflow => Err(SyncError::Overflow),
            answer => Ok(answer),
        }
    }

    fn operate(&self, word: usize, ask: Ask, operation: Operation) -> Result<u64, SyncError> {
        let object = self.object(word)?;
        if self.nodes() == 1 {
            return Ok(self.region.operate(word - self.region.base(), operation));
        }
        match self.calls.call(Call::Ask { object, ask })? {
            Answer::Value(before) => Ok(before),
            answer => unreachable!("an operation gives a value, not {answer:?}"),
        }
    }

    /// The object that begins at an address.
    pub(crate) fn object(&self, address: usize) -> Result<ObjectId, SyncError> {
        self.require_own_family()?;
        if !self.is_shared(address) {
            return Err(SyncError::NotShared { address });
        }
        if !address.is_multiple_of(size_of::<u64>()) {
            return Err(SyncError::Unaligned { address });
        }
        Ok(ObjectId(((address - self.region.base()) / size_of::<u64>()) as u64))
    }
}

impl From<CallError> for SyncError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::BarrierBusy => Self::Busy,
            CallError::Left => Self::Left,
            CallError::ForeignRanks { profile } => Self::ForeignRanks { profile },
        }
    }
}

impl From<LockError> for SyncError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Deadlock => Self::Deadlock,
            LockError::NotHolder => Self::NotHolder,
            LockError::TimedOut => Self::TimedOut,
            LockError::Busy => Self::Busy,
            LockError::Left => Self::Left,
        }
    }
}
