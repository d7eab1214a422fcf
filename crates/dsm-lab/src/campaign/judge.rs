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
        Promise::Told => judge_result(trial, None, ended, &mut outcome.violations),
        Promise::Vanishes if ended.code != 137 => {
            judge_success(trial, ended, &mut outcome.violations)
        }
        Promise::Vanishes => {}
        Promise::Ends if ended.code == 0 => {
            // It left with 0 after the job was over for it, and before it could say so.
            let silent = injury.rank.filter(|_| trial.kind == Kind::RankLeaves);
            judge_result(trial, silent, ended, &mut outcome.violations);
        }
        Promise::Ends => judge_end(trial, injury, ended, outcome),
    }
}

/// As if nothing had gone wrong, and without a word; that waits are long may be said, and that somebody whose first
/// message was spoilt on its way was taken for a stranger.
fn judge_success(trial: &Trial, ended: &Ended, violations: &mut Vec<String>) {
    judge_result(trial, None, ended, violations);
    let expected: &[&str] = match trial.kind {
        Kind::Corruption => &[" waited ", ": turned away "],
        _ => &[" waited "],
    };
    let is_alarm = |text: &str| !expected.iter().any(|words| text.contains(words));
    if ended.code == 0 && ended.texts(Stream::Stderr).any(is_alarm) {
        violations.push("something was said of a job that went well".to_owned());
    }
}

