use super::asking::Asked;
use super::attempt::{Attempt, Patience};
use super::callers::{Answered, Caller};
use super::error::system;
use super::{Met, Notice, Rendezvous, RendezvousError};
use crate::launch::{MAX_NAMED, Unmet};
use dsm_core::Rank;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// One meeting of a rank with those that are missing, and how far it is.
pub(super) struct Meeting<'a> {
    pub(super) rendezvous: &'a mut Rendezvous,
    pub(super) terms: Terms<'a>,
    begun: Instant,
    /// Who has not come, and how many bytes of its stream have.
    pub(super) missing: BTreeMap<Rank, u64>,
    /// Lower ranks to connect to.
    pub(super) to_ask: BTreeMap<Rank, Attempt>,
    /// Lower ranks that are being connected to, or were sent a first message.
    pub(super) asked: BTreeMap<Rank, Asked>,
    /// Lower ranks that did not take a connection, and how often.
    pub(super) silent: BTreeMap<Rank, u32>,
    /// Lower ranks that are called, and since when without an answer or a refusal.
    pub(super) called: BTreeMap<Rank, Instant>,
    /// Whoever connected to us and has not shown its key yet, the oldest first.
    pub(super) callers: VecDeque<Caller>,
    /// Higher ranks that have shown their key and were answered.
    pub(super) answered: BTreeMap<Rank, Answered>,
    /// Whom to give those that came.
    pub(super) met: &'a mut dyn FnMut(Rank, Met),
    pub(super) tell: &'a mut dyn FnMut(Notice<'_>),
}

/// How long a meeting lasts, and what it is about.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) occasion: Occasion,
    pub(super) listens: Listens,
    pub(super) patience: Patience,
    /// Readable when there is nothing to wait for any more.
    pub(super) ended: Option<BorrowedFd<'a>>,
    pub(super) remind_at: Option<Instant>,
    /// When to say next who is missing; then every second.
    pub(super) report_at: Option<Instant>,
    pub(super) give_up_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The ranks begin. One that has come and calls again has lost the connection that nobody has used yet.
    First,
    /// Some connections were lost.
    Again,
}

/// Whether this rank's listener listens meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listens {
    Yes,
    No,
}

