//! From the orders to start until the last rank is gone.

use super::chronicle::Chronicle;
use super::crew::{Crew, Times};
use super::event::Event;
use super::input::Input;
use super::launch::{self, NO_STOP};
use super::link::Task;
use super::reach::Reach;
use super::ssh;
use super::stats::Tally;
use super::verdict::{Blame, Verdict, Who};
use super::waits::Waits;
use crate::exit_code::ExitCode;
use crate::signal_name::SignalName;
use crate::words;
use dsm_net::launch::{Ending, Order, Question, Report, Status};
use signal_hook::consts::{SIGTSTP, SIGUSR1};
use std::time::{Duration, Instant};

/// Watches a job whose ranks are told to start.
#[derive(Debug)]
struct Watch<'a, 'b> {
    crew: &'a mut Crew<'b>,
    verdict: Verdict,
    tally: Tally,
    chronicle: &'a mut Chronicle,
    waits: Waits,
    reach: Reach,
    input: Option<Input>,
    phase: Phase,
    /// Ranks whose programs are not known to run.
    unstarted: Vec<u16>,
    start_by: Instant,
    announced: bool,
    signalled_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Running,
    /// The ranks are told to end, or have; whoever is left at this time is killed.
    Ending {
        kill_at: Instant,
    },
    /// Whoever is left at this time is left to the kernel.
    Killed {
        leave_at: Instant,
    },
}

/// Starts every rank and returns when all are gone: what became of the job, and what its ranks did.
pub(crate) fn supervise(
    crew: &mut Crew<'_>,
    chronicle: &mut Chronicle,
    tasks: Vec<Task>,
) -> (Verdict, Tally) {
    let verdict = Verdict::new(crew.plan.hosts());
    let tally = Tally::new(crew.plan.hosts());
    let Times { stopped_after, explain_after, .. } = crew.times();
    let waits = Waits::new(crew.plan.hosts(), stopped_after, explain_after, Instant::now());
    let reach = Reach::new(crew.ranks().count(), Instant::now());
    let unstarted: Vec<_> = crew.ranks().collect();
    for (rank, task) in crew.ranks().zip(tasks) {
        crew.give(rank, task);
    }
    let start_by = Instant::now() + crew.patience();
    let mut watch = Watch {
        verdict,
        tally,
        chronicle,
        waits,
        reach,
        input: None,
        phase: Phase::Running,
        unstarted,
        start_by,
        announced: false,
        signalled_at: None,
        crew,
    };
    watch.start_input();
    while !watch.is_over() {
        let until = watch.deadline();
        if let Some(event) = watch.crew.next_event(until) {
            watch.on_event(event);
        }
        watch.on_time(Instant::now());
    }
    if let Some(input) = watch.input.take() {
        input.finish();
    }
    (watch.verdict, watch.tally)
}

impl Watch<'_, '_> {
    fn start_input(&mut self) {
        let Some(orders) = self.crew.plan.input.and_then(|rank| self.crew.orders(rank)) else {
            return;
        };
        match Input::start(orders.clone()) {
            Ok(input) => self.input = Some(input),
            Err(error) => {
                orders.send(Order::InputEnd);
                let cause = words::of_error(&error);
                self.crew.printer.note(format!("warning: cannot read standard input: {cause}"));
            }
        }
    }

    fn is_over(&self) -> bool {
        let left = matches!(self.phase, Phase::Killed { leave_at } if leave_at <= Instant::now());
        left || self.crew.is_gone()
    }

