use super::event::Event;
use super::exchange::Exchange;
use super::foreign::{By, Desk};
use super::link::{Link, Orders, Setup, Task};
use super::plan::{Plan, Route};
use super::printer::Printer;
use dsm_net::launch::Order;
use std::io;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// The links to all dsmwraps of a job, and what comes in from them and from everybody else.
#[derive(Debug)]
pub(crate) struct Crew<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) printer: Printer,
    times: Times,
    verbosity: Verbosity,
    began_at: Instant,
    links: Vec<Option<Link>>,
    /// Where programs told by `launch/ete7` meet, if there are such.
    pub(super) exchange: Option<Exchange>,
    sender: Sender<Event>,
    events: Receiver<Event>,
}

/// How long things may take that concern every rank.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Each step of reaching a host.
    pub(crate) patience: Duration,
    /// Until a stopped rank is told of.
    pub(crate) stopped_after: Duration,
    /// Until a wait is explained unasked; 0 is never.
    pub(crate) explain_after: Duration,
    /// The silence after which a host is lost.
    pub(crate) dead_after: Duration,
    /// From SIGTERM to SIGKILL.
    pub(crate) kill_after: Duration,
}

/// Whether each step is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Quiet,
    Steps,
}

/// The way events come in, made before there is a crew: the printer and the signals need it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) sender: Sender<Event>,
    events: Receiver<Event>,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        let (sender, events) = channel();
        Self { sender, events }
    }
}

impl<'a> Crew<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        printer: Printer,
        mailbox: Mailbox,
        times: Times,
        verbosity: Verbosity,
    ) -> Self {
        let Mailbox { sender, events } = mailbox;
        let links = plan.ranks.iter().map(|_| None).collect();
        let began_at = Instant::now();
        let exchange = None;
        Self { plan, printer, times, verbosity, began_at, links, exchange, sender, events }
    }

    /// How long each step may take.
    pub(crate) fn patience(&self) -> Duration {
        self.times.patience
    }

    pub(crate) fn times(&self) -> Times {
        self.times
    }

    pub(crate) fn ranks(&self) -> impl Iterator<Item = u16> + use<> {
        0..u16::try_from(self.links.len()).expect("the machine file has at most 65535 ranks")
    }

    /// The rank and its host, to begin a line with.
    pub(crate) fn name(&self, rank: u16) -> String {
        format!("rank {rank} ({})", self.plan.ranks[usize::from(rank)].place)
    }

    /// Starts this rank's dsmwrap.
    ///
    /// # Errors
    /// If the local process cannot be had.
    pub(crate) fn connect(&mut self, rank: u16) -> io::Result<()> {
        let setup = self.setup(rank, self.plan.ranks[usize::from(rank)].route.command());
        self.links[usize::from(rank)] = Some(Link::start(setup)?);
        Ok(())
    }

    /// Starts this rank's foreign dsmwrap, which finds dsmexec at `desk`.
    ///
    /// # Errors
    /// If the local process cannot be had.
    pub(crate) fn connect_guest(&mut self, rank: u16, desk: Desk) -> io::Result<()> {
        let Route::Foreign(route) = &self.plan.ranks[usize::from(rank)].route else {
            unreachable!("in a job with foreign wrappers all are");
        };
        let by = if route.is_ssh() { By::Ssh } else { By::Itself };
        let input = if self.plan.input == Some(rank) { Stdio::piped() } else { Stdio::null() };
        let command = route.command(desk.seat(), &self.plan.program, &self.plan.args);
        let setup = self.setup(rank, command);
        self.links[usize::from(rank)] = Some(Link::start_guest(setup, by, desk, input)?);
        Ok(())
    }

    fn setup(&self, rank: u16, command: Command) -> Setup {
        Setup {
            rank,
            name: self.name(rank),
            command,
            patience: self.times.patience,
            dead_after: self.times.dead_after,
            events: self.sender.clone(),
            printer: self.printer.clone(),
        }
    }

    /// The next event; `None` when the time has come without one.
    pub(crate) fn next_event(&mut self, until: Instant) -> Option<Event> {
        let event = self.events.recv_timeout(until.saturating_duration_since(Instant::now()));
        let event = match event {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("the crew keeps a sender itself"),
        };
        if let Event::Gone { rank, .. } = &event
            && let Some(link) = self.links[usize::from(*rank)].take()
        {
            link.join();
        }
        Some(event)
    }

    pub(crate) fn orders(&self, rank: u16) -> Option<&Orders> {
        self.links[usize::from(rank)].as_ref().map(Link::orders)
    }

    pub(crate) fn send(&self, rank: u16, order: Order) {
        self.give(rank, Task::Obey(order));
    }

    pub(crate) fn give(&self, rank: u16, task: Task) {
        if let Some(orders) = self.orders(rank) {
            orders.give(task);
        }
    }

    pub(crate) fn send_all(&self, order: &Order) {
        self.ranks().for_each(|rank| self.send(rank, order.clone()));
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.links.iter().all(Option::is_none)
    }

    /// Kills every local process that is left.
    pub(crate) fn kill(&self) {
        self.links.iter().flatten().for_each(|link| link.orders().kill());
    }

    /// Sends the dsmwraps away before anything was started: at once, but at most for a moment.
    pub(crate) fn dismiss(&mut self) {
        self.links.iter().flatten().for_each(|link| link.orders().close());
        for grace in [DISMISSAL, KILL] {
            let until = Instant::now() + grace;
            while !self.is_gone() && self.next_event(until).is_some() {}
            self.kill();
        }
    }

    /// Tells a step, if that is wanted.
    pub(crate) fn step(&self, what: impl FnOnce() -> String) {
        if self.verbosity == Verbosity::Steps {
            let seconds = self.began_at.elapsed().as_secs_f64();
            self.printer.note(format!("{seconds:.3} s: {}", what()));
        }
    }
}

/// A dsmwrap without a program is gone at once, ssh after a round trip, unless it still tries to connect.
const DISMISSAL: Duration = Duration::from_millis(500);
/// For the news of a SIGKILL.
const KILL: Duration = Duration::from_secs(2);