/// Every rank has the right result, but for one that could not say so.
fn judge_result(trial: &Trial, silent: Option<usize>, ended: &Ended, violations: &mut Vec<String>) {
    if ended.code != 0 {
        violations.push(format!("exit code {}, not 0", ended.code));
        return;
    }
    let right = format!("{}: right", trial.workload);
    for rank in (0..trial.machines.len()).filter(|&rank| Some(rank) != silent) {
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
    let is_signalled = matches!(trial.kind, Kind::ExecInterrupted | Kind::ExecHungUp);
    if is_signalled && ended.lines.is_empty() {
        // It came before dsmexec had set its handlers, and nothing was started.
        return;
    }
    let Some(first) = first_line(ended) else {
        return violations.push("dsmexec did not say why".to_owned());
    };
    if let Some(rank) = injury.rank {
        let host = trial.machines[rank] + 1;
        if !first.text.contains(&format!("rank {rank} (node{host})")) {
            violations.push(format!("it was rank {rank}, and the first line is: {}", first.text));
        }
    } else if !names(&first.text, injury, trial.kind) {
        violations.push(format!("the first line names the wrong host, or none: {}", first.text));
    }
    let limit = limit(trial, injury, ended);
    let told_after = first.at.saturating_sub(injury.at);
    if told_after > limit {
        violations.push(format!("told after {told_after:.3?}, not within {limit:?}"));
    }
}

fn names(line: &str, injury: &Injury, kind: Kind) -> bool {
    let mut hosts = injury.hosts.iter().map(|host| format!("node{}", host + 1));
    match kind {
        Kind::ExecInterrupted | Kind::ExecHungUp => true,
        _ if injury.hosts.is_empty() => line.contains("node"),
        // It is neither that is lost.
        Kind::PairParted | Kind::PairPartedOneWay => hosts.all(|host| line.contains(&host)),
        _ => hosts.any(|host| line.contains(&host)),
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
        // Before all ranks have met it is the connecting that fails, and a step of that may take 10 s.
        _ if !(0..trial.machines.len()).all(works) => CONNECT_TOLD,
        _ => TOLD,
    }
}

const RANK_TOLD: Duration = Duration::from_secs(1);
const TOLD: Duration = Duration::from_secs(5);
const CONNECT_TOLD: Duration = Duration::from_secs(11);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::trial::Choice;
    use crate::process::Line;

    #[test]
    fn a_rank_that_is_named_in_time_is_as_promised() {
        assert_eq!(violations(Kind::RankKilled, 137, &killed(1.1)), [""; 0]);
        assert_eq!(violations(Kind::RankKilled, 0, &right()), [""; 0], "it was over anyway");
    }

    #[test]
    fn who_leaves_with_0_when_all_is_done_need_not_say_so() {
        let mut lines = right();
        lines.retain(|line| !line.text.contains("[Proc 0 : ") || !line.text.contains(": right"));
        assert_eq!(violations(Kind::RankLeaves, 0, &lines), [""; 0]);
        check(Kind::RankKilled, 0, &lines, "rank 0 did not say");
    }

    #[test]
    fn a_wrong_exit_code_is_found() {
        check(Kind::RankKilled, 75, &killed(1.1), "exit code 75, not one of [137]");
        check(Kind::Loss, 75, &killed(1.1), "exit code 75, not 0");
    }

    #[test]
    fn silence_and_a_late_or_wrong_word_are_found() {
        check(Kind::RankKilled, 137, &working(), "dsmexec did not say why");
        check(Kind::RankKilled, 137, &killed(2.5), "told after 1.500s, not within 1s");
        let wrong =
            with(working(), 1.1, Stream::Stderr, "dsmexec: rank 1 (node3) pid 7 was killed");
        check(Kind::RankKilled, 137, &wrong, "it was rank 0, and the first line is");
        let nobody = with(working(), 1.1, Stream::Stderr, "dsmexec: contact lost");
        check(Kind::HostLost, 75, &nobody, "the first line names the wrong host, or none");
    }

    #[test]
    fn who_waits_is_no_word_of_why() {
        let waits = "dsmexec: rank 0 (node2) has waited 10.0 s for lock 0x200000000000";
        let lines = with(working(), 1.1, Stream::Stderr, waits);
        check(Kind::RankKilled, 137, &lines, "dsmexec did not say why");
    }

    #[test]
    fn who_do_not_reach_each_other_are_both_named() {
        let ends = |line| with(working(), 5.0, Stream::Stderr, line);
        let both = ends("dsmexec: rank 0 (node2) pid 7 and rank 1 (node3) pid 7 cannot reach");
        assert_eq!(pair_violations(&both), [""; 0]);
        let one = ends("dsmexec: rank 0 (node2) pid 7 is lost");
        assert_eq!(pair_violations(&one).len(), 1);
    }

    fn pair_violations(lines: &[Line]) -> Vec<String> {
        let kind = Kind::PairParted;
        let choice = Choice { kinds: &[kind], engines: &["uffd"] };
        let trial = Trial { machines: vec![1, 2], ..Trial::of(1, choice) };
        let at = Duration::from_secs(1);
        let injury = Injury { at, hosts: [1, 2].into(), ..Injury::default() };
        let took = Duration::from_secs(6);
        let ended = Ended { code: 75, lines: lines.to_vec(), words: String::new(), took };
        let mut outcome = Outcome { is_injured: true, ..Outcome::default() };
        judge(&trial, &injury, &ended, &mut outcome);
        outcome.violations
    }

    #[test]
    fn a_missing_result_and_a_false_alarm_are_found() {
        check(Kind::Loss, 0, &working(), "rank 0 did not say \"bank: right\"");
        check(Kind::RankKilled, 0, &working(), "rank 1 did not say \"bank: right\"");
        let long = "dsmexec: rank 0 (node2) has waited 10.0 s for a page";
        let lines = with(right(), 1.2, Stream::Stderr, long);
        assert_eq!(violations(Kind::Loss, 0, &lines), [""; 0], "that is said of long waits");
        let stranger =
            "[Proc 1 : node1 : stderr] dsm: rank 1: turned away 1 connection from strangers";
        let lines = with(right(), 1.2, Stream::Stderr, stranger);
        assert_eq!(violations(Kind::Corruption, 0, &lines), [""; 0], "its hello was spoilt");
        check(Kind::Loss, 0, &lines, "something was said of a job that went well");
        let alarm = "dsmexec: rank 0 (node2) pid 7 is stopped";
        let lines = with(right(), 1.2, Stream::Stderr, alarm);
        check(Kind::Loss, 0, &lines, "something was said of a job that went well");
        assert_eq!(violations(Kind::Loss, 0, &right()), [""; 0]);
    }

    /// Judges a job whose rank 0, on node2, or node2 failed after 1 s.
    fn violations(kind: Kind, code: i32, lines: &[Line]) -> Vec<String> {
        let choice = Choice { kinds: &[kind], engines: &["uffd"] };
        let trial = Trial { workload: "bank", machines: vec![1, 2], ..Trial::of(1, choice) };
        let rank = matches!(kind, Kind::RankKilled | Kind::RankLeaves).then_some(0);
        let at = Duration::from_secs(1);
        let injury = Injury { at, rank, hosts: [1].into(), ..Injury::default() };
        let took = Duration::from_secs(3);
        let ended = Ended { code, lines: lines.to_vec(), words: String::new(), took };
        let mut outcome = Outcome { is_injured: true, ..Outcome::default() };
        judge(&trial, &injury, &ended, &mut outcome);
        outcome.violations
    }

    fn check(kind: Kind, code: i32, lines: &[Line], found: &str) {
        let violations = violations(kind, code, lines);
        assert!(violations.iter().any(|it| it.starts_with(found)), "{found:?}: {violations:?}");
    }

    fn working() -> Vec<Line> {
        let lines = with(Vec::new(), 0.5, Stream::Stdout, "[Proc 0 : node2 : stdout] working 7");
        with(lines, 0.5, Stream::Stdout, "[Proc 1 : node3 : stdout] working 7")
    }

    fn killed(at: f64) -> Vec<Line> {
        let line = "dsmexec: rank 0 (node2) pid 7 was killed by signal 9 (SIGKILL)";
        with(working(), at, Stream::Stderr, line)
    }

    fn right() -> Vec<Line> {
        let lines = with(working(), 2.0, Stream::Stdout, "[Proc 0 : node2 : stdout] bank: right");
        with(lines, 2.0, Stream::Stdout, "[Proc 1 : node3 : stdout] bank: right")
    }

    fn with(mut lines: Vec<Line>, at: f64, stream: Stream, text: &str) -> Vec<Line> {
        lines.push(Line { at: Duration::from_secs_f64(at), stream, text: text.to_owned() });
        lines
    }
}