    fn deadline(&self) -> Instant {
        let phase = match self.phase {
            Phase::Running if self.unstarted.is_empty() => None,
            Phase::Running => Some(self.start_by),
            Phase::Ending { kill_at } => Some(kill_at),
            Phase::Killed { leave_at } => Some(leave_at),
        };
        let due = phase.into_iter().chain(self.verdict.deadline());
        let due = due.chain(self.waits.deadline());
        let due = due.chain(self.reach.deadline(Instant::now())).min();
        due.unwrap_or_else(|| Instant::now() + IDLE)
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Report { rank, report } => self.on_report(rank, report),
            Event::Gone { rank, gone } => {
                let leader = self.crew.plan.ranks[usize::from(rank)].route.leader();
                let (code, what) = ssh::lost(&gone, leader);
                let now = Instant::now();
                self.chronicle.on_lost(rank, now);
                self.waits.on_over(rank, now);
                self.reach.on_over(rank, now);
                self.verdict.on_lost(rank, code, what);
            }
            Event::Signal(SIGTSTP) => self.crew.printer.note(NO_STOP),
            Event::Signal(SIGUSR1) => self.on_asked(),
            Event::Signal(signal) => self.on_signal(signal),
            Event::Announced { .. } => unreachable!("a wrapper announces itself once"),
            Event::Printed => unreachable!("the printer was not told to end"),
        }
    }

    fn on_report(&mut self, rank: u16, report: Report) {
        let now = Instant::now();
        match report {
            Report::Started { pid } => {
                self.crew.step(|| format!("{}: program runs as pid {pid}", self.crew.name(rank)));
                self.unstarted.retain(|other| *other != rank);
                // Not every foreign wrapper tells it.
                let pid = (pid != 0).then_some(pid);
                self.chronicle.on_started(rank, pid, now);
                self.waits.on_started(rank, pid, now);
                self.verdict.on_started(rank, pid, now);
            }
            Report::StartFailed(failure) => {
                let (code, what) = launch::explain(&failure);
                self.verdict.on_lost(rank, code, what);
            }
            Report::InputTaken { bytes } => {
                if let Some(input) = &self.input {
                    input.on_taken(bytes);
                }
            }
            Report::InputClosed => {
                if let Some(input) = &self.input {
                    input.close();
                }
            }
            Report::Status(status) => {
                self.on_status(rank, &status);
                self.tally.on_status(rank, &status);
                self.chronicle.on_status(rank, &status);
                self.waits.on_status(rank, &status, now);
                self.reach.on_status(rank, &status, now);
                self.verdict.on_status(rank, status, now);
            }
            Report::Exited(ending) => {
                self.crew.step(|| format!("{}: program{}", self.crew.name(rank), shown(ending)));
                self.chronicle.on_ended(rank, ending, now);
                self.waits.on_over(rank, now);
                self.reach.on_over(rank, now);
                self.verdict.on_ended(rank, ending);
            }
            Report::Process(process) => self.waits.on_process(rank, process),
            Report::Stopped(by) => {
                let line = self.waits.on_stopped(rank, by, now);
                line.into_iter().for_each(|line| self.crew.printer.note(line));
            }
            Report::Hello(_) | Report::Bound(_) | Report::Found => {
                let what = ": its dsmwrap broke the protocol by repeating itself".into();
                self.verdict.on_lost(rank, ExitCode::PROTOCOL, what);
            }
            Report::Output { .. } | Report::Heartbeat => {
                unreachable!("the link keeps these to itself")
            }
        }
    }

    fn on_status(&self, rank: u16, status: &Status) {
        let name = self.crew.name(rank);
        match status {
            Status::Joined { fault_engine } => {
                self.crew.printer.record(format!("{name} joined: {fault_engine}"));
                self.crew.step(|| format!("{name}: joined: {fault_engine}"));
            }
            Status::Joining => self.crew.step(|| format!("{name}: waits in dsm_init")),
            // Told when all have answered.
            Status::Waits(_) | Status::Held { .. } | Status::Pages(_) => (),
            Status::Explains | Status::Inquire(_) => (),
            // Others are asked before anything is told.
            Status::Unheard(_) | Status::Unmet { .. } => (),
            Status::Finalized => self.crew.step(|| format!("{name}: finalized")),
            // Told at the end.
            Status::Stats(_) => (),
            Status::Resumed { rank: peer, after_ms, .. } => self.crew.step(|| {
                let (peer, tenths) = (self.crew.name(*peer), after_ms / 100);
                let (seconds, tenths) = (tenths / 10, tenths % 10);
                format!(
                    "connection between {name} and {peer} was reset and resumed after {seconds}.{tenths} s"
                )
            }),
            // The verdict tells.
            Status::ContactLost { .. } | Status::Unresumed { .. } | Status::Failed { .. } => (),
        }
    }

    /// Somebody wants to know who waits for what.
    fn on_asked(&mut self) {
        if self.crew.plan.profiles.wrap.is_some() {
            return self
                .crew
                .printer
                .note("a foreign dsmwrap tells nothing of what its rank waits for");
        }
        self.waits.on_asked();
    }

    fn on_signal(&mut self, signal: i32) {
        let now = Instant::now();
        // A terminal, and a wrapper such as timeout, may both pass on one and the same Ctrl-C.
        let echo = self.signalled_at.is_some_and(|at| now < at + ECHO);
        let again = self.verdict.must_end() && !echo;
        self.signalled_at = Some(now);
        self.verdict.on_signal(signal);
        if again && let Phase::Ending { kill_at } = self.phase {
            self.crew.send_all(&Order::End { grace_ms: 0 });
            self.crew.printer.note("killing what is left");
            let kill_at = kill_at.min(now + LAST_GRACE);
            self.phase = Phase::Ending { kill_at };
        }
    }

    fn on_time(&mut self, now: Instant) {
        for warning in self.verdict.on_time(now) {
            self.crew.printer.note(warning);
        }
        for (rank, question) in self.waits.questions(now) {
            self.crew.send(rank, Order::Ask(question));
        }
        for rank in self.reach.questions(now) {
            self.crew.send(rank, Order::Ask(Question::Unheard));
        }
        if !self.verdict.must_end()
            && let Some(parted) = self.reach.parted(now)
        {
            self.verdict.on_parted(parted);
        }
        for line in self.waits.on_time(now) {
            self.crew.printer.note(line);
        }
        if self.start_by <= now && matches!(self.phase, Phase::Running) {
            let what = format!(" was not started within {} s", self.crew.patience().as_secs());
            for rank in std::mem::take(&mut self.unstarted) {
                self.verdict.on_lost(rank, ExitCode::UNREACHABLE, what.clone());
            }
        }
        self.announce();
        match self.phase {
            Phase::Running if self.verdict.must_end() => {
                let grace = self.crew.times().kill_after;
                let grace_ms = u32::try_from(grace.as_millis()).expect("ten minutes fit");
                self.crew.send_all(&Order::End { grace_ms });
                self.chronicle.on_end_ordered(now);
                self.phase = Phase::Ending { kill_at: now + grace + LAST_GRACE };
            }
            Phase::Running if !self.verdict.anybody_runs() => {
                self.phase = Phase::Ending { kill_at: now + GRACE };
            }
            Phase::Ending { kill_at } if kill_at <= now => {
                self.crew.kill();
                self.phase = Phase::Killed { leave_at: now + GRACE };
            }
            _ => (),
        }
    }

    /// The first line about the first failure.
    fn announce(&mut self) {
        let Some(blame) = self.verdict.blamed().filter(|_| !self.announced) else { return };
        self.announced = true;
        let others_run = self.crew.ranks().any(|rank| {
            self.verdict.is_running(rank)
                && !matches!(blame.who, Who::Rank { rank: who, .. } if who == rank)
        });
        let consequence = match blame.who {
            _ if !self.verdict.must_end() || !others_run => "",
            Who::Rank { .. } => "; ending the other ranks",
            Who::Job => "; ending all ranks",
        };
        self.crew.printer.note(format!("{}{consequence}", Blame::at_length(blame)));
    }
}

fn shown(ending: Ending) -> String {
    match ending {
        Ending::Code(code) => format!(" exited with code {code}"),
        Ending::Signal(signal) => format!(" was killed by signal {}", SignalName(signal)),
    }
}

/// For what should be gone already.
const GRACE: Duration = Duration::from_secs(2);
/// For the news of a SIGKILL, before the way it should come is cut.
const LAST_GRACE: Duration = Duration::from_millis(900);
/// A second signal so soon is the first one's echo.
const ECHO: Duration = Duration::from_millis(200);
/// When nothing is due, nothing is due in this time.
const IDLE: Duration = Duration::from_secs(3600);
