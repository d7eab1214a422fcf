//! What owns a rank's engine: it takes faults, messages and calls as they come, asks the engine what to
//! do, and does it, in order and completely, before the next.

mod burst;
mod deeds;
pub(crate) mod end;
pub(crate) mod holds;
pub(crate) mod mend;
mod peers;
mod prefetch;
mod pulse;
mod streams;
mod timer;
mod waits;
mod watch;

use crate::calls::Calls;
use crate::counters::Counters;
use crate::fatal::Fatal;
use crate::heap::Arena;
use crate::locks::Locks;
use crate::supervisor::Supervisor;
use burst::{Burst, When};
use deeds::{Deed, TRY_AGAIN};
use dsm_core::{
    Access, Answer, BarrierKind, Call, CallId, Engine, Input, Message, ObjectId, Output, Outputs,
};
use dsm_core::{PageId, Rank, Source, Space};
use dsm_mem::{
    Fault, Faults, Region, ServeStopped, StoppedThread, ThreadId, block_signals, inquiries,
};
use dsm_net::connection::Connection;
use dsm_net::launch::Status;
use holds::Holds;
use mend::Mender;
use peers::{Arrival, Peers};
use prefetch::Prefetches;
use rustix::event::epoll;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use streams::Streams;
use timer::Timer;
use watch::Watch;

/// What a rank does for its threads and the other ranks; [`Service`](crate::service::Service) says who
/// runs it.
///
/// Invariant: it touches the region through the service view alone, so it never waits for itself.
#[derive(Debug)]
pub(crate) struct Driver {
    rank: Rank,
    space: Space,
    engine: Engine,
    region: Arc<Region>,
    /// None in a job of one rank, whose pages never leave.
    faults: Option<Faults>,
    peers: Peers,
    calls: Arc<Calls>,
    locks: Arc<Locks>,
    arena: Arc<Arena>,
    counters: Arc<Counters>,
    epoll: Arc<OwnedFd>,
    timer: Timer,
    /// Peers from whom there may be messages to read.
    unread: BTreeSet<Rank>,
    holds: Holds,
    prefetches: Prefetches,
    streams: Streams,
    burst: Burst,
    /// Where the engine puts what is to be done; empty between two inputs.
    outputs: Outputs,
    /// What carrying out an output led to; the engine takes it after the other outputs.
    followups: VecDeque<Input>,
    /// What a thread of the program was in the way of.
    deeds: VecDeque<Deed>,
    /// The pages that threads are stopped on.
    waits: BTreeMap<PageId, Wait>,
    /// The threads that the last resume let go on, for the hold that may follow it.
    resumed: Vec<ThreadId>,
    finalize: Finalize,
    supervisor: Option<Arc<Supervisor>>,
    /// The questions of this driver itself: who has a lock that threads here wait for.
    probes: BTreeMap<CallId, ObjectId>,
    /// Tells of long waits, if the launcher wants that.
    watch: Watch,
    /// Readable when somebody asks this process what its threads wait for.
    inquiries: Option<BorrowedFd<'static>>,
    look: Look,
}

/// Whether to look which peers are silent, once everything is read that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    No,
    /// If it is time.
    Due,
    /// The launcher asks.
    Asked,
}

/// Threads stopped on one page.
#[derive(Debug)]
struct Wait {
    since: Instant,
    threads: Vec<ThreadId>,
}

