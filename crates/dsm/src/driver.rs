//! The one thread of a rank that owns its engine: it takes faults, messages and calls as they come, asks
//! the engine what to do, and does it, in order and completely, before the next.

mod holds;
mod peers;
mod prefetch;

use crate::allocation::free_for_peer;
use crate::calls::Calls;
use crate::counters::Counters;
use crate::fatal::Fatal;
use crate::heap::Arena;
use crate::locks::{Holder, Locks, Recalled};
use crate::supervisor::Supervisor;
use dsm_core::{
    Access, Answer, Ask, BarrierKind, Call, CallId, Engine, Input, Message, ObjectId, Output,
};
use dsm_core::{PageId, Rank, Source, Task};
use dsm_mem::{Fault, Faults, Operation, Region, ThreadId, end_process};
use dsm_net::connection::Connection;
use dsm_net::launch::Status;
use holds::Holds;
use peers::{Arrival, Peers};
use prefetch::Prefetches;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Everything a driver thread needs; [`Driver::spawn`] starts it.
///
/// Invariant: it touches the region through the service view alone, so it never waits for itself.
#[derive(Debug)]
pub(crate) struct Driver {
    rank: Rank,
    engine: Engine,
    region: Arc<Region>,
    /// None in a job of one rank, whose pages never leave.
    faults: Option<Faults>,
    peers: Peers,
    calls: Arc<Calls>,
    locks: Arc<Locks>,
    arena: Arc<Arena>,
    counters: Arc<Counters>,
    supervisor: Option<Arc<Supervisor>>,
    epoll: OwnedFd,
    holds: Holds,
    prefetches: Prefetches,
    /// What carrying out an output led to; the engine takes it after the other outputs.
    followups: VecDeque<Input>,
    /// The pages that threads are stopped on.
    waits: BTreeMap<PageId, Wait>,
    /// The threads that the last resume let go on, for the hold that may follow it.
    resumed: Vec<ThreadId>,
    finalize: Finalize,
}

/// Threads stopped on one page.
#[derive(Debug)]
struct Wait {
    since: Instant,
    threads: Vec<ThreadId>,
}

/// What a driver is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) rank: Rank,
    pub(crate) engine: Engine,
    pub(crate) region: Arc<Region>,
    pub(crate) faults: Option<Faults>,
    pub(crate) peers: BTreeMap<Rank, Connection>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) locks: Arc<Locks>,
    pub(crate) arena: Arc<Arena>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) supervisor: Option<Arc<Supervisor>>,
    pub(crate) hold: Duration,
}