impl<'a> Meeting<'a> {
    pub(super) fn new(
        rendezvous: &'a mut Rendezvous,
        terms: Terms<'a>,
        missing: BTreeMap<Rank, u64>,
        met: &'a mut dyn FnMut(Rank, Met),
        tell: &'a mut dyn FnMut(Notice<'_>),
    ) -> Self {
        let own = rendezvous.party.hello.from;
        let lower = missing.keys().filter(|rank| **rank < own);
        let to_ask = lower.map(|rank| (*rank, Attempt::first())).collect();
        Self {
            rendezvous,
            terms,
            begun: Instant::now(),
            missing,
            to_ask,
            asked: BTreeMap::new(),
            silent: BTreeMap::new(),
            called: BTreeMap::new(),
            callers: VecDeque::new(),
            answered: BTreeMap::new(),
            met,
            tell,
        }
    }

    /// Until nobody is missing.
    pub(super) fn hold(mut self) -> Result<(), RendezvousError> {
        let held = self.run();
        let callers = std::mem::take(&mut self.callers);
        callers.into_iter().for_each(|caller| self.part_from(caller));
        self.rendezvous.strangers.rest().into_iter().for_each(&mut *self.tell);
        held
    }

    fn run(&mut self) -> Result<(), RendezvousError> {
        loop {
            self.ask()?;
            let Some((&first, _)) = self.missing.first_key_value() else { return Ok(()) };
            let now = Instant::now();
            if now >= self.terms.give_up_at {
                return Err(self.give_up(first));
            }
            if self.terms.remind_at.is_some_and(|at| now >= at) {
                self.terms.remind_at = None;
                let missing: Vec<Rank> = self.missing.keys().copied().collect();
                (self.tell)(Notice::Missing(&missing));
            }
            if self.terms.report_at.is_some_and(|at| now >= at) {
                self.terms.report_at = Some(now + REPORTS);
                self.report(now);
            }
            self.drop_late(now)?;
            self.rendezvous.strangers.due(now).into_iter().for_each(&mut *self.tell);
            self.wait(self.wake_at().saturating_duration_since(now))?;
        }
    }

    fn wake_at(&self) -> Instant {
        let attempts = self.to_ask.values().map(|attempt| attempt.at);
        let asked = self.asked.values().filter_map(Asked::until);
        let callers = self.callers.iter().map(|caller| caller.until);
        let answered = self.answered.values().map(|answered| answered.until);
        let others = self.terms.remind_at.into_iter().chain(self.terms.report_at);
        let others = others.chain(self.rendezvous.strangers.tell_at());
        let all = attempts.chain(asked).chain(callers).chain(answered).chain(others);
        all.fold(self.terms.give_up_at, Instant::min)
    }

    /// Says who is missing, and for how long those were silent that this rank calls.
    fn report(&mut self, now: Instant) {
        let silent_ms = |since: &Instant| {
            u64::try_from(now.saturating_duration_since(*since).as_millis()).unwrap_or(u64::MAX)
        };
        let unmet = |rank: &Rank| Unmet {
            rank: rank.0,
            address: self.rendezvous.address(*rank),
            silent_ms: self.called.get(rank).map(silent_ms),
        };
        let ranks: Vec<Unmet> = self.missing.keys().take(MAX_NAMED).map(unmet).collect();
        let is_besieged = self.rendezvous.strangers.are_a_crowd(now);
        (self.tell)(Notice::Unmet { ranks: &ranks, is_besieged });
    }

    fn give_up(&self, missing: Rank) -> RendezvousError {
        if self.silent.contains_key(&missing) {
            let address = self.rendezvous.address(missing);
            let source = io::ErrorKind::TimedOut.into();
            return RendezvousError::Connect { rank: missing, address, source };
        }
        let waited = self.terms.give_up_at.saturating_duration_since(self.begun);
        RendezvousError::Missing { missing, waited_s: (waited + HALF_A_SECOND).as_secs() }
    }

    /// One round: waits, then moves everything on that can move.
    fn wait(&mut self, timeout: Duration) -> Result<(), RendezvousError> {
        let ended = self.terms.ended.map(|ended| PollFd::from_borrowed_fd(ended, PollFlags::IN));
        let mut fds: Vec<_> = ended.into_iter().collect();
        let listener = &self.rendezvous.party.listener;
        let listens = self.terms.listens == Listens::Yes;
        fds.extend(listens.then(|| PollFd::new(listener, PollFlags::IN)));
        fds.extend(self.asked.values().map(|asked| PollFd::new(&asked.stream, asked.interest())));
        let callers = self.callers.iter().map(|caller| &caller.stream);
        let callers = callers.chain(self.answered.values().map(|answered| &answered.stream));
        fds.extend(callers.map(|stream| PollFd::new(stream, PollFlags::IN)));
        let timeout = Timespec::try_from(timeout).expect("rendezvous times are within range");
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(source) => return Err(system("poll")(source.into())),
        }
        if self.terms.ended.is_some() && !fds[0].revents().is_empty() {
            return Err(RendezvousError::Ended);
        }
        drop(fds);
        self.hear_answers()?;
        self.hear_callers()?;
        self.hear_answered()?;
        if listens { self.accept() } else { Ok(()) }
    }

    pub(super) fn turn_away(&mut self, address: SocketAddr) {
        self.rendezvous.strangers.on_turned_away(address, Instant::now());
    }

    pub(super) fn has_come(&mut self, rank: Rank, met: Met) {
        self.missing.remove(&rank);
        (self.met)(rank, met);
    }
}

/// A rank that is told a number of seconds is told the nearest.
const HALF_A_SECOND: Duration = Duration::from_millis(500);
/// Between two reports of who is missing.
const REPORTS: Duration = Duration::from_secs(1);
