//! What becomes of a job: which rank failed first and how, and whether the others must end for it.
//! It knows no processes and no clock: what happened, and when, is told to it.

use super::reach::Parted;
use crate::exit_code::ExitCode;
use crate::signal_name::SignalName;
use dsm_net::launch::{Ending, Status};
use std::time::{Duration, Instant};

/// The judge of one job. The first failure in time is the job's.
#[derive(Debug)]
pub(crate) struct Verdict {
    ranks: Vec<RankState>,
    blame: Option<Blame>,
    must_end: bool,
    suspicion: Option<Suspicion>,
    desertion: Option<Desertion>,
    warned: Vec<u16>,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blame {
    pub(crate) code: ExitCode,
    /// Who, with as much as is known.
    pub(crate) who: Who,
    /// The rest of a sentence that begins with `who`.
    pub(crate) what: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Rank {
        rank: u16,
        host: String,
        pid: Option<u32>,
    },
    /// `what` is a whole sentence.
    Job,
}

#[derive(Clone, Debug)]
struct RankState {
    host: String,
    pid: Option<u32>,
    started_at: Option<Instant>,
    stage: Stage,
    over: Option<Over>,
}

/// How far a rank's runtime has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Outside,
    /// In dsm_init, until all ranks are.
    Joining,
    Joined,
    Finalized,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Ended(Ending),
    Lost,
}

/// A rank says that it lost a peer; the peer's own end says why.
#[derive(Clone, Debug)]
struct Suspicion {
    from: u16,
    of: u16,
    cause: String,
    until: Instant,
}

/// A rank has left with success that others wait for in dsm_init, unless they are just about to say that they are through.
#[derive(Clone, Copy, Debug)]
struct Desertion {
    of: u16,
    until: Instant,
}

