//! How the program's threads ask the driver for something, and wait for the answer if there is one.

use crate::locks::thread_on_host;
use crate::parker::{Given, Parker};
use crate::service::Service;
use crate::settings::PeerProfile;
use dsm_core::{Answer, Call, CallId};
use dsm_mem::{Blocked, ThreadId, block_signals, is_forked_child};
use rustix::event::EventfdFlags;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Instant;
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
    /// Ranks of another family share pages and nothing else.
    #[error("not with foreign ranks (DSM_PEER={})", profile.as_str())]
    ForeignRanks {
        /// How the ranks speak.
        profile: PeerProfile,
    },
}

/// Calls under way.
///
/// Invariant: the driver sees calls in the order in which they were asked. It answers each that somebody
/// waits for, or ends the process. A forked child asks nothing: its driver would speak for its parent's.
/// The driver takes `state`, so no signal handler runs while a thread of the program has it.
#[derive(Debug)]
pub(crate) struct Calls {
    state: Mutex<State>,
    /// Written to when a thread has to look at what was asked, given or completed; never read, because
    /// whoever waits for it is told of every write.
    event: OwnedFd,
    /// What runs the driver; without, as in a test, threads only sleep.
    service: OnceLock<Weak<Service>>,
    prefetch_limit: AtomicU16,
    /// The thread that leads while it is stopped on a page, as long as it waits for events, or 0.
    stopped_leader: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    closed: bool,
    asked: Vec<(CallId, Call)>,
    waiting: BTreeMap<CallId, Caller>,
}

/// A thread that waits for the answers of a call.
#[derive(Debug)]
struct Caller {
    parker: Arc<Parker<Result<Answer, CallError>>>,
    call: Call,
    since: Instant,
    /// Its number on this host.
    thread: u32,
    /// The last answer was given.
    is_over: bool,
}

/// A call that was not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) call: Call,
    pub(crate) thread: u32,
    pub(crate) since: Instant,
}

/// A call whose thread can wait for answers; those that come after it is dropped go nowhere.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    calls: &'a Calls,
    id: CallId,
    parker: Arc<Parker<Result<Answer, CallError>>>,
}

/// Whether the driver may sleep over what was queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "the driver may sleep over what was queued until the bell is rung"]
pub(crate) enum Bell {
    /// It does not, or somebody else rings.
    #[default]
    Quiet,
    /// It may.
    Due,
}

/// The bell of a thread that is about to wait for what it asked for. Others who ask rely on its ringing,
/// so no signal handler, which may ask too, runs on this thread before.
#[derive(Debug)]
#[must_use = "the driver may sleep over what was queued until the bell is rung"]
pub(crate) struct Unrung {
    pub(crate) bell: Bell,
    pub(crate) blocked: Blocked,
}

impl Calls {
    pub(crate) fn new() -> io::Result<Self> {
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (state, service) = (Mutex::default(), OnceLock::new());
        let (prefetch_limit, stopped_leader) = (AtomicU16::new(0), AtomicU32::new(0));
        Ok(Self { state, event, service, prefetch_limit, stopped_leader })
    }

    /// How many pages are fetched ahead of a thread at most.
    pub(crate) fn prefetch_limit(&self) -> u16 {
        self.prefetch_limit.load(Relaxed)
    }

    pub(crate) fn limit_prefetch(&self, pages: u16) {
        self.prefetch_limit.store(pages, Relaxed);
    }

    /// Asks, and waits for the answer. The wait ends with the call, or with the process.
    ///
    /// # Errors
    /// [`CallError::Left`].
    pub(crate) fn call(&self, call: Call) -> Result<Answer, CallError> {
        let blocked = block_signals();
        let (pending, bell) = self.begin(call)?;
        let answer = self.wait_for(&pending.parker, None, Unrung { bell, blocked });
        answer.expect(ALWAYS_ANSWERED)
    }

