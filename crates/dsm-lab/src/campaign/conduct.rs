use super::injury::{Injury, injure};
use super::judge::judge;
use super::kind::{Kind, Promise};
use super::trial::{Moment, Trial};
use crate::conditions::Conditions;
use crate::crew::{Member, Role, crew};
use crate::job::Running;
use crate::lab::Lab;
use crate::process::{Ended, Line, Stream, await_pidfd};
use rustix::process::Signal;
use std::fs;
use std::time::{Duration, Instant};

/// How a run went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Whether anything went wrong in it; else it was over too soon.
    pub(crate) is_injured: bool,
    /// Where it did, for people.
    pub(crate) place: String,
    /// From the fault to the line that told of it.
    pub(crate) told_after: Option<Duration>,
    /// dsmexec's exit code.
    pub(crate) code: i32,
    /// Processes that were left when none should have been.
    pub(crate) orphans: usize,
    /// What was not as promised, for people.
    pub(crate) violations: Vec<String>,
}

/// Conducts a run in this lab, which is as before afterwards.
pub(crate) fn conduct(lab: &Lab, trial: &Trial) -> Outcome {
    lab.network().reseed(trial.seed);
    lab.network().set_all(&trial.before);
    let is_early = trial.moment == Moment::Before;
    let mut injury = if is_early { injure(lab, trial, Duration::ZERO) } else { None };
    let mut job = start(lab, trial);
    let is_over = !is_early && await_moment(trial, &mut job);
    // Whom it happens to may not be there yet.
    while !is_over && injury.is_none() {
        injury = injure(lab, trial, job.elapsed());
        if injury.is_none() && job.run_for(SOON) {
            break;
        }
    }
    let outcome = finish(lab, trial, job, injury);
    lab.network().set_all(&Conditions::default());
    crew(lab).iter().filter(|it| is_of_the_job(it)).for_each(|it| {
        it.signal(Signal::KILL);
        await_pidfd(&it.pidfd, Instant::now() + GONE);
    });
    outcome
}

/// True if the job was over sooner.
fn await_moment(trial: &Trial, job: &mut Running) -> bool {
    let after = match trial.moment {
        Moment::Before => Duration::ZERO,
        Moment::Started(after) => after,
        Moment::Working(after) => {
            let tag = |rank| format!("[Proc {rank} : ");
            let works = |rank| {
                job.seek(LIMIT, |line| {
                    line.text.starts_with(&tag(rank)) && line.text.contains(" working ")
                })
                .is_some()
            };
            if !(0..trial.machines.len()).all(works) {
                return true;
            }
            after
        }
    };
    job.run_for(after)
}