/// How far this rank is with leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finalize {
    NotCalled,
    /// Its thread waits for the other ranks.
    Called(CallId),
    /// All ranks are here: nothing is shared any more.
    Complete(CallId),
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Result<Self, Fatal> {
        let Parts { rank, engine, region, faults, peers, calls, locks, arena, .. } = parts;
        let Parts { counters, supervisor, hold, .. } = parts;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("epoll_create"))?;
        let watch = |fd: &dyn AsFd, token: u64| {
            let data = epoll::EventData::new_u64(token);
            epoll::add(&epoll, fd.as_fd(), data, epoll::EventFlags::IN).map_err(system("epoll_ctl"))
        };
        watch(&*calls, CALLS)?;
        if let Some(faults) = &faults {
            watch(&faults.fd(), FAULTS)?;
        }
        if let Some(supervisor) = &supervisor {
            watch(&**supervisor, SUPERVISOR)?;
        }
        for (rank, connection) in &peers {
            watch(connection, rank.0.into())?;
        }
        Ok(Self {
            rank,
            engine,
            region,
            faults,
            peers: Peers::new(peers),
            calls,
            locks,
            arena,
            counters,
            supervisor,
            epoll,
            holds: Holds::new(hold, rank),
            prefetches: Prefetches::default(),
            followups: VecDeque::new(),
            waits: BTreeMap::new(),
            resumed: Vec::new(),
            finalize: Finalize::NotCalled,
        })
    }

    /// Runs on a thread of its own, named after the rank.
    pub(crate) fn spawn(self) -> Result<JoinHandle<()>, Fatal> {
        let (rank, supervisor) = (self.rank, self.supervisor.clone());
        let name = format!("dsm-driver-{rank}");
        let body = move || {
            // Nobody would be served any more: a driver that fails must not leave its process waiting.
            if catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
                let source = io::Error::other("an assertion of the runtime does not hold");
                end_rank(
                    rank,
                    supervisor.as_deref(),
                    &Fatal::System { operation: "the driver", source },
                );
            }
        };
        let spawned = std::thread::Builder::new().name(name).spawn(body);
        spawned.map_err(|source| Fatal::System { operation: "starting a thread", source })
    }

    /// Serves until the job is over. What cannot be mended ends the process, as `docs/running.md` says.
    fn run(mut self) {
        if let Some(faults) = &self.faults {
            faults.adopt_driver_thread();
        }
        // The kernel may end a wait late by 50 us, as long as a hold time; a finer end is worth asking for.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let (rank, supervisor) = (self.rank, self.supervisor.clone());
        let id = match self.serve().and_then(|id| self.part().map(|()| id)) {
            Ok(id) => id,
            // The region stays served by nobody rather than closed: a thread that waits must not go on.
            Err(fatal) => end_rank(rank, supervisor.as_deref(), &fatal),
        };
        if let Some(Err(error)) = self.faults.map(Faults::stop) {
            end_rank(rank, supervisor.as_deref(), &error.into());
        }
        self.calls.answer(id, Answer::Done);
        self.calls.close();
        self.locks.close();
    }

    /// Serves until finalize is complete; gives the call that waits for it.
    fn serve(&mut self) -> Result<CallId, Fatal> {
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            if let Finalize::Complete(id) = self.finalize {
                return Ok(id);
            }
            self.wait(&mut events)?;
            self.end_holds()?;
            for event in events.drain(..) {
                let data = event.data;
                match data.u64() {
                    FAULTS => self.take_faults()?,
                    CALLS => self.take_calls()?,
                    SUPERVISOR => return Err(Fatal::LauncherGone),
                    peer => {
                        let peer = Rank(u16::try_from(peer).expect("tokens of peers are ranks"));
                        // Copied out: the kernel packs its events.
                        let flags = event.flags;
                        if flags.contains(epoll::EventFlags::OUT) {
                            self.peers.flush(peer, &self.epoll)?;
                        }
                        self.take_messages(peer)?;
                    }
                }
            }
            self.prefetch()?;
        }
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) -> Result<(), Fatal> {
        let timeout = match self.holds.next_end() {
            Some(at) if self.engine.has_deferred_demands() => {
                let left = at.saturating_duration_since(Instant::now());
                Some(Timespec::try_from(left).expect("hold times are short"))
            }
            _ => None,
        };
        match epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(system("epoll_wait")(error)),
        }
    }

    fn end_holds(&mut self) -> Result<(), Fatal> {
        while let Some(page) =
            self.holds.next_end().and_then(|_| self.holds.pop_ended(Instant::now()))
        {
            self.handle(Input::HoldOver { page })?;
        }
        Ok(())
    }

    fn take_faults(&mut self) -> Result<(), Fatal> {
        let mut faults = Vec::new();
        if let Some(engine) = &mut self.faults {
            engine.read(&mut faults)?;
        }
        for Fault { page, access, thread } in faults {
            let counter = match (access, self.engine.access(page)) {
                (Access::Write, Access::Read) => &self.counters.upgrades,
                (Access::Write, _) => &self.counters.write_faults,
                (Access::Read | Access::None, _) => &self.counters.read_faults,
            };
            counter.add(1);
            self.waits.entry(page).or_insert_with(Wait::start).threads.push(thread);
            self.holds.on_stop(page, thread);
            self.handle(Input::Fault { page, access })?;
        }
        Ok(())
    }

    fn take_calls(&mut self) -> Result<(), Fatal> {
        for (id, call) in self.calls.take() {
            if call == Call::Barrier(BarrierKind::Finalize) && self.finalize == Finalize::NotCalled
            {
                self.finalize = Finalize::Called(id);
            }
            match call {
                Call::Prefetch { first, pages, access } => {
                    self.prefetches.add(first, pages, access)
                }
                call => self.handle(Input::Call { id, call })?,
            }
        }
        Ok(())
    }

    /// Asks for a few more of the pages that no thread waits for.
    fn prefetch(&mut self) -> Result<(), Fatal> {
        while let Some((first, access)) = self.prefetches.next() {
            if self.engine.access(first) < access {
                self.prefetches.begin(first);
                let call = Call::Prefetch { first, pages: 1, access };
                self.handle(Input::Call { id: CallId(u64::MAX), call })?;
            }
        }
        Ok(())
    }

    fn take_messages(&mut self, from: Rank) -> Result<(), Fatal> {
        for _ in 0..MESSAGES_AT_ONCE {
            let arrival =
                self.peers.receive(from, &self.region, |page| self.engine.awaits_content(page));
            match arrival {
                Ok(Arrival::Message(message)) => {
                    self.count_received(&message);
                    self.handle(Input::Message { from, message })?;
                }
                Ok(Arrival::Nothing) => return Ok(()),
                Err(Fatal::ContactLost { .. }) if self.may_leave_before_us(from) => {
                    self.peers.remove(from);
                    return Ok(());
                }
                Err(fatal) => return Err(fatal),
            }
        }
        Ok(())
    }

    /// A rank that is released from finalize goes at once; others may not have heard of their release yet.
    /// The coordinator is the last to be heard of, and goes after it has released everybody.
    fn may_leave_before_us(&self, peer: Rank) -> bool {
        match self.finalize {
            Finalize::NotCalled => false,
            Finalize::Called(_) => self.rank != COORDINATOR && peer != COORDINATOR,
            Finalize::Complete(_) => true,
        }
    }

    fn count_received(&self, message: &Message) {
        match message {
            Message::Invalidate { .. } => self.counters.invalidations.add(1),
            Message::Grant { .. } if message.attached_page().is_some() => {
                self.counters.pages_in.add(1);
            }
            _ => (),
        }
    }

    fn handle(&mut self, input: Input) -> Result<(), Fatal> {
        let mut next = Some(input);
        while let Some(input) = next {
            for output in self.engine.handle(input) {
                self.carry_out(output)?;
            }
            next = self.followups.pop_front();
        }
        Ok(())
    }

    fn carry_out(&mut self, output: Output) -> Result<(), Fatal> {
        match output {
            Output::Protect { page, access } => self.protect(page, access)?,
            Output::Install { page, access, source } => {
                if source == Source::Zero {
                    self.region.zero_page(page);
                }
                if let Some(faults) = &self.faults {
                    faults.install(page, access)?;
                }
            }
            Output::Send { to, message, attach: _ } => {
                // What is attached is the page the message names, read now.
                let bytes = self.peers.send(to, &message, &self.region, &self.epoll)?;
                self.counters.messages_sent.add(1);
                self.counters.bytes_sent.add(bytes);
                self.counters.pages_out.add(u64::from(message.attached_page().is_some()));
            }
            Output::Resume { page } => {
                if let Some(faults) = &self.faults {
                    faults.resume(page)?;
                }
                self.note_resume(page);
            }
            Output::Hold { page } => self.holds.start(page, std::mem::take(&mut self.resumed)),
            Output::Lend { object, access } => self.locks.lend(object, access),
            Output::Recall { object, keep } => {
                if self.locks.recall(object, keep) == Recalled::Surrendered {
                    let call = Call::Surrender { object, keep };
                    self.followups.push_back(Input::Call { id: CallId(u64::MAX), call });
                }
            }
            Output::Serve { asker, id, task } => {
                let answer = self.run_task(task);
                self.followups.push_back(Input::Served { asker, id, answer });
            }
            Output::Clear { first, pages } => {
                self.region.discard(first, pages).map_err(|source| Fatal::System {
                    operation: "giving memory of freed pages back",
                    source,
                })?;
            }
            Output::Answered { id, answer } => self.answer(id, answer),
            Output::Fail { violation } => return Err(Fatal::Protocol(violation)),
        }
        Ok(())
    }

    fn protect(&self, page: PageId, access: Access) -> Result<(), Fatal> {
        match &self.faults {
            Some(faults) => Ok(faults.protect(page, access)?),
            None => Ok(()),
        }
    }

    /// Does what a rank asks for that only the driver of this one can do.
    fn run_task(&self, task: Task) -> Answer {
        let offset = |object: ObjectId| {
            usize::try_from(object.0).expect("words are in the region") * WORD_BYTES
        };
        let operate =
            |object, operation| Answer::Value(self.region.operate(offset(object), operation));
        match task {
            Task::Add { object, value } => operate(object, Operation::Add { value }),
            Task::Swap { object, expected, desired } => {
                operate(object, Operation::Swap { expected, desired })
            }
            Task::Free { object } => {
                let (answer, emptied) =
                    free_for_peer(&self.arena, self.region.base() + offset(object));
                if let Some(run) = emptied {
                    let object = ObjectId(((run - self.region.base()) / WORD_BYTES) as u64);
                    self.calls.post(Call::Ask { object, ask: Ask::RunGive });
                }
                answer
            }
            Task::Inspect { object, access } => match self.locks.inspect(object, access) {
                Some(Holder { thread, waits_for }) => Answer::Held { thread, waits_for },
                None => Answer::Done,
            },
        }
    }

    fn note_resume(&mut self, page: PageId) {
        self.prefetches.end(page);
        self.resumed.clear();
        let Some(Wait { since, threads }) = self.waits.remove(&page) else { return };
        let now = Instant::now();
        self.holds.on_resume(&threads, now);
        self.resumed = threads;
        let ns = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
        self.counters.fault_ns.add(ns);
    }

    fn answer(&mut self, id: CallId, answer: Answer) {
        if self.finalize == Finalize::Called(id) && answer == Answer::Done {
            // Answered when the last bytes are sent and the region is closed.
            self.finalize = Finalize::Complete(id);
        } else {
            self.calls.answer(id, answer);
        }
    }

    /// Sends what is queued, so that every rank hears of its release.
    fn part(&mut self) -> Result<(), Fatal> {
        self.peers.flush_all(Instant::now() + PART_TIMEOUT)
    }
}