    /// Asks for something that has several answers, or that is not waited for without end.
    ///
    /// # Errors
    /// [`CallError::Left`].
    pub(crate) fn start(&self, call: Call) -> Result<Pending<'_>, CallError> {
        let _blocked = block_signals();
        let (pending, bell) = self.begin(call)?;
        self.ring(bell);
        Ok(pending)
    }

    fn begin(&self, call: Call) -> Result<(Pending<'_>, Bell), CallError> {
        if is_forked_child() {
            return Err(CallError::Left);
        }
        let parker = Arc::new(Parker::new());
        let mut state = self.lock();
        if state.closed {
            return Err(CallError::Left);
        }
        let (id, bell) = state.ask(call);
        let (thread, since) = (thread_on_host(), Instant::now());
        let caller = Caller { parker: Arc::clone(&parker), call, since, thread, is_over: false };
        state.waiting.insert(id, caller);
        Ok((Pending { calls: self, id, parker }, bell))
    }

    /// Asks for something that has no answer; returns at once. Nobody hears it once the rank has left.
    pub(crate) fn post(&self, call: Call) {
        let bell = self.queue(call);
        self.ring(bell);
    }

    /// The first half of [`post`](Self::post), for who holds a lock that the driver takes too: the
    /// second, [`ring`](Self::ring), follows when the lock is free.
    pub(crate) fn queue(&self, call: Call) -> Bell {
        let _blocked = block_signals();
        if is_forked_child() {
            return Bell::Quiet;
        }
        let mut state = self.lock();
        if state.closed {
            return Bell::Quiet;
        }
        state.ask(call).1
    }

    /// Sees to it that the driver looks at what was queued: this thread runs it, or wakes who does.
    pub(crate) fn ring(&self, bell: Bell) {
        if bell == Bell::Due && !self.service().is_some_and(|service| service.take_calls()) {
            self.wake_driver();
        }
    }

    /// Gives one of the threads that wait for the driver's events something to do.
    pub(crate) fn wake_driver(&self) {
        let one = 1_u64.to_ne_bytes();
        rustix::io::write(&self.event, &one).expect("an eventfd takes one more");
    }

    /// The threads of the program run the driver from now on, too.
    pub(crate) fn serve_by(&self, service: &Arc<Service>) {
        let set = self.service.set(Arc::downgrade(service));
        set.expect("calls are served by one driver");
    }

    /// Rings, and waits until the parker is given something, or until the deadline if there is one; runs the
    /// driver meanwhile, if no other thread of the program does.
    pub(crate) fn wait_for<T: Copy>(
        &self,
        parker: &Parker<T>,
        deadline: Option<Instant>,
        unrung: Unrung,
    ) -> Option<T> {
        if let Some(service) = self.service() {
            return service.wait_for(parker, deadline, unrung);
        }
        self.ring(unrung.bell);
        drop(unrung);
        parker.wait_until(deadline)
    }

    /// Has a thread that runs the driver while it waits look at what it was given.
    pub(crate) fn tell(&self, given: Given) {
        if given == Given::ToLeader
            && let Some(service) = self.service()
        {
            service.call_leader();
        }
    }

    /// A thread that is stopped on a page waits for the driver's events from now on, or none does. It looks once more
    /// whether it may go on after it has said so.
    pub(crate) fn expect_resumed(&self, leader: Option<ThreadId>) {
        self.stopped_leader.store(leader.map_or(0, |thread| thread.0), SeqCst);
    }

    /// For the driver: these threads may go on. If one of them waits for events it gets one.
    pub(crate) fn tell_resumed(&self, threads: &[ThreadId]) {
        if threads.contains(&ThreadId(self.stopped_leader.load(SeqCst))) {
            self.tell(Given::ToLeader);
        }
    }

    fn service(&self) -> Option<Arc<Service>> {
        self.service.get().and_then(Weak::upgrade)
    }

    /// The calls asked since the last time, in order, for the driver.
    pub(crate) fn take(&self) -> Vec<(CallId, Call)> {
        std::mem::take(&mut self.lock().asked)
    }

    /// Answers the thread of a call, and wakes no other. What nobody waits for goes nowhere.
    pub(crate) fn answer(&self, id: CallId, answer: Answer) {
        let parker = self.lock().waiting.get_mut(&id).map(|caller| {
            caller.is_over = answer != Answer::Queued;
            Arc::clone(&caller.parker)
        });
        if let Some(parker) = parker {
            self.tell(parker.give(Ok(answer)));
        }
    }

    /// For the driver: the calls that threads wait for.
    pub(crate) fn open(&self) -> Vec<Open> {
        let open = |caller: &Caller| Open {
            call: caller.call,
            thread: caller.thread,
            since: caller.since,
        };
        self.lock().waiting.values().filter(|caller| !caller.is_over).map(open).collect()
    }

    /// For the driver: a number for a call of its own.
    pub(crate) fn next_id(&self) -> CallId {
        self.lock().next_id()
    }

    /// No call is answered any more: those under way and later ones fail.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = true;
            state.asked.clear();
            std::mem::take(&mut state.waiting)
        };
        for caller in waiting.into_values() {
            self.tell(caller.parker.give(Err(CallError::Left)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the calls locked")
    }
}

impl State {
    fn next_id(&mut self) -> CallId {
        let id = CallId(self.next);
        self.next += 1;
        id
    }

    fn ask(&mut self, call: Call) -> (CallId, Bell) {
        let id = self.next_id();
        // Who finds the queue empty rings for all that follow until it is taken.
        let bell = if self.asked.is_empty() { Bell::Due } else { Bell::Quiet };
        self.asked.push((id, call));
        (id, bell)
    }
}

impl Pending<'_> {
    /// Names the call to the driver.
    pub(crate) fn id(&self) -> CallId {
        self.id
    }

    /// Waits for the next answer.
    ///
    /// # Errors
    /// [`CallError::Left`].
    pub(crate) fn wait(&self) -> Result<Answer, CallError> {
        let answer = self.calls.wait_for(&self.parker, None, Unrung::nothing());
        answer.expect(ALWAYS_ANSWERED)
    }

    /// Waits for the next answer until then; `None` if there is none.
    ///
    /// # Errors
    /// [`CallError::Left`].
    pub(crate) fn wait_until(&self, deadline: Instant) -> Option<Result<Answer, CallError>> {
        self.calls.wait_for(&self.parker, Some(deadline), Unrung::nothing())
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let _blocked = block_signals();
        self.calls.lock().waiting.remove(&self.id);
    }
}

