use super::inbound::{Next, SILENCE, Seed8State, next_seed8};
use super::link::Link;
use crate::counters::Counters;
use crate::driver::end::end_rank;
use crate::driver::holds::Holds;
use crate::fatal::Fatal;
use crate::supervisor::{Heard, Supervisor};
use dsm_core::pr204::wire::{self, WireError};
use dsm_core::pr204::{Config, Engine, Input, Message, Output, Profile, Reason};
use dsm_core::{Access, PageId, Rank};
use dsm_mem::{Fault, Faults, Region, ThreadId, block_signals};
use dsm_net::launch::{self, Awaited, Question, Status, Waits};
use dsm_net::pr204::PAGE_BYTES;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What serves a rank's pages among foreign ranks, on a thread of its own.
///
/// Invariant: it touches the region through the service view alone; all outputs of an input are carried out
/// before the next.
#[derive(Debug)]
pub(crate) struct Driver {
    rank: Rank,
    profile: Profile,
    hosts: Vec<String>,
    engine: Engine,
    region: Arc<Region>,
    faults: Faults,
    links: BTreeMap<Rank, Link>,
    counters: Arc<Counters>,
    supervisor: Option<Arc<Supervisor>>,
    /// Readable once the program wants to leave.
    finalize: Arc<OwnedFd>,
    has_finalized: bool,
    holds: Holds,
    waits: BTreeMap<PageId, Wait>,
    /// The threads that the last resume let go on, for the hold that follows it.
    resumed: Vec<ThreadId>,
    retry_at: Option<Instant>,
    /// Since when all ranks want to leave.
    complete: Option<Instant>,
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
    pub(crate) profile: Profile,
    pub(crate) rank: Rank,
    /// Of all ranks, in rank order.
    pub(crate) hosts: Vec<String>,
    pub(crate) region: Arc<Region>,
    pub(crate) faults: Faults,
    pub(crate) streams: BTreeMap<Rank, TcpStream>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) supervisor: Option<Arc<Supervisor>>,
    pub(crate) finalize: Arc<OwnedFd>,
    pub(crate) hold: Duration,
}

impl Driver {
    /// Opens the pages that begin here.
    pub(crate) fn new(parts: Parts) -> Result<Self, Fatal> {
        let Parts { profile, rank, hosts, region, faults, streams, .. } = parts;
        let Parts { counters, supervisor, finalize, hold, .. } = parts;
        let nodes = u16::try_from(hosts.len()).expect("the number of nodes was checked");
        let engine = Engine::new(Config { profile, rank, nodes, pages: region.pages() });
        for page in (0..region.pages()).map(PageId).filter(|page| engine.is_here(*page)) {
            faults.install(page, Access::Write)?;
        }
        let mut links = BTreeMap::new();
        for (rank, stream) in streams {
            let link = Link::new(stream).map_err(system("setting up a connection"))?;
            links.insert(rank, link);
        }
        Ok(Self {
            rank,
            profile,
            hosts,
            engine,
            region,
            faults,
            links,
            counters,
            supervisor,
            finalize,
            has_finalized: false,
            holds: Holds::new(hold, rank),
            waits: BTreeMap::new(),
            resumed: Vec::new(),
            retry_at: None,
            complete: None,
        })
    }

    /// Starts the driver's thread, named after the rank. It ends when all ranks have left.
    pub(crate) fn spawn(mut self) -> io::Result<JoinHandle<()>> {
        let name = format!("dsm-driver-{}", self.rank);
        // The thread begins with the mask of this one: no handler may come before it blocks signals itself.
        let _blocked = block_signals();
        std::thread::Builder::new().name(name).spawn(move || {
            self.faults.adopt_driver_thread();
            // Nobody would be served any more: a driver that fails must not leave its process waiting.
            let fatal = match catch_unwind(AssertUnwindSafe(|| self.run())) {
                Ok(Ok(())) => match self.faults.stop() {
                    Ok(()) => return,
                    Err(error) => error.into(),
                },
                Ok(Err(fatal)) => fatal,
                Err(_) => {
                    let source = io::Error::other("an assertion of the runtime does not hold");
                    Fatal::System { operation: "the driver", source }
                }
            };
            let fatal = match &self.supervisor {
                Some(_) => fatal,
                None => fatal.naming(&self.hosts),
            };
            end_rank(self.rank, self.supervisor.as_deref(), &fatal)
        })
    }

    fn run(&mut self) -> Result<(), Fatal> {
        while !self.has_left() {
            let wake = self.next_wake();
            self.wait(wake)?;
            // What others ask for comes first: requests cross less often.
            for rank in self.links.keys().copied().collect::<Vec<_>>() {
                self.take_messages(rank)?;
            }
            self.end_holds()?;
            self.take_faults()?;
            self.retry()?;
            self.leave();
        }
        Ok(())
    }

