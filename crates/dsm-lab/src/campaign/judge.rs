use super::conduct::{Outcome, first_line};
use super::injury::Injury;
use super::kind::{Kind, Promise};
use super::trial::Trial;
use crate::process::{Ended, Stream};
use std::time::Duration;

/// Says in the outcome what of promise F0 was not kept. That all processes went in time is judged elsewhere.
pub(crate) fn judge(trial: &Trial, injury: &Injury, ended: &Ended, outcome: &mut Outcome) {
    let promise = if outcome.is_injured { trial.kind.promise() } else { Promise::Completes };
    match promise {
        Promise::Completes => judge_success(trial, ended, &mut outcome.violations),
        Promise::Told => judge_result(trial, ended, &mut outcome.violations),
        Promise::Vanishes if ended.code != 137 => {
            judge_success(trial, ended, &mut outcome.violations)
        }
        Promise::Vanishes => {}
        Promise::Ends if ended.code == 0 => judge_result(trial, ended, &mut outcome.violations),
        Promise::Ends => judge_end(trial, injury, ended, outcome),
    }
}

/// As if nothing had gone wrong, and without a word.
fn judge_success(trial: &Trial, ended: &Ended, violations: &mut Vec<String>) {
    judge_result(trial, ended, violations);
    if ended.code == 0 && ended.texts(Stream::Stderr).next().is_some() {
        violations.push("something was said of a job that went well".to_owned());
    }
}

/// Every rank has the right result.
fn judge_result(trial: &Trial, ended: &Ended, violations: &mut Vec<String>) {
    if ended.code != 0 {
        violations.push(format!("exit code {}, not 0", ended.code));
        return;
    }
    let right = format!("{}: right", trial.workload);
    for rank in 0..trial.machines.len() {
        if ended.rank(rank).last() != Some(&&*right) {
            violations.push(format!("rank {rank} did not say {right:?}"));
        }
    }
}

/// The first line names who failed, in time, and the exit code says how.
fn judge_end(trial: &Trial, injury: &Injury, ended: &Ended, outcome: &mut Outcome) {
    let violations = &mut outcome.violations;
    if !trial.kind.codes().contains(&ended.code) {
        violations.push(format!("exit code {}, not one of {:?}", ended.code, trial.kind.codes()));
    }
    let Some(first) = first_line(ended) else {
        return violations.push("dsmexec did not say why".to_owned());
    };
    if let Some(rank) = injury.rank {
        let host = trial.machines[rank] + 1;
        if !first.text.contains(&format!("rank {rank} (node{host})")) {
            violations.push(format!("it was rank {rank}, and the first line is: {}", first.text));
        }
    } else if !names_one(&first.text, injury, trial.kind) {
        violations.push(format!("the first line names the wrong host, or none: {}", first.text));
    }
    let limit = limit(trial, injury, ended);
    let told_after = first.at.saturating_sub(injury.at);
    if told_after > limit {
        violations.push(format!("told after {told_after:.3?}, not within {limit:?}"));
    }
}

fn names_one(line: &str, injury: &Injury, kind: Kind) -> bool {
    match kind {
        Kind::ExecInterrupted | Kind::ExecHungUp => true,
        _ if injury.hosts.is_empty() => line.contains("node"),
        _ => injury.hosts.iter().any(|host| line.contains(&format!("node{}", host + 1))),
    }
}

/// Within which time it must be told.
fn limit(trial: &Trial, injury: &Injury, ended: &Ended) -> Duration {
    let works = |rank| {
        let tag = format!("[Proc {rank} : ");
        ended.lines.iter().any(|line| {
            line.at <= injury.at && line.text.starts_with(&tag) && line.text.contains("working ")
        })
    };
    match trial.kind {
        _ if injury.rank.is_some() => RANK_TOLD,
        // Ranks that do not reach each other wait for each other in dsm_init.
        Kind::PairParted | Kind::PairPartedOneWay if !(0..trial.machines.len()).all(works) => {
            INIT_TOLD
        }
        // Before all ranks have met it is the connecting that fails, and a step of that may take 10 s.
        _ if !(0..trial.machines.len()).all(works) => CONNECT_TOLD,
        _ => TOLD,
    }
}

const RANK_TOLD: Duration = Duration::from_secs(1);
const TOLD: Duration = Duration::from_secs(5);
const INIT_TOLD: Duration = Duration::from_secs(30);
const CONNECT_TOLD: Duration = Duration::from_secs(11);