/// What a driver is made of.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) rank: Rank,
    pub(crate) space: Space,
    pub(crate) engine: Engine,
    pub(crate) region: Arc<Region>,
    pub(crate) faults: Option<Faults>,
    pub(crate) peers: BTreeMap<Rank, Connection>,
    /// Makes connections again that were reset; none where the end of the job is nobody's affair.
    pub(crate) mender: Option<Mender>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) locks: Arc<Locks>,
    pub(crate) arena: Arc<Arena>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) supervisor: Option<&'a Arc<Supervisor>>,
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
    pub(crate) fn new(parts: Parts<'_>) -> Result<Self, Fatal> {
        let Parts { rank, space, engine, region, faults, peers, calls, locks, arena, .. } = parts;
        let Parts { counters, supervisor, hold, mender, .. } = parts;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("epoll_create"))?;
        let add = |fd: &dyn AsFd, token: u64, flags| {
            let data = epoll::EventData::new_u64(token);
            epoll::add(&epoll, fd.as_fd(), data, flags).map_err(system("epoll_ctl"))
        };
        // Of the threads that wait for an event one is told, and of the next event only when there is one.
        let watch = |fd: &dyn AsFd, token| add(fd, token, epoll::EventFlags::IN | EDGE);
        let timer =
            Timer::new().map_err(|source| Fatal::System { operation: "timerfd", source })?;
        watch(&*calls, CALLS)?;
        watch(&timer, TIMER)?;
        if let Some(supervisor) = supervisor {
            add(&**supervisor, SUPERVISOR, epoll::EventFlags::IN)?;
            supervisor.tell(&Status::Explains);
        }
        let inquiries = inquiries()
            .map_err(|source| Fatal::System { operation: "watching for SIGUSR1", source })?;
        if let Some(inquiries) = inquiries {
            watch(&inquiries, INQUIRIES)?;
        }
        if let Some(mender) = &mender {
            watch(mender, MENDER)?;
        }
        let supervisor = supervisor.cloned();
        let epoll = Arc::new(epoll);
        let peers = Peers::new(rank, peers, &epoll, mender, supervisor.clone())?;
        Ok(Self {
            rank,
            space,
            engine,
            region,
            faults,
            peers,
            calls,
            locks,
            arena,
            counters,
            epoll,
            timer,
            unread: BTreeSet::new(),
            holds: Holds::new(hold, rank),
            prefetches: Prefetches::default(),
            streams: Streams::new(space.pages),
            burst: Burst::default(),
            outputs: Outputs::new(rank),
            followups: VecDeque::new(),
            deeds: VecDeque::new(),
            waits: BTreeMap::new(),
            resumed: Vec::new(),
            finalize: Finalize::NotCalled,
            supervisor,
            probes: BTreeMap::new(),
            watch: Watch::default(),
            inquiries,
            look: Look::No,
        })
    }

    pub(crate) fn rank(&self) -> Rank {
        self.rank
    }

    /// Where its events come from; those that nobody waits for stay.
    pub(crate) fn events(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.epoll)
    }

    /// Adds where faults come from, which only the driver's own thread serves: another may have made one.
    pub(crate) fn watch_faults(&self, epoll: &OwnedFd) -> Result<(), Fatal> {
        let Some(faults) = &self.faults else { return Ok(()) };
        let data = epoll::EventData::new_u64(FAULTS);
        epoll::add(epoll, faults.fd(), data, epoll::EventFlags::IN).map_err(system("epoll_ctl"))
    }

    /// Whether threads of the program are stopped on pages.
    pub(crate) fn has_stopped_threads(&self) -> bool {
        !self.waits.is_empty()
    }

    /// The calling thread runs the driver for good.
    pub(crate) fn adopt_thread(&self) {
        match &self.faults {
            Some(faults) => faults.adopt_driver_thread(),
            // Signals are the affair of the program's threads.
            None => std::mem::forget(block_signals()),
        }
    }

    /// Whether all ranks have left and nothing is shared any more.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.finalize, Finalize::Complete(_))
    }

    /// Ends a complete driver: sends what is queued, so that every rank hears of its release, and closes
    /// the region. Gives the call that waits for this.
    pub(crate) fn part(self) -> Result<CallId, Fatal> {
        let Finalize::Complete(id) = self.finalize else {
            unreachable!("a driver is ended when it is complete")
        };
        let deadline = Instant::now() + PART_TIMEOUT;
        // From the coordinator alone others have something to hear still.
        let own = self.rank;
        self.peers.part(|peer| own == COORDINATOR || peer == COORDINATOR, deadline)?;
        self.faults.map_or(Ok(()), Faults::stop)?;
        Ok(id)
    }

    /// Takes what the events are about.
    pub(crate) fn take(&mut self, events: impl Iterator<Item = epoll::Event>) -> Result<(), Fatal> {
        for event in events {
            let data = event.data;
            match data.u64() {
                FAULTS => self.take_faults()?,
                CALLS => self.take_new_calls()?,
                TIMER => {
                    self.timer.on_expiry();
                    self.look_at_waits();
                    self.look = self.look.max(Look::Due);
                }
                INQUIRIES => self.on_inquiry(),
                SUPERVISOR => self.on_supervisor()?,
                // What it stands for is among the others.
                BED => (),
                MENDER => self.take_mended()?,
                token => {
                    let Some(peer) = self.peers.of_token(token) else { continue };
                    // Copied out: the kernel packs its events.
                    let flags = event.flags;
                    if flags.intersects(ENDING) {
                        self.peers.hang_up(peer);
                    }
                    if flags.contains(epoll::EventFlags::OUT) {
                        self.peers.flush(peer)?;
                    }
                    self.peers.on_readable(peer);
                    self.unread.insert(peer);
                }
            }
        }
        self.settle()
    }

    /// Has threads serve themselves that are stopped, where the engine of faults can do that.
    pub(crate) fn let_stopped_serve(&self, serve: Box<ServeStopped>) {
        if let Some(faults) = &self.faults {
            faults.let_stopped_serve(serve);
        }
    }

    /// Takes the fault of the calling thread, if it needs more than the page is open for.
    pub(crate) fn take_stopped(&mut self, stopped: &StoppedThread) -> Result<(), Fatal> {
        let fault = match &self.faults {
            Some(faults) => faults.take(stopped)?,
            None => None,
        };
        if let Some(fault) = fault {
            self.take_fault(fault)?;
        }
        self.settle()
    }

    /// Takes what the program's threads have asked for.
    pub(crate) fn take_calls(&mut self) -> Result<(), Fatal> {
        self.take_new_calls()?;
        self.settle()
    }

    /// Leaves nothing undone that no event will tell of.
    fn settle(&mut self) -> Result<(), Fatal> {
        self.end_holds()?;
        self.begin_burst();
        for peer in std::mem::take(&mut self.unread) {
            self.take_messages(peer)?;
        }
        self.end_burst()?;
        self.do_deeds();
        self.follow_up()?;
        self.end_holds()?;
        self.prefetch()?;
        match std::mem::replace(&mut self.look, Look::No) {
            Look::No => (),
            Look::Due => self.peers.look()?,
            Look::Asked => self.peers.answer_unheard()?,
        }
        self.peers.flush_queued()?;
        if !self.unread.is_empty() {
            // Faults and calls get their turn before the rest of a flood.
            self.calls.wake_driver();
        }
        let ends = self.holds.next_end().filter(|_| self.engine.has_deferred_demands());
        let again = (!self.deeds.is_empty()).then(|| Instant::now() + TRY_AGAIN);
        let looks = self.watch.next_look().into_iter().chain(self.peers.next_look());
        self.timer
            .set(ends.into_iter().chain(again).chain(looks).min())
            .map_err(|source| Fatal::System { operation: "timerfd", source })
    }

    fn end_holds(&mut self) -> Result<(), Fatal> {
        if self.holds.next_end().is_none() {
            return Ok(());
        }
        let now = Instant::now();
        while let Some(page) = self.holds.pop_ended(now) {
            self.handle(Input::HoldOver { page })?;
        }
        Ok(())
    }

    fn take_faults(&mut self) -> Result<(), Fatal> {
        let mut faults = Vec::new();
        if let Some(engine) = &mut self.faults {
            engine.read(&mut faults)?;
        }
        faults.into_iter().try_for_each(|fault| self.take_fault(fault))
    }

    fn take_fault(&mut self, fault: Fault) -> Result<(), Fatal> {
        let Fault { page, access, thread } = fault;
        let counter = match (access, self.engine.access(page)) {
            (Access::Write, Access::Read) => &self.counters.upgrades,
            (Access::Write, _) => &self.counters.write_faults,
            (Access::Read | Access::None, _) => &self.counters.read_faults,
        };
        counter.add(1);
        self.waits.entry(page).or_insert_with(Wait::start).threads.push(thread);
        self.holds.on_stop(page, thread);
        self.heed_fault(fault)?;
        if let Some(object) = self.locks.came_for(thread.0) {
            let call = Call::Carry { object, page, access };
            self.handle(Input::Call { id: CallId(u64::MAX), call })?;
        }
        self.handle(Input::Fault { page, access })
    }

    fn take_new_calls(&mut self) -> Result<(), Fatal> {
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

    fn take_messages(&mut self, from: Rank) -> Result<(), Fatal> {
        for _ in 0..MESSAGES_AT_ONCE {
            if self.is_complete() {
                // Nobody waits for an answer any more, and some may have left who would get it.
                return Ok(());
            }
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
        // No event will tell of what is still there.
        self.unread.insert(from);
        Ok(())
    }

    /// Goes on with connections that were made again.
    fn take_mended(&mut self) -> Result<(), Fatal> {
        for (rank, fatal) in self.peers.on_mended()? {
            if !self.may_leave_before_us(rank) {
                return Err(fatal);
            }
            self.peers.remove(rank);
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
        self.followups.push_back(input);
        self.follow_up()
    }

    fn follow_up(&mut self) -> Result<(), Fatal> {
        while let Some(input) = self.followups.pop_front() {
            let mut outputs = std::mem::replace(&mut self.outputs, Outputs::new(self.rank));
            self.engine.handle_into(input, &mut outputs);
            self.carry_out_all(outputs.drain())?;
            self.outputs = outputs;
        }
        Ok(())
    }

    fn carry_out_all(&mut self, outputs: impl Iterator<Item = Output>) -> Result<(), Fatal> {
        let mut outputs = outputs.peekable();
        while let Some(output) = outputs.next() {
            match output {
                Output::Install { page, access, source }
                    if outputs.next_if_eq(&Output::Resume { page }).is_some() =>
                {
                    if !self.put_off_open(page, access, source)? {
                        self.install_and_resume(page, access, source)?;
                    }
                }
                output => {
                    if let Some(output) = self.put_off(output)? {
                        self.carry_out(output)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, output: Output) -> Result<(), Fatal> {
        match output {
            Output::Protect { page, access } => self.protect(page, access)?,
            Output::Install { page, access, source } => {
                self.fill(page, source);
                if !self.closes(page, access)
                    && let Some(faults) = &self.faults
                {
                    faults.install(page, access)?;
                }
            }
            // What is attached is the page the message names, read now.
            Output::Send { to, message, attach: _ } => self.send(to, &message, When::Now)?,
            Output::Resume { page } => {
                // Nobody is known to be stopped when a page was fetched ahead. Whoever stopped meanwhile
                // is let go when its fault is read.
                if let Some(faults) = &self.faults
                    && self.waits.contains_key(&page)
                {
                    faults.resume(page)?;
                }
                self.note_resume(page);
            }
            Output::Hold { page } => self.holds.start(page, std::mem::take(&mut self.resumed)),
            Output::Pin { page } => self.holds.pin(page),
            Output::Lend { object, access } => self.do_soon(Deed::Lend { object, access }),
            Output::Recall { object, keep } => self.do_soon(Deed::Recall { object, keep }),
            Output::Serve { asker, id, task } => match self.operate(task) {
                Some(answer) => self.followups.push_back(Input::Served { asker, id, answer }),
                None => self.do_soon(Deed::Serve { asker, id, task }),
            },
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

    fn send(&mut self, to: Rank, message: &Message, when: When) -> Result<(), Fatal> {
        let sent = self.peers.send(to, message, when, &self.region);
        let bytes = match sent {
            Err(Fatal::ContactLost { .. }) if self.may_leave_before_us(to) => return Ok(()),
            sent => sent?,
        };
        self.counters.messages_sent.add(1);
        self.counters.bytes_sent.add(bytes);
        self.counters.pages_out.add(u64::from(message.attached_page().is_some()));
        Ok(())
    }

    fn fill(&self, page: PageId, source: Source) {
        if source == Source::Zero {
            self.region.zero_page(page);
        }
    }

    /// The two outputs as one, because a system call less is a wait shorter.
    fn install_and_resume(
        &mut self,
        page: PageId,
        access: Access,
        source: Source,
    ) -> Result<(), Fatal> {
        self.fill(page, source);
        if !self.closes(page, access)
            && let Some(faults) = &self.faults
        {
            faults.install_and_resume(page, access)?;
        }
        self.note_resume(page);
        Ok(())
    }

    fn note_resume(&mut self, page: PageId) {
        self.prefetches.end(page);
        self.resumed.clear();
        let Some(Wait { since, threads }) = self.waits.remove(&page) else { return };
        let now = Instant::now();
        self.holds.on_resume(&threads, now);
        self.calls.tell_resumed(&threads);
        self.resumed = threads;
        let ns = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
        self.counters.fault_ns.add(ns);
    }

    fn answer(&mut self, id: CallId, answer: Answer) {
        if let Some(object) = self.probes.remove(&id) {
            return self.tell_holder(object, answer);
        }
        if self.finalize == Finalize::Called(id) && answer == Answer::Done {
            // Answered when the last bytes are sent and the region is closed.
            self.finalize = Finalize::Complete(id);
        } else {
            self.calls.answer(id, answer);
        }
    }
}

impl Wait {
    fn start() -> Self {
        Self { since: Instant::now(), threads: Vec::new() }
    }
}

fn system(operation: &'static str) -> impl FnOnce(rustix::io::Errno) -> Fatal {
    move |error| Fatal::System { operation, source: error.into() }
}

const COORDINATOR: Rank = Rank(0);
const FAULTS: u64 = u64::MAX;
const CALLS: u64 = u64::MAX - 1;
const SUPERVISOR: u64 = u64::MAX - 2;
const TIMER: u64 = u64::MAX - 3;
const INQUIRIES: u64 = u64::MAX - 5;
const MENDER: u64 = u64::MAX - 6;
const ENDING: epoll::EventFlags =
    epoll::EventFlags::RDHUP.union(epoll::EventFlags::HUP).union(epoll::EventFlags::ERR);
/// In what the driver's thread sleeps on: the other events.
pub(crate) const BED: u64 = u64::MAX - 4;
/// Each event is told once; that a peer has ended its side is told apart.
const EDGE: epoll::EventFlags = epoll::EventFlags::ET.union(epoll::EventFlags::RDHUP);
/// Messages of one peer before the others get their turn.
const MESSAGES_AT_ONCE: usize = 64;
/// How long the last bytes may take that tell others of the end.
const PART_TIMEOUT: Duration = Duration::from_secs(4);