impl Wait {
    fn start() -> Self {
        Self { since: Instant::now(), threads: Vec::new() }
    }
}

/// Reports why this rank cannot go on, lets the launcher find out which rank failed first, and ends.
fn end_rank(rank: Rank, supervisor: Option<&Supervisor>, fatal: &Fatal) -> ! {
    let code = fatal.exit_code();
    let reason = fatal.to_string();
    match (supervisor, fatal) {
        (Some(supervisor), Fatal::ContactLost { rank: peer, cause }) => {
            supervisor.tell(&Status::ContactLost { rank: peer.0, cause: cause.clone() });
            supervisor.wait_for_end(VERDICT_TIMEOUT);
        }
        (Some(supervisor), _) => supervisor.tell(&Status::Failed { code, reason: reason.clone() }),
        (None, _) => (),
    }
    // One write: the program's threads may hold the lock of standard error while they wait for a page.
    let line = format!("dsm: rank {rank} pid {}: {reason}\n", std::process::id());
    let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
    end_process(code)
}

fn system(operation: &'static str) -> impl FnOnce(rustix::io::Errno) -> Fatal {
    move |error| Fatal::System { operation, source: error.into() }
}

const COORDINATOR: Rank = Rank(0);
const FAULTS: u64 = u64::MAX;
const CALLS: u64 = u64::MAX - 1;
const SUPERVISOR: u64 = u64::MAX - 2;
/// Objects are numbered by words of this size.
const WORD_BYTES: usize = 8;
const EVENTS_AT_ONCE: usize = 64;
/// Messages of one peer before the others get their turn.
const MESSAGES_AT_ONCE: usize = 64;
/// How long the last bytes may take that tell others of the end.
const PART_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the launcher may take to find out which rank failed.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(5);