impl Bell {
    /// One ring for both.
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::Due { self } else { other }
    }
}

impl Unrung {
    /// Of a thread that goes on to wait.
    pub(crate) fn nothing() -> Self {
        Self { bell: Bell::Quiet, blocked: block_signals() }
    }
}

impl AsFd for Calls {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

const ALWAYS_ANSWERED: &str = "without a deadline there is an answer";

#[cfg(test)]
mod tests {
    use super::*;
    use dsm_core::{Access, BarrierKind, ObjectId};
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread;
    use std::time::Duration;

    const BARRIER: Call = Call::Barrier(BarrierKind::Program);
    const DEADLINE: Duration = Duration::from_secs(20);

    fn post(number: u64) -> Call {
        Call::Acquire { object: ObjectId(number), access: Access::Read }
    }

    fn taken(calls: &Calls) -> Vec<Call> {
        calls.take().into_iter().map(|(_, call)| call).collect()
    }

    #[test]
    fn the_answer_wakes_the_thread_that_asked() {
        let calls = Calls::new().unwrap();
        let first = calls.start(BARRIER).unwrap();
        let second = calls.start(BARRIER).unwrap();
        let ids: Vec<_> = calls.take().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [first.id(), second.id()]);
        thread::scope(|scope| {
            let (sender, answers) = channel();
            let other = sender.clone();
            scope.spawn(move || sender.send((1, first.wait())));
            scope.spawn(move || other.send((2, second.wait())));
            calls.answer(ids[1], Answer::Value(2));
            assert_eq!(answers.recv_timeout(DEADLINE), Ok((2, Ok(Answer::Value(2)))));
            let early = answers.recv_timeout(Duration::from_millis(1));
            assert_eq!(early, Err(RecvTimeoutError::Timeout));
            calls.answer(ids[0], Answer::Value(1));
            assert_eq!(answers.recv_timeout(DEADLINE), Ok((1, Ok(Answer::Value(1)))));
        });
    }

    #[test]
    fn a_call_may_have_several_answers() {
        let calls = Calls::new().unwrap();
        let pending = calls.start(BARRIER).unwrap();
        calls.answer(pending.id(), Answer::Queued);
        calls.answer(pending.id(), Answer::Woken);
        assert_eq!(pending.wait(), Ok(Answer::Queued));
        assert_eq!(pending.wait(), Ok(Answer::Woken));
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(pending.wait_until(deadline), None);
        assert!(Instant::now() >= deadline);
        let id = pending.id();
        drop(pending);
        calls.answer(id, Answer::Done);
        assert!(calls.lock().waiting.is_empty());
    }

    #[test]
    fn calls_are_taken_in_order_and_the_bell_rings_once_for_them() {
        let calls = Calls::new().unwrap();
        assert_eq!(calls.queue(post(1)), Bell::Due);
        assert_eq!(calls.queue(post(2)), Bell::Quiet);
        let pending = calls.start(BARRIER).unwrap();
        assert_eq!(taken(&calls), [post(1), post(2), BARRIER]);
        assert_eq!(taken(&calls), []);
        assert_eq!(calls.queue(post(3)), Bell::Due);
        calls.post(post(4));
        assert_eq!(taken(&calls), [post(3), post(4)]);
        drop(pending);
    }

    #[test]
    fn who_has_left_answers_nobody() {
        let calls = Calls::new().unwrap();
        let (first, second) = (calls.start(BARRIER).unwrap(), calls.start(BARRIER).unwrap());
        calls.answer(first.id(), Answer::Done);
        calls.close();
        assert_eq!(first.wait(), Ok(Answer::Done));
        assert_eq!(second.wait(), Err(CallError::Left));
        assert_eq!(calls.call(BARRIER), Err(CallError::Left));
        calls.post(post(1));
        assert_eq!(taken(&calls), []);
    }
}
