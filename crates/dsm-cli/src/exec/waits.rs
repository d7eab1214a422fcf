//! Who waits for what in a job, for people who ask with SIGUSR1; unasked, which ranks are stopped and why
//! a wait is long. It knows no processes and no clock: what happened, and when, is told to it.

mod answer;
mod cause;
mod cycle;
mod inquiry;
mod unasked;

use crate::signal_name::SignalName;
use dsm_net::launch::{Occasion, Process, Question, Status, Unmet};
use inquiry::{Inquiry, Purpose};
use std::time::{Duration, Instant};
use unasked::Unasked;

/// How far each rank is, and the question that is under way.
#[derive(Debug)]
pub(crate) struct Waits {
    stopped_after: Duration,
    ranks: Vec<RankState>,
    inquiry: Option<Inquiry>,
    /// A question that is to be asked as soon as no other is under way.
    wanted: Option<Purpose>,
    unasked: Unasked,
}

#[derive(Debug)]
struct RankState {
    host: String,
    pid: Option<u32>,
    stage: Stage,
    /// Since when it is at this stage.
    since: Instant,
    stop: Option<Stop>,
    /// Its runtime knows every question.
    explains: bool,
    /// Whom it misses in `dsm_init`.
    unmet: Vec<Unmet>,
}

/// A process that was stopped by a signal, and whether people were told.
#[derive(Clone, Copy, Debug)]
struct Stop {
    signal: i32,
    since: Instant,
    is_told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    NotStarted,
    /// Its program runs.
    Outside,
    /// In `dsm_init`.
    Joining,
    Joined,
    Finalized,
    Over,
}

impl Waits {
    pub(crate) fn new(
        hosts: impl IntoIterator<Item = String>,
        stopped_after: Duration,
        explain_after: Duration,
        now: Instant,
    ) -> Self {
        let state = |host| RankState {
            host,
            pid: None,
            stage: Stage::NotStarted,
            since: now,
            stop: None,
            explains: false,
            unmet: Vec::new(),
        };
        let ranks = hosts.into_iter().map(state).collect();
        let unasked = Unasked::new(explain_after);
        Self { stopped_after, ranks, inquiry: None, wanted: None, unasked }
    }

    pub(crate) fn on_started(&mut self, rank: u16, pid: Option<u32>, now: Instant) {
        self.state(rank).pid = pid;
        self.advance(rank, Stage::Outside, now);
    }

    pub(crate) fn on_status(&mut self, rank: u16, status: &Status, now: Instant) {
        match status {
            Status::Joining => self.advance(rank, Stage::Joining, now),
            Status::Joined { .. } => self.advance(rank, Stage::Joined, now),
            Status::Finalized => self.advance(rank, Stage::Finalized, now),
            Status::Waits(waits) => {
                if let Some(inquiry) = &mut self.inquiry {
                    inquiry.on_waits(rank, waits.clone());
                }
            }
            Status::Held { address, holder } => {
                if let Some(inquiry) = &mut self.inquiry {
                    inquiry.on_held(rank, *address, *holder);
                }
            }
            Status::Pages(pages) => {
                if let Some(inquiry) = &mut self.inquiry {
                    inquiry.on_pages(rank, pages);
                }
            }
            Status::Explains => self.state(rank).explains = true,
            Status::Inquire(Occasion::Asked) => self.on_asked(),
            Status::Inquire(Occasion::LongWait) => self.unasked.on_long_wait(now),
            Status::Stats(_) | Status::ContactLost { .. } | Status::Failed { .. } => (),
            Status::Resumed { .. } | Status::Unresumed { .. } | Status::Unheard(_) => (),
            Status::Unmet { ranks, .. } => self.state(rank).unmet.clone_from(ranks),
        }
    }

    /// What the rank's dsmwrap knows of the process.
    pub(crate) fn on_process(&mut self, rank: u16, process: Process) {
        if let Some(inquiry) = &mut self.inquiry {
            inquiry.on_process(rank, process);
        }
    }

    /// The process was stopped by this signal, or goes on. Gives a line if there is one.
    pub(crate) fn on_stopped(
        &mut self,
        rank: u16,
        by: Option<i32>,
        now: Instant,
    ) -> Option<String> {
        let before = self.state(rank).stop.take();
        match by {
            Some(signal) => {
                self.state(rank).stop = Some(Stop { signal, since: now, is_told: false });
                None
            }
            None => {
                let Stop { since, .. } = before.filter(|stop| stop.is_told)?;
                let lasted = seconds(now - since);
                Some(format!("{} goes on after {lasted}", self.name_at_length(rank)))
            }
        }
    }

    pub(crate) fn on_over(&mut self, rank: u16, now: Instant) {
        self.advance(rank, Stage::Over, now);
        self.state(rank).stop = None;
    }

