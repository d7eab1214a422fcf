//! Who runs the driver: a thread of its own, and the program's threads while they wait for it.
//!
//! A thread that asks the driver for something would wake the driver's thread and be woken by it: two
//! wake-ups more than a plain exchange over a socket has. So a thread that finds the driver idle runs it
//! itself, and while it waits for its answer it is the *leader*: it waits for the driver's events, and
//! the driver's thread does not (Schmidt and others, "Leader/Followers Pattern", PLoP 2000, with one
//! follower that is always there and never woken while somebody leads).
//!
//! Signal handlers may touch shared memory, and then wait for a page. A thread that runs the driver blocks
//! signals, but for the moment in which it sleeps and has taken nothing; and as long as a thread is stopped
//! on a page the driver's thread serves beside the leader, which may be that thread. Where such a thread can
//! serve itself (`stopped.rs`) it does, and leads.

mod restraint;
mod stopped;

use crate::calls::{Calls, Unrung};
use crate::driver::end::end_rank;
use crate::driver::{BED, Driver};
use crate::fatal::Fatal;
use crate::locks::Locks;
use crate::parker::Parker;
use crate::supervisor::Supervisor;
use dsm_core::Rank;
use dsm_mem::{Blocked, block_signals};
use restraint::Restraint;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A driver that several threads can run, one at a time.
///
/// Invariant: whoever holds `driver` blocks the signals whose handlers may touch shared memory, because
/// nobody would serve a fault meanwhile. An event is taken by one thread, which handles it.
#[derive(Debug)]
pub(crate) struct Service {
    rank: Rank,
    /// `None` once the driver's thread has taken it to end it.
    driver: Mutex<Option<Driver>>,
    /// The driver's events.
    epoll: Arc<OwnedFd>,
    /// Where the driver's thread sleeps: readable when there are faults, or events and nobody leads.
    bed: OwnedFd,
    calls: Arc<Calls>,
    locks: Arc<Locks>,
    supervisor: Option<Arc<Supervisor>>,
    /// Of all ranks, for who ends without a supervisor that knows them.
    hosts: Vec<String>,
    /// Whether the driver's thread serves although somebody leads. Changed together with what `bed` watches,
    /// with signals blocked: the driver's thread takes it too.
    beside: Mutex<bool>,
    is_led: AtomicBool,
    /// Another thread has something for the leader.
    leader_is_called: AtomicBool,
    /// How long to look for events before sleeping.
    spin: Duration,
    /// What keeps the driver's thread from doing so, and the leaders.
    of_driver: Mutex<Restraint>,
    of_leaders: Mutex<Restraint>,
}