fn start(lab: &Lab, trial: &Trial) -> Running {
    let names: Vec<String> =
        trial.machines.iter().map(|host| format!("node{}", host + 1)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // Bad weather is no reason to give a host up; where one packet in ten is lost, one login in thousands takes 30 s. All else
    // is as by default.
    let connect = if trial.kind.promise() == Promise::Completes { "60" } else { "10" };
    let options = ["--fault", trial.engine, "--stopped-after", "1", "--connect-timeout", connect];
    lab.job(trial.user, &names).options(&options).start(trial.workload, &[&trial.steps.to_string()])
}

/// Lets the job come to its end, and judges it.
fn finish(lab: &Lab, trial: &Trial, mut job: Running, injury: Option<Injury>) -> Outcome {
    let began = Instant::now().checked_sub(job.elapsed()).expect("it was started");
    let place = injury.as_ref().map(Injury::place).unwrap_or_default();
    let mut outcome = Outcome { is_injured: injury.is_some(), place, ..Outcome::default() };
    let mut injury = injury.unwrap_or_default();
    match trial.kind {
        Kind::RankStopped if outcome.is_injured => {
            outcome.told_after = await_told(trial, &mut job, &injury, &mut outcome.violations);
        }
        Kind::RanksReset | Kind::SshReset if outcome.is_injured => {
            job.run_for(RESET);
            lab.network().set_all(&trial.before);
        }
        _ => {}
    }
    if !job.run_for(LIMIT) {
        outcome.violations.push(format!("dsmexec has not ended after {LIMIT:?}\n{}", job.report()));
        return outcome;
    }
    let ended = job.finish(Duration::ZERO);
    outcome.code = ended.code;
    let first = first_line(&ended).map(|line| line.at);
    let since = match trial.kind.promise() {
        Promise::Vanishes if outcome.is_injured => injury.at,
        _ => first.unwrap_or(ended.took),
    };
    outcome.orphans =
        await_gone(lab, trial, &injury, began + since, began, &mut outcome.violations);
    if injury.frozen.take().is_some() {
        let thawed = Instant::now();
        injury.cut_off.clear();
        outcome.orphans += await_gone(lab, trial, &injury, thawed, began, &mut outcome.violations);
    }
    left_behind(lab, &mut outcome.violations);
    if trial.kind.promise() == Promise::Ends && outcome.is_injured && ended.code != 0 {
        outcome.told_after = first.map(|first| first.saturating_sub(injury.at));
    }
    judge(trial, &injury, &ended, &mut outcome);
    if !outcome.violations.is_empty() {
        outcome.violations.push(ended.report());
    }
    outcome
}

/// That a rank is stopped is told, and then the rank goes on.
fn await_told(
    trial: &Trial,
    job: &mut Running,
    injury: &Injury,
    violations: &mut Vec<String>,
) -> Option<Duration> {
    let member = injury.member.as_ref()?;
    let rank = format!("rank {} ", injury.rank?);
    let line = job.seek(STOPPED_TOLD, |line| {
        line.stream == Stream::Stderr && line.text.contains(&rank) && line.text.contains("stopped")
    });
    if line.is_none() {
        violations.push(format!("{rank} was stopped, and nobody told within {STOPPED_TOLD:?}"));
    }
    debug_assert_eq!(trial.kind, Kind::RankStopped);
    member.signal(Signal::CONT);
    Some(line?.at.saturating_sub(injury.at))
}

/// The line that tells why the job ends: no warning, and nothing of who waits for whom meanwhile.
pub(crate) fn first_line(ended: &Ended) -> Option<&Line> {
    ended.lines.iter().find(|line| {
        line.stream == Stream::Stderr
            && line.text.starts_with("dsmexec: ")
            && !line.text.starts_with("dsmexec: warning: ")
            && !line.text.contains(" waited ")
    })
}

/// Waits until no process of the job is there, on hosts that dsmexec reaches until 3 s after `since`, elsewhere until 10 s after
/// the injury. Gives how many are there too long.
fn await_gone(
    lab: &Lab,
    trial: &Trial,
    injury: &Injury,
    since: Instant,
    began: Instant,
    violations: &mut Vec<String>,
) -> usize {
    let frozen = if injury.frozen.is_some() { injury.cut_off.clone() } else { Default::default() };
    let deadline = |member: &Member| match member.role {
        _ if injury.cut_off.contains(&member.host) => began + injury.at + LEASE,
        Role::Ssh if trial.kind == Kind::ExecKilled => since + LOGIN,
        _ => since + GONE,
    };
    loop {
        let mut crew = crew(lab);
        crew.retain(|it| is_of_the_job(it) && !frozen.contains(&it.host));
        if crew.is_empty() {
            return 0;
        }
        let mut orphans = 0;
        for member in crew {
            let deadline = deadline(&member);
            if await_pidfd(&member.pidfd, deadline) {
                continue;
            }
            let is_late = await_pidfd(&member.pidfd, deadline + PATIENCE);
            let how = if is_late { "ended too late by" } else { "is left after" };
            let by = deadline.elapsed().as_secs_f64();
            let who = format!("{:?} on node{}", member.role, member.host + 1);
            violations.push(format!("{who} {how} {by:.2} s"));
            if !is_late {
                member.signal(Signal::KILL);
                await_pidfd(&member.pidfd, Instant::now() + GONE);
                orphans += 1;
            }
        }
        if orphans > 0 {
            return orphans;
        }
    }
}

fn is_of_the_job(member: &Member) -> bool {
    member.role != Role::SshServer
}

/// What is in the hosts' `/dev/shm` and `/tmp`. It is removed.
fn left_behind(lab: &Lab, violations: &mut Vec<String>) {
    for host in 0..lab.size() {
        for place in ["dev/shm", "tmp"] {
            let place = format!("/proc/{}/root/{place}", lab.pid_of(host));
            for entry in fs::read_dir(&place).unwrap() {
                let path = entry.unwrap().path();
                violations.push(format!("{} is left on node{}", path.display(), host + 1));
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
        }
    }
}

/// No run takes so long, whatever goes wrong.
const LIMIT: Duration = Duration::from_secs(90);
/// After the first line, or after dsmexec's end if it cannot say anything.
const GONE: Duration = Duration::from_secs(3);
/// After dsmexec and a host have lost each other.
const LEASE: Duration = Duration::from_secs(10);
/// An ssh that logs in ends when it is in and finds nobody to serve.
const LOGIN: Duration = Duration::from_secs(10);
/// Who has not ended so long after the time it should have is an orphan.
const PATIENCE: Duration = Duration::from_secs(5);
const STOPPED_TOLD: Duration = Duration::from_secs(10);
/// Between two looks for somebody who is not there yet.
const SOON: Duration = Duration::from_millis(10);
/// How long connections are reset: longer than a segment waits to be sent again.
const RESET: Duration = Duration::from_millis(300);