    /// Somebody asks.
    pub(crate) fn on_asked(&mut self) {
        match &mut self.inquiry {
            // Who asked before gets the same answer.
            Some(inquiry) if inquiry.purpose == Purpose::Asked => (),
            _ => self.wanted = Some(Purpose::Asked),
        }
    }

    /// When [`questions`](Self::questions) or [`on_time`](Self::on_time) has something to say.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let stops = self.ranks.iter().filter_map(|state| state.stop);
        let stops = stops.filter(|stop| !stop.is_told).map(|stop| stop.since + self.stopped_after);
        let inquiry = self.inquiry.as_ref().map(Inquiry::until);
        let look = self.unasked.due(self.joining_since()).filter(|_| inquiry.is_none());
        stops.chain(inquiry).chain(look).min()
    }

    /// What the dsmwraps of which ranks are to ask by now.
    pub(crate) fn questions(&mut self, now: Instant) -> Vec<(u16, Question)> {
        if let Some(inquiry) = &mut self.inquiry {
            let explains: Vec<_> = self.ranks.iter().map(|state| state.explains).collect();
            return inquiry.next_questions(&over(&self.ranks), &explains, now);
        }
        let is_due = self.unasked.due(self.joining_since()).is_some_and(|due| due <= now);
        let purpose = self.wanted.take().or(is_due.then_some(Purpose::LongWaits));
        let Some(purpose) = purpose else { return Vec::new() };
        if purpose == Purpose::LongWaits {
            self.unasked.on_look(now);
        }
        let ranks = (0..).zip(&self.ranks);
        let asked: Vec<u16> =
            ranks.filter(|(_, state)| state.runs()).map(|(rank, _)| rank).collect();
        self.inquiry = Some(Inquiry::new(purpose, &asked, now));
        asked.into_iter().map(|rank| (rank, Question::Waits)).collect()
    }

    /// What is to be said by now, line by line.
    pub(crate) fn on_time(&mut self, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        for rank in 0..self.nodes() {
            let stopped_after = self.stopped_after;
            let Some(stop) = &mut self.state(rank).stop else { continue };
            if !stop.is_told && stop.since + stopped_after <= now {
                stop.is_told = true;
                lines.push(self.warning(rank, now));
            }
        }
        let over = over(&self.ranks);
        if let Some(inquiry) = self.inquiry.take_if(|inquiry| inquiry.is_complete(&over, now)) {
            lines.extend(match inquiry.purpose {
                Purpose::Asked => self.explain(&inquiry, now),
                Purpose::LongWaits => self.explain_unasked(&inquiry, now),
            });
        }
        lines
    }

    /// Since when a rank waits in `dsm_init`: the first of them.
    fn joining_since(&self) -> Option<Instant> {
        let joining = self.ranks.iter().filter(|state| state.stage == Stage::Joining);
        joining.map(|state| state.since).min()
    }

    fn warning(&self, rank: u16, now: Instant) -> String {
        let state = &self.ranks[usize::from(rank)];
        let stop = self.stop_of(rank, now).unwrap_or_default();
        let how = match state.pid {
            Some(pid) => format!("kill -CONT {pid} on {} lets it go on", state.host),
            None => "SIGCONT lets it go on".to_owned(),
        };
        format!("warning: {} is {stop}; {how}", self.name_at_length(rank))
    }

    /// As `stopped by SIGSTOP for 5.0 s`.
    fn stop_of(&self, rank: u16, now: Instant) -> Option<String> {
        let Stop { signal, since, .. } = self.ranks.get(usize::from(rank))?.stop?;
        Some(format!("stopped by {} for {}", SignalName(signal).alone(), seconds(now - since)))
    }

    fn name(&self, rank: u16) -> String {
        match self.ranks.get(usize::from(rank)) {
            Some(state) => format!("rank {rank} ({})", state.host),
            // What a rank says is not believed, only shown.
            None => format!("rank {rank}"),
        }
    }

    fn name_at_length(&self, rank: u16) -> String {
        match self.ranks[usize::from(rank)].pid {
            Some(pid) => format!("{} pid {pid}", self.name(rank)),
            None => self.name(rank),
        }
    }

    fn nodes(&self) -> u16 {
        u16::try_from(self.ranks.len()).expect("a job has at most 65535 ranks")
    }

    fn advance(&mut self, rank: u16, stage: Stage, now: Instant) {
        let state = self.state(rank);
        if state.stage < stage {
            (state.stage, state.since) = (stage, now);
        }
    }

    fn state(&mut self, rank: u16) -> &mut RankState {
        &mut self.ranks[usize::from(rank)]
    }
}

impl RankState {
    fn runs(&self) -> bool {
        self.stage > Stage::NotStarted && self.stage < Stage::Over
    }
}

fn over(ranks: &[RankState]) -> Vec<bool> {
    ranks.iter().map(|state| state.stage == Stage::Over).collect()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests;