impl Verdict {
    pub(crate) fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        let state = |host| RankState {
            host,
            pid: None,
            started_at: None,
            stage: Stage::Outside,
            over: None,
        };
        let ranks = hosts.into_iter().map(state).collect();
        Self {
            ranks,
            blame: None,
            must_end: false,
            suspicion: None,
            desertion: None,
            warned: Vec::new(),
        }
    }

    /// The program of this rank runs.
    pub(crate) fn on_started(&mut self, rank: u16, pid: Option<u32>, now: Instant) {
        let state = self.state(rank);
        state.pid = pid;
        state.started_at = Some(now);
    }

    /// The rank's runtime said something.
    pub(crate) fn on_status(&mut self, rank: u16, status: Status, now: Instant) {
        match status {
            Status::Joined { .. } => self.advance(rank, Stage::Joined),
            Status::Joining => self.advance(rank, Stage::Joining),
            Status::Stats(_)
            | Status::Waits(_)
            | Status::Held { .. }
            | Status::Explains
            | Status::Inquire(_)
            | Status::Pages(_)
            | Status::Resumed { .. }
            | Status::Unheard(_)
            | Status::Unmet { .. } => (),
            Status::Finalized => self.advance(rank, Stage::Finalized),
            Status::ContactLost { rank: peer, cause } => {
                self.on_contact_lost(rank, peer, cause, now + CONFESSION);
            }
            Status::Unresumed { rank: peer, cause } => {
                self.on_contact_lost(rank, peer, cause, now + LAST_CONFESSION);
            }
            Status::Failed { code, reason } => {
                self.fail(rank, ExitCode::of_process(code), format!(": {reason}"));
            }
        }
    }

    /// The rank's program has ended.
    pub(crate) fn on_ended(&mut self, rank: u16, ending: Ending) {
        let state = self.state(rank);
        if state.over.is_some() {
            return;
        }
        state.over = Some(Over::Ended(ending));
        let stage = state.stage;
        let Some((code, what)) = failure_of(ending) else {
            return self.on_success(rank, stage);
        };
        if stage == Stage::Finalized {
            // The others are past the collective end: nothing of theirs depends on this rank.
            self.blame(rank, code, what);
        } else {
            self.fail(rank, code, what);
        }
    }

    fn on_success(&mut self, rank: u16, stage: Stage) {
        let others_run = self.ranks.iter().any(|state| state.over.is_none());
        if stage == Stage::Joined && others_run {
            self.fail(rank, ExitCode::PROTOCOL, EARLY_EXIT.into());
        } else if self.suspicion.as_ref().is_some_and(|suspicion| suspicion.of == rank) {
            self.fail(rank, ExitCode::PROTOCOL, exited_unseen(stage).into());
        }
    }

    /// The rank is out of reach: nothing more will be known of it.
    pub(crate) fn on_lost(&mut self, rank: u16, code: ExitCode, what: String) {
        let state = self.state(rank);
        if state.over.is_none() {
            state.over = Some(Over::Lost);
            self.fail(rank, code, what);
        }
    }

    /// Two ranks cannot reach each other, although dsmexec reaches both.
    pub(crate) fn on_parted(&mut self, Parted { ranks: [one, other], cause }: Parted) {
        let (one, other) = (one.min(other), one.max(other));
        let (one, other) = (self.name(one), self.name(other));
        let what = format!("{one} and {other} cannot reach each other: {cause}");
        let blame = Blame { code: ExitCode::CONTACT_LOST, who: Who::Job, what };
        self.blame.get_or_insert(blame);
        self.must_end = true;
    }

    /// Somebody at the terminal, or the system, ends the job.
    pub(crate) fn on_signal(&mut self, signal: i32) {
        let what = format!("interrupted by signal {}", SignalName(signal));
        let blame = Blame { code: ExitCode::of_signal(signal), who: Who::Job, what };
        self.blame.get_or_insert(blame);
        self.must_end = true;
    }

    /// Time has passed. Gives warnings.
    pub(crate) fn on_time(&mut self, now: Instant) -> Vec<String> {
        if let Some(suspicion) = self.suspicion.take_if(|suspicion| suspicion.until <= now) {
            self.convict_the_connection(&suspicion);
        }
        self.look_for_deserters(now);
        let late = self.late_ranks(now);
        self.warned.extend(&late);
        late.into_iter().map(|rank| self.warning(rank)).collect()
    }

    /// When [`Self::on_time`] may have something to say.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let suspicion = self.suspicion.as_ref().map(|suspicion| suspicion.until);
        let joins = self.outsiders().filter_map(|(_, state)| state.started_at);
        let warning = joins.map(|started_at| started_at + JOIN).min();
        let warning = warning.filter(|_| self.anybody_joined());
        let desertion = self.desertion.map(|desertion| desertion.until);
        suspicion.into_iter().chain(warning).chain(desertion).min()
    }

    /// Why the job failed, as far as is known.
    pub(crate) fn blamed(&self) -> Option<&Blame> {
        self.blame.as_ref()
    }

    /// Whether the ranks that still run must be ended.
    pub(crate) fn must_end(&self) -> bool {
        self.must_end
    }

    pub(crate) fn is_running(&self, rank: u16) -> bool {
        self.ranks[usize::from(rank)].over.is_none()
    }

    pub(crate) fn anybody_runs(&self) -> bool {
        self.ranks.iter().any(|state| state.over.is_none())
    }

    fn advance(&mut self, rank: u16, stage: Stage) {
        let state = self.state(rank);
        state.stage = state.stage.max(stage);
    }

    fn look_for_deserters(&mut self, now: Instant) {
        let is_awaited =
            self.ranks.iter().any(|state| state.over.is_none() && state.stage == Stage::Joining);
        let has_left = |state: &RankState| {
            state.over == Some(Over::Ended(Ending::Code(0))) && state.stage < Stage::Joined
        };
        let deserter = (0..=u16::MAX).zip(&self.ranks).find(|(_, state)| has_left(state));
        let Some((of, state)) = deserter.filter(|_| is_awaited && !self.must_end) else {
            self.desertion = None;
            return;
        };
        let stage = state.stage;
        let until = match self.desertion {
            Some(known) if known.of == of => known.until,
            _ => now + PASSAGE,
        };
        self.desertion = Some(Desertion { of, until });
        if until <= now {
            self.fail(of, ExitCode::PROTOCOL, exited_unseen(stage).into());
            self.desertion = None;
        }
    }

    fn on_contact_lost(&mut self, from: u16, of: u16, cause: String, until: Instant) {
        let Some(state) = self.ranks.get(usize::from(of)) else {
            let what = format!(" broke the protocol: it lost contact to a rank {of}");
            return self.fail(from, ExitCode::PROTOCOL, what);
        };
        let stage = state.stage;
        match state.over {
            Some(Over::Ended(Ending::Code(0))) if stage < Stage::Finalized => {
                self.fail(of, ExitCode::PROTOCOL, exited_unseen(stage).into());
            }
            Some(Over::Ended(Ending::Code(0))) => {
                self.convict_the_connection(&Suspicion { from, of, cause, until });
            }
            // It has been judged already.
            Some(_) => self.must_end = true,
            None => self.suspect(Suspicion { from, of, cause, until }),
        }
    }

    /// The first suspicion stands, unless whom it is of has itself lost another: it gave up for that.
    fn suspect(&mut self, next: Suspicion) {
        self.suspicion = Some(match self.suspicion.take() {
            Some(first) if first.of == next.from && first.from != next.of => {
                Suspicion { until: first.until.min(next.until), ..next }
            }
            Some(first) => first,
            None => next,
        });
    }

    fn convict_the_connection(&mut self, suspicion: &Suspicion) {
        let Suspicion { from, of, cause, .. } = suspicion;
        let what =
            format!("contact lost between {} and {}: {cause}", self.name(*from), self.name(*of));
        let blame = Blame { code: ExitCode::CONTACT_LOST, who: Who::Job, what };
        self.blame.get_or_insert(blame);
        self.must_end = true;
    }

    /// A rank, with its host and its process, if that is known.
    fn name(&self, rank: u16) -> String {
        let RankState { host, pid, .. } = &self.ranks[usize::from(rank)];
        let pid = pid.map(|pid| format!(" pid {pid}")).unwrap_or_default();
        format!("rank {rank} ({host}){pid}")
    }

    fn fail(&mut self, rank: u16, code: ExitCode, what: String) {
        self.blame(rank, code, what);
        self.must_end = true;
    }

    fn blame(&mut self, rank: u16, code: ExitCode, what: String) {
        let state = &self.ranks[usize::from(rank)];
        let who = Who::Rank { rank, host: state.host.clone(), pid: state.pid };
        self.blame.get_or_insert(Blame { code, who, what });
    }

    fn late_ranks(&self, now: Instant) -> Vec<u16> {
        if !self.anybody_joined() {
            return Vec::new();
        }
        let late = |state: &RankState| state.started_at.is_some_and(|at| at + JOIN <= now);
        self.outsiders().filter(|(_, state)| late(state)).map(|(rank, _)| rank).collect()
    }

    /// The ranks that run outside the job and have not been warned of.
    fn outsiders(&self) -> impl Iterator<Item = (u16, &RankState)> {
        let ranks = (0..=u16::MAX).zip(&self.ranks);
        ranks.filter(|(rank, state)| {
            state.stage < Stage::Joined && state.over.is_none() && !self.warned.contains(rank)
        })
    }

    fn anybody_joined(&self) -> bool {
        self.ranks.iter().any(|state| state.stage >= Stage::Joined)
    }

    fn warning(&self, rank: u16) -> String {
        let RankState { host, pid, .. } = &self.ranks[usize::from(rank)];
        let pid = pid.unwrap_or_default();
        let seconds = JOIN.as_secs();
        format!(
            "warning: rank {rank} ({host}) pid {pid} has not called dsm_init for {seconds} s; other ranks have"
        )
    }

    fn state(&mut self, rank: u16) -> &mut RankState {
        &mut self.ranks[usize::from(rank)]
    }
}