impl Service {
    pub(crate) fn new(
        driver: Driver,
        calls: &Arc<Calls>,
        locks: &Arc<Locks>,
        supervisor: Option<Arc<Supervisor>>,
        hosts: Vec<String>,
        spin: Duration,
    ) -> Result<Arc<Self>, Fatal> {
        let system = |operation| {
            move |error: rustix::io::Errno| Fatal::System { operation, source: error.into() }
        };
        let epoll = driver.events();
        let bed = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("epoll_create"))?;
        epoll::add(&bed, &*epoll, epoll::EventData::new_u64(BED), epoll::EventFlags::IN)
            .map_err(system("epoll_ctl"))?;
        driver.watch_faults(&bed)?;
        let service = Arc::new(Self {
            rank: driver.rank(),
            epoll,
            bed,
            driver: Mutex::new(Some(driver)),
            calls: Arc::clone(calls),
            locks: Arc::clone(locks),
            supervisor,
            hosts,
            beside: Mutex::default(),
            is_led: AtomicBool::new(false),
            leader_is_called: AtomicBool::new(false),
            spin,
            of_driver: Mutex::default(),
            of_leaders: Mutex::default(),
        });
        calls.serve_by(&service);
        service.let_stopped_lead();
        Ok(service)
    }

    /// Starts the driver's own thread, named after the rank.
    pub(crate) fn spawn(self: &Arc<Self>) -> Result<JoinHandle<()>, Fatal> {
        let service = Arc::clone(self);
        let name = format!("dsm-driver-{}", self.rank);
        // The thread begins with the mask of this one: no handler may come before it blocks signals itself.
        let _blocked = block_signals();
        let spawned = std::thread::Builder::new().name(name).spawn(move || service.run());
        spawned.map_err(|source| Fatal::System { operation: "starting a thread", source })
    }

    /// Serves until the job is over. What cannot be mended ends the process, as `docs/running.md` says.
    fn run(&self) {
        if let Some(driver) = &*self.driver() {
            driver.adopt_thread();
        }
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        let complete = loop {
            if let Some(driver) = self.driver().take_if(|driver| driver.is_complete()) {
                break driver;
            }
            if !self.spin(&mut events, Waits::Driver) {
                self.sleep(&self.bed, &mut events, None);
            }
            if events.iter().any(|event| event.data.u64() == BED) {
                self.sleep(&self.epoll, &mut events, Some(&AT_ONCE));
            }
            let mut driver = self.driver();
            self.guarded(&mut driver, |driver| driver.take(events.drain(..)));
            let are_stopped = driver.as_ref().is_some_and(Driver::has_stopped_threads);
            drop(driver);
            self.serve_beside(are_stopped);
            if self.leader_is_called.load(SeqCst) && self.is_led.load(SeqCst) {
                // The event that was meant for the leader may be one of those.
                self.calls.wake_driver();
            }
        };
        // The region stays served by nobody rather than closed until all ranks know of their release.
        let id = match complete.part() {
            Ok(id) => id,
            Err(fatal) => self.end(fatal),
        };
        self.calls.answer(id, dsm_core::Answer::Done);
        self.calls.close();
        self.locks.close();
    }

    /// Runs the driver for calls that were asked just now; `false` if another thread runs it.
    pub(crate) fn take_calls(&self) -> bool {
        let _blocked = block_signals();
        let mut driver = match self.driver.try_lock() {
            Ok(driver) => driver,
            Err(TryLockError::WouldBlock) => return false,
            Err(TryLockError::Poisoned(_)) => unreachable!("{POISONED}"),
        };
        self.guarded(&mut driver, Driver::take_calls);
        // The driver's thread has to end what this thread completed.
        !driver.as_ref().is_some_and(Driver::is_complete)
    }

    /// Rings, and waits for what the parker is given, until the deadline if there is one. Runs the driver
    /// meanwhile, unless another thread of the program does.
    pub(crate) fn wait_for<T: Copy>(
        &self,
        parker: &Parker<T>,
        deadline: Option<Instant>,
        Unrung { bell, blocked }: Unrung,
    ) -> Option<T> {
        let leads = self.begin_to_lead();
        // Only now: the answer may come before this thread runs on, and would wake the driver's thread if
        // nobody led.
        self.calls.ring(bell);
        if !leads {
            drop(blocked);
            return parker.wait_until(deadline);
        }
        let given = self.lead(parker, &blocked, deadline);
        self.end_to_lead();
        drop(blocked);
        match given {
            Led::Given(value) => Some(value),
            Led::Late => None,
            Led::Complete => {
                self.calls.wake_driver();
                parker.wait_until(deadline)
            }
        }
    }

    fn lead<T: Copy>(
        &self,
        parker: &Parker<T>,
        blocked: &Blocked,
        deadline: Option<Instant>,
    ) -> Led<T> {
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            parker.expect_by_leader(true);
            if let Some(value) = parker.take() {
                parker.expect_by_leader(false);
                return Led::Given(value);
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                parker.expect_by_leader(false);
                return Led::Late;
            }
            if !self.spin(&mut events, Waits::Leader) {
                let left =
                    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                // A signal handler can only come in here, where nothing was taken.
                blocked.wait_readable(self.epoll.as_fd(), left);
                self.sleep(&self.epoll, &mut events, Some(&AT_ONCE));
            }
            parker.expect_by_leader(false);
            if events.is_empty() {
                continue;
            }
            let mut driver = self.driver();
            self.guarded(&mut driver, |driver| driver.take(events.drain(..)));
            if driver.as_ref().is_none_or(Driver::is_complete) {
                return Led::Complete;
            }
        }
    }

    /// Something was given to a thread that leads: it waits for the driver's events, so it gets one.
    pub(crate) fn call_leader(&self) {
        self.leader_is_called.store(true, SeqCst);
        self.calls.wake_driver();
    }

    fn begin_to_lead(&self) -> bool {
        if self.is_led.load(SeqCst) {
            return false;
        }
        let beside = self.beside();
        if self.is_led.swap(true, SeqCst) {
            return false;
        }
        if !*beside {
            self.watch_in_bed(epoll::EventFlags::empty());
        }
        true
    }

    fn end_to_lead(&self) {
        let _changing = self.beside();
        self.leader_is_called.store(false, SeqCst);
        self.is_led.store(false, SeqCst);
        self.watch_in_bed(epoll::EventFlags::IN);
    }

    /// The driver's thread serves beside a leader from now on, or does not any more.
    fn serve_beside(&self, wanted: bool) {
        let mut beside = self.beside();
        if std::mem::replace(&mut *beside, wanted) != wanted && self.is_led.load(SeqCst) {
            let events = epoll::EventFlags::IN;
            self.watch_in_bed(if wanted { events } else { epoll::EventFlags::empty() });
        }
    }

    fn beside(&self) -> MutexGuard<'_, bool> {
        self.beside.lock().expect(POISONED)
    }

    fn watch_in_bed(&self, flags: epoll::EventFlags) {
        epoll::modify(&self.bed, &*self.epoll, epoll::EventData::new_u64(BED), flags)
            .expect("what is watched can be watched otherwise");
    }

    /// Looks for events for a short time without sleeping, as long as nobody else wants the processor:
    /// to wake one that idles takes longer than most answers.
    fn spin(&self, events: &mut Vec<epoll::Event>, who: Waits) -> bool {
        let (on, restraint, tolerated) = match who {
            Waits::Driver => (&self.bed, &self.of_driver, UNDISTURBED),
            Waits::Leader => (&*self.epoll, &self.of_leaders, TURN),
        };
        let begun = Instant::now();
        if self.spin.is_zero() || !restraint.lock().expect(POISONED).allows(begun) {
            return false;
        }
        let mut now = begun;
        let mut lost = Duration::ZERO;
        loop {
            self.sleep(on, events, Some(&AT_ONCE));
            if lost > tolerated {
                restraint.lock().expect(POISONED).on_disturbed(lost, now);
            }
            if !events.is_empty() {
                return true;
            }
            let is_over = lost > UNDISTURBED || now - begun >= self.spin;
            if is_over || (who == Waits::Driver && self.is_led.load(SeqCst)) {
                return false;
            }
            let before = Instant::now();
            rustix::thread::sched_yield();
            now = Instant::now();
            lost = now - before;
        }
    }

    fn sleep(&self, on: &OwnedFd, events: &mut Vec<epoll::Event>, timeout: Option<&Timespec>) {
        match epoll::wait(on, spare_capacity(events), timeout) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => {
                let fatal = Fatal::System { operation: "epoll_wait", source: error.into() };
                self.end(fatal);
            }
        }
    }

    /// Runs the driver, if it is still there, and ends the process if it fails.
    fn guarded(
        &self,
        driver: &mut Option<Driver>,
        run: impl FnOnce(&mut Driver) -> Result<(), Fatal>,
    ) {
        let Some(driver) = driver.as_mut().filter(|driver| !driver.is_complete()) else { return };
        // Nobody would be served any more: a driver that fails must not leave its process waiting.
        let fatal = match catch_unwind(AssertUnwindSafe(|| run(driver))) {
            Ok(Ok(())) => return,
            Ok(Err(fatal)) => fatal,
            Err(_) => {
                let source = io::Error::other("an assertion of the runtime does not hold");
                Fatal::System { operation: "the driver", source }
            }
        };
        self.end(fatal)
    }

    /// Ends the process, telling whoever wants to know why.
    fn end(&self, fatal: Fatal) -> ! {
        let fatal = match &self.supervisor {
            Some(_) => fatal,
            None => fatal.naming(&self.hosts),
        };
        end_rank(self.rank, self.supervisor.as_deref(), &fatal)
    }

    fn driver(&self) -> MutexGuard<'_, Option<Driver>> {
        self.driver.lock().expect(POISONED)
    }
}

/// Who waits for events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Driver,
    Leader,
}

/// How a lead ended.
enum Led<T> {
    Given(T),
    Late,
    /// The job is over, and the driver's thread has to end it.
    Complete,
}

const POISONED: &str = "a driver that panics ends the process";
const EVENTS_AT_ONCE: usize = 64;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// A yield that takes longer let somebody else run.
const UNDISTURBED: Duration = Duration::from_micros(4);
/// What another rank on the same processor takes to answer: a leader gives way to it gladly.
const TURN: Duration = Duration::from_micros(100);
