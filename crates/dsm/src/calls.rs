//! How the program's threads ask the driver for something and wait for the answer.

use dsm_core::{Call, CallId, Refusal};
use rustix::event::EventfdFlags;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard};
use thiserror::Error;

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// The barrier of all ranks takes one thread a rank, and another is there.
    #[error("another thread of this rank waits at the barrier of all ranks")]
    BarrierBusy,
    /// The rank shares nothing any more.
    #[error("this rank has left the job")]
    Left,
}

/// Calls under way.
///
/// Invariant: a call that is in `asked` or known to the engine has no answer yet; the driver answers each
/// once, or ends the process.
#[derive(Debug)]
pub(crate) struct Calls {
    state: Mutex<State>,
    answered: Condvar,
    /// Readable when `asked` is not empty.
    event: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    closed: bool,
    asked: Vec<(CallId, Call)>,
    answers: BTreeMap<CallId, Result<(), CallError>>,
}

impl Calls {
    pub(crate) fn new() -> io::Result<Self> {
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { state: Mutex::default(), answered: Condvar::new(), event })
    }

    /// Asks, and waits for the answer. The wait ends with the call, or with the process.
    pub(crate) fn call(&self, call: Call) -> Result<(), CallError> {
        let mut state = self.lock();
        if state.closed {
            return Err(CallError::Left);
        }
        let id = CallId(state.next);
        state.next += 1;
        state.asked.push((id, call));
        rustix::io::write(&self.event, &1_u64.to_ne_bytes()).expect("an eventfd takes one more");
        loop {
            if let Some(answer) = state.answers.remove(&id) {
                return answer;
            }
            state = self.answered.wait(state).expect("no thread panics with the calls locked");
        }
    }

    /// The calls asked since the last time, for the driver.
    pub(crate) fn take(&self) -> Vec<(CallId, Call)> {
        let mut count = [0; 8];
        // Nothing to read is fine: an earlier take saw these calls already.
        let _ = rustix::io::read(&self.event, &mut count);
        std::mem::take(&mut self.lock().asked)
    }

    pub(crate) fn answer(&self, id: CallId, answer: Result<(), CallError>) {
        self.lock().answers.insert(id, answer);
        self.answered.notify_all();
    }

    /// No call is answered any more: those under way and later ones fail.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for (id, _) in std::mem::take(&mut state.asked) {
            state.answers.insert(id, Err(CallError::Left));
        }
        self.answered.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the calls locked")
    }
}

impl AsFd for Calls {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl From<Refusal> for CallError {
    fn from(why: Refusal) -> Self {
        match why {
            Refusal::BarrierBusy => Self::BarrierBusy,
        }
    }
}