    /// What threads are stopped on. Whose turn it is with a page only its owner knows.
    fn page_waits(&self) -> Waits {
        let now = Instant::now();
        let waits = self.waits.iter().flat_map(|(page, stopped)| {
            let offset = page.0 * self.region.page_bytes() as u64;
            let awaited = Awaited::Page { address: self.region.base() as u64 + offset, home: None };
            let ms = now.saturating_duration_since(stopped.since).as_millis();
            let ms = u64::try_from(ms).unwrap_or(u64::MAX);
            stopped.threads.iter().map(move |thread| launch::Wait { thread: thread.0, ms, awaited })
        });
        Waits::longest(waits.collect())
    }

    /// Waits for something to read, room to send, or the time to do something.
    fn wait(&mut self, wake: Option<Instant>) -> Result<(), Fatal> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.faults.fd(), PollFlags::IN)];
        let awaits_finalize = !self.has_finalized;
        fds.extend(awaits_finalize.then(|| PollFd::new(&self.finalize, PollFlags::IN)));
        let supervisor = self.supervisor.as_deref();
        fds.extend(supervisor.map(|it| PollFd::from_borrowed_fd(it.as_fd(), PollFlags::IN)));
        let first_link = fds.len();
        fds.extend(self.links.values().map(|link| PollFd::new(link, link.interest())));
        let timeout = wake.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = timeout.map(|left| Timespec::try_from(left).expect("waits are short"));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(system("poll")(error.into())),
        }
        let happened: Vec<_> = fds.iter().map(PollFd::revents).collect();
        let is_told = awaits_finalize && !happened[1].is_empty();
        if let Some(supervisor) = supervisor.filter(|_| !happened[first_link - 1].is_empty()) {
            match supervisor.hear() {
                Heard::Gone => return Err(Fatal::LauncherGone),
                Heard::Asked(questions) if questions.contains(&Question::Waits) => {
                    supervisor.tell(&Status::Waits(self.page_waits()));
                }
                // It has not said that it knows the others.
                Heard::Asked(_) => (),
                Heard::Nothing => (),
            }
        }
        for (link, events) in self.links.values_mut().zip(&happened[first_link..]) {
            if events.contains(PollFlags::OUT) {
                link.flush();
            }
            if !link.has_ended && !(*events - PollFlags::OUT).is_empty() {
                link.receive();
            }
        }
        if is_told {
            self.has_finalized = true;
            self.handle(Input::Finalize)?;
        }
        Ok(())
    }

    fn next_wake(&self) -> Option<Instant> {
        let waiting = |link: &Link| !link.inbound.is_empty() && !link.has_ended;
        let silent = self.links.values().filter(|link| waiting(link)).map(|it| it.heard + SILENCE);
        // A page that is longer on its way has been heard of, and is not worth looking at again.
        let silent = silent.filter(|at| self.profile == Profile::Seed8 && *at > Instant::now());
        let complete = self.complete.map(|since| match Instant::now() {
            now if now < since + GRACE => since + GRACE,
            _ => since + LINGER,
        });
        silent.chain(self.holds.next_end()).chain(self.retry_at).chain(complete).min()
    }

    fn take_messages(&mut self, from: Rank) -> Result<(), Fatal> {
        let mut taken = 0;
        loop {
            let Some(link) = self.links.get(&from) else { return Ok(()) };
            let bytes = &link.inbound[taken..];
            let has_ended = link.has_ended;
            let is_silent = has_ended || link.heard + SILENCE <= Instant::now();
            let next = self.next_message(from, bytes, is_silent);
            match next.map_err(|error| self.broke(from, &error))? {
                Some((message, count)) => {
                    if let Some(page) = message.page_for(self.rank) {
                        let content = &bytes[count - PAGE_BYTES..count];
                        self.fill(from, page, content)?;
                    }
                    taken += count;
                    self.handle(Input::Message { from, message })?;
                }
                None => {
                    if let Some(link) = self.links.get_mut(&from) {
                        link.inbound.drain(..taken);
                    }
                    if has_ended {
                        self.links.remove(&from);
                        self.handle(Input::PeerClosed { rank: from })?;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// What bytes begin with: a message and how many bytes it has, with those of its page.
    fn next_message(
        &self,
        from: Rank,
        bytes: &[u8],
        is_silent: bool,
    ) -> Result<Option<(Message, usize)>, WireError> {
        if self.profile == Profile::Bcast {
            let Some((message, count)) = wire::decode_bcast(bytes)? else { return Ok(None) };
            let content = message.page_for(self.rank).map_or(0, |_| PAGE_BYTES);
            let count = count + content;
            return Ok((bytes.len() >= count).then_some((message, count)));
        }
        let outstanding = self.engine.outstanding();
        let state = Seed8State { from, outstanding, is_silent };
        let is_here = |message| match message {
            Message::Request { page, .. } => self.engine.is_here(page),
            _ => false,
        };
        Ok(match (next_seed8(bytes, state, is_here)?, outstanding) {
            (Next::Message(message, count), _) => Some((message, count)),
            (Next::Page, Some(page)) => {
                Some((Message::Page { owner: self.rank, page }, PAGE_BYTES))
            }
            _ => None,
        })
    }

    /// Content comes for a page. It must not overwrite one that threads use.
    fn fill(&self, from: Rank, page: PageId, content: &[u8]) -> Result<(), Fatal> {
        if page.0 >= self.region.pages() || self.engine.is_here(page) {
            let cause = format!("it sent content of page {page}, which it cannot have");
            return Err(Fatal::Foreign { rank: from, cause });
        }
        self.region.write_page(page, 0, content);
        self.counters.pages_in.add(1);
        Ok(())
    }

    fn take_faults(&mut self) -> Result<(), Fatal> {
        let mut faults = Vec::new();
        self.faults.read(&mut faults)?;
        for Fault { page, access, thread } in faults {
            let is_write = access == Access::Write;
            let counter =
                if is_write { &self.counters.write_faults } else { &self.counters.read_faults };
            counter.add(1);
            let wait = || Wait { since: Instant::now(), threads: Vec::new() };
            self.waits.entry(page).or_insert_with(wait).threads.push(thread);
            self.holds.on_stop(page, thread);
            self.handle(Input::Fault { page })?;
        }
        Ok(())
    }

    fn end_holds(&mut self) -> Result<(), Fatal> {
        while let Some(page) = self.holds.pop_ended(Instant::now()) {
            self.handle(Input::HoldOver { page })?;
        }
        Ok(())
    }

    /// A foreign rank may have dropped what it was asked; to ask twice does no harm.
    fn retry(&mut self) -> Result<(), Fatal> {
        let Some(first) = self.waits.values().map(|wait| wait.since).min() else {
            self.retry_at = None;
            return Ok(());
        };
        let now = Instant::now();
        match self.retry_at {
            None => self.retry_at = Some(now.max(first + RETRY_AFTER)),
            Some(at) if at <= now => {
                self.retry_at = Some(now + RETRY_AFTER);
                if first + RETRY_AFTER <= now {
                    self.handle(Input::Retry)?;
                }
            }
            Some(_) => (),
        }
        Ok(())
    }

    fn handle(&mut self, input: Input) -> Result<(), Fatal> {
        for output in self.engine.handle(input) {
            self.carry_out(output)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, output: Output) -> Result<(), Fatal> {
        match output {
            Output::Remove { page } => self.faults.protect(page, Access::None)?,
            Output::Install { page } => self.faults.install(page, Access::Write)?,
            Output::Send { to, message } => self.send(to, message)?,
            Output::Resume { page } => {
                // Whoever stopped meanwhile is let go when its fault is read.
                if self.waits.contains_key(&page) {
                    self.faults.resume(page)?;
                }
                self.note_resume(page);
            }
            Output::Hold { page } => self.holds.start(page, std::mem::take(&mut self.resumed)),
            Output::Finalized => self.complete = Some(Instant::now()),
            // Who leaves needs nobody any more.
            Output::Fail { .. } if self.complete.is_some() => (),
            Output::Fail { rank, reason } => {
                let cause = reason.to_string();
                return Err(match reason {
                    Reason::Broke { .. } => Fatal::Foreign { rank, cause },
                    Reason::Lost | Reason::Left { .. } => Fatal::ContactLost { rank, cause },
                });
            }
        }
        Ok(())
    }

    fn send(&mut self, to: Rank, message: Message) -> Result<(), Fatal> {
        // Who has left hears nothing any more; if that matters the engine says so.
        let Some(link) = self.links.get_mut(&to) else { return Ok(()) };
        let Some(outbound) = link.outbound() else {
            let cause = "it does not read what it is sent".to_owned();
            return Err(Fatal::Foreign { rank: to, cause });
        };
        let before = outbound.len();
        wire::encode(self.profile, self.rank, message, outbound);
        if let Some(page) = message.page_for(to) {
            self.region.copy_page(page, outbound);
            self.counters.pages_out.add(1);
        }
        let bytes = outbound.len() - before;
        link.flush();
        self.counters.messages_sent.add(1);
        self.counters.bytes_sent.add(bytes as u64);
        Ok(())
    }

    fn note_resume(&mut self, page: PageId) {
        self.resumed.clear();
        let Some(Wait { since, threads }) = self.waits.remove(&page) else { return };
        let now = Instant::now();
        self.holds.on_resume(&threads, now);
        self.resumed = threads;
        let ns = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
        self.counters.fault_ns.add(ns);
    }

    /// Connections stay open until the other ranks close them; but of ranks that all do so one begins.
    fn leave(&mut self) {
        if self.complete.is_some_and(|since| since + GRACE <= Instant::now()) {
            self.links.values_mut().for_each(Link::shut);
        }
    }

    fn has_left(&self) -> bool {
        let is_over = |since: Instant| since + LINGER <= Instant::now();
        self.complete.is_some_and(|since| self.links.is_empty() || is_over(since))
    }

    fn broke(&self, rank: Rank, error: &WireError) -> Fatal {
        Fatal::Foreign { rank, cause: error.to_string() }
    }
}

fn system(operation: &'static str) -> impl Fn(io::Error) -> Fatal {
    move |source| Fatal::System { operation, source }
}

/// How long foreign ranks get to close first: some take the end of a connection for a failure.
const GRACE: Duration = Duration::from_millis(100);
/// How long to wait for the others to close.
const LINGER: Duration = Duration::from_secs(5);
/// How long a thread waits before its page is asked for again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