impl Blame {
    /// The first line about it: with the process id.
    pub(crate) fn at_length(&self) -> String {
        match &self.who {
            Who::Rank { rank, host, pid: Some(pid) } => {
                format!("rank {rank} ({host}) pid {pid}{}", self.what)
            }
            _ => self.in_short(),
        }
    }

    /// For the last line.
    pub(crate) fn in_short(&self) -> String {
        match &self.who {
            Who::Rank { rank, host, .. } => format!("rank {rank} ({host}){}", self.what),
            Who::Job => self.what.clone(),
        }
    }
}

fn failure_of(ending: Ending) -> Option<(ExitCode, String)> {
    match ending {
        Ending::Code(0) => None,
        Ending::Code(code) => {
            Some((ExitCode::of_process(code), format!(" exited with code {code}")))
        }
        Ending::Signal(signal) => {
            let what = format!(" was killed by signal {}", SignalName(signal));
            Some((ExitCode::of_signal(signal), what))
        }
    }
}

/// How to say that a rank with exit code 0 left a peer alone.
fn exited_unseen(stage: Stage) -> &'static str {
    match stage {
        Stage::Outside => " exited with code 0 without dsm_init, which other ranks have called",
        Stage::Joining => " exited with code 0 in dsm_init, where other ranks wait for it",
        Stage::Joined | Stage::Finalized => EARLY_EXIT,
    }
}

const EARLY_EXIT: &str = " exited with code 0 without dsm_finalize";
/// How long the end of a rank that a peer lost is waited for, before the connection is blamed.
const CONFESSION: Duration = Duration::from_secs(2);
/// The same after a rank has tried for seconds to connect again.
const LAST_CONFESSION: Duration = Duration::from_millis(500);
/// How long ranks that say they are in dsm_init may take to say that they are through it.
const PASSAGE: Duration = Duration::from_millis(500);
/// After this, a rank that has not joined while others have is worth a warning.
const JOIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
