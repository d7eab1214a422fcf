use super::*;

/// Something that happens to a job of three ranks on hosts a, b and c, or to the time.
#[derive(Clone, Debug)]
enum Happens {
    Joining(u16),
    Joined(u16),
    Finalized(u16),
    Contact(u16, u16),
    Resumed(u16, u16),
    Unresumed(u16, u16),
    Failed(u16),
    Code(u16, i32),
    Killed(u16, i32),
    Lost(u16),
    Signal(i32),
    Seconds(u64),
}

use Happens::*;

fn run(story: &[Happens]) -> (Verdict, Vec<String>) {
    let mut now = Instant::now();
    let mut verdict = Verdict::new(["a", "b", "c"].map(String::from));
    let mut warnings = Vec::new();
    for (rank, pid) in [(0, 100), (1, 101), (2, 102)] {
        verdict.on_started(rank, Some(pid), now);
    }
    for happens in story.iter().cloned() {
        match happens {
            Joining(rank) => verdict.on_status(rank, Status::Joining, now),
            Joined(rank) => {
                verdict.on_status(rank, Status::Joined { fault_engine: "uffd".into() }, now);
            }
            Finalized(rank) => verdict.on_status(rank, Status::Finalized, now),
            Contact(rank, peer) => {
                let cause = "connection reset by peer".into();
                verdict.on_status(rank, Status::ContactLost { rank: peer, cause }, now);
            }
            Resumed(rank, peer) => {
                let cause = "connection reset by peer".into();
                let resumed = Status::Resumed { rank: peer, after_ms: 3, cause };
                verdict.on_status(rank, resumed, now);
            }
            Unresumed(rank, peer) => {
                let cause = "connection reset by peer".into();
                verdict.on_status(rank, Status::Unresumed { rank: peer, cause }, now);
            }
            Failed(rank) => {
                let reason = "cannot map the region: out of memory".into();
                verdict.on_status(rank, Status::Failed { code: 71, reason }, now);
            }
            Code(rank, code) => verdict.on_ended(rank, Ending::Code(code)),
            Killed(rank, signal) => verdict.on_ended(rank, Ending::Signal(signal)),
            Lost(rank) => verdict.on_lost(rank, ExitCode::CONTACT_LOST, " is silent".into()),
            Signal(signal) => verdict.on_signal(signal),
            Seconds(seconds) => now += Duration::from_secs(seconds),
        }
        warnings.extend(verdict.on_time(now));
    }
    (verdict, warnings)
}

/// Checks the exit code (0 is no blame), whether the others must end, and the first line.
#[track_caller]
fn check(story: &[Happens], code: u8, must_end: bool, line: &str) {
    let (verdict, warnings) = run(story);
    let blame = verdict.blamed();
    let seen = blame.map_or(String::new(), Blame::at_length);
    assert_eq!(seen, line, "{story:?}");
    let seen = blame.map_or(ExitCode::SUCCESS, |blame| blame.code);
    assert_eq!(seen.to_string(), code.to_string(), "{story:?}");
    assert_eq!(verdict.must_end(), must_end, "{story:?}");
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn a_job_of_successes_succeeds() {
    check(&[Code(0, 0), Code(2, 0), Code(1, 0)], 0, false, "");
    check(&[Joined(0), Joined(1), Finalized(0), Code(0, 0)], 0, false, "");
}

#[test]
fn the_first_failure_in_time_is_the_jobs() {
    check(&[Code(1, 3), Code(0, 4)], 3, true, "rank 1 (b) pid 101 exited with code 3");
    let line = "rank 2 (c) pid 102 was killed by signal 9 (SIGKILL)";
    check(&[Killed(2, 9), Killed(0, 15), Code(1, 1)], 137, true, line);
    let line = "rank 0 (a) pid 100: cannot map the region: out of memory";
    check(&[Failed(0), Code(0, 71), Killed(1, 15)], 71, true, line);
    check(&[Lost(1), Killed(0, 15)], 75, true, "rank 1 (b) pid 101 is silent");
    check(&[Code(1, 0), Lost(1)], 0, false, "");
}

#[test]
fn a_failure_after_the_collective_end_counts_but_ends_nobody() {
    let story = [Joined(0), Joined(1), Joined(2), Finalized(1), Code(1, 5)];
    check(&story, 5, false, "rank 1 (b) pid 101 exited with code 5");
}

#[test]
fn leaving_a_job_that_others_are_in_is_an_error() {
    let line = "rank 1 (b) pid 101 exited with code 0 without dsm_finalize";
    check(&[Joined(0), Joined(1), Joined(2), Code(1, 0)], 76, true, line);
    let line =
        "rank 1 (b) pid 101 exited with code 0 without dsm_init, which other ranks have called";
    check(&[Code(1, 0), Contact(0, 1)], 76, true, line);
    check(&[Contact(0, 1), Code(1, 0)], 76, true, line);
}

#[test]
fn leaving_before_others_are_through_dsm_init_is_an_error() {
    let line =
        "rank 1 (b) pid 101 exited with code 0 without dsm_init, which other ranks have called";
    check(&[Code(1, 0), Joining(0), Seconds(1)], 76, true, line);
    check(&[Joining(0), Code(1, 0), Seconds(1)], 76, true, line);
    let line = "rank 1 (b) pid 101 exited with code 0 in dsm_init, where other ranks wait for it";
    check(&[Joining(0), Joining(1), Code(1, 0), Seconds(1)], 76, true, line);
    // They are told of in another order than they were.
    check(&[Joining(0), Code(1, 0), Joined(0), Seconds(1)], 0, false, "");
    check(&[Code(1, 0), Seconds(9)], 0, false, "");
    let line = "rank 0 (a) pid 100 exited with code 3";
    check(&[Joining(0), Code(1, 0), Code(0, 3), Seconds(1)], 3, true, line);
}

#[test]
fn a_lost_contact_is_the_fault_of_the_peer_that_died() {
    let line = "rank 1 (b) pid 101 was killed by signal 11 (SIGSEGV)";
    check(&[Contact(0, 1), Seconds(1), Killed(1, 11)], 139, true, line);
    check(&[Killed(1, 11), Contact(0, 1)], 139, true, line);
    check(&[Contact(0, 1), Seconds(1)], 0, false, "");
    let line = "contact lost between rank 0 (a) pid 100 and rank 1 (b) pid 101: \
                connection reset by peer";
    check(&[Contact(0, 1), Contact(1, 0), Seconds(2)], 75, true, line);
    check(&[Contact(0, 1), Seconds(3), Killed(1, 9)], 75, true, line);
    let line = "rank 2 (c) pid 102 broke the protocol: it lost contact to a rank 7";
    check(&[Contact(2, 7)], 76, true, line);
}

/// A rank that cannot connect to another gives those up, too, that it has met.
#[test]
fn who_is_lost_because_it_lost_another_is_not_the_first_to_blame() {
    let line = "contact lost between rank 1 (b) pid 101 and rank 0 (a) pid 100: \
                connection reset by peer";
    check(&[Contact(2, 1), Contact(1, 0), Seconds(2)], 75, true, line);
    check(&[Contact(1, 0), Contact(2, 1), Seconds(2)], 75, true, line);
}

/// A rank says so after seconds, in which the end of the other would have been known.
#[test]
fn a_connection_that_cannot_be_made_again_ends_the_job() {
    let line = "contact lost between rank 0 (a) pid 100 and rank 1 (b) pid 101: \
                connection reset by peer";
    check(&[Unresumed(0, 1), Seconds(1)], 75, true, line);
    check(&[Unresumed(0, 1)], 0, false, "");
    let line = "rank 1 (b) pid 101 was killed by signal 9 (SIGKILL)";
    check(&[Unresumed(0, 1), Killed(1, 9), Seconds(1)], 137, true, line);
    check(&[Resumed(0, 1), Seconds(60)], 0, false, "");
}

#[test]
fn an_interrupt_is_the_jobs_only_if_nothing_failed_before() {
    check(&[Signal(2), Killed(0, 15)], 130, true, "interrupted by signal 2 (SIGINT)");
    check(&[Code(1, 3), Signal(2)], 3, true, "rank 1 (b) pid 101 exited with code 3");
}

#[test]
fn a_rank_that_does_not_join_is_warned_of_once() {
    let warned = "warning: rank 2 (c) pid 102 has not called dsm_init for 30 s; other ranks have";
    let (verdict, warnings) =
        run(&[Joined(0), Joined(1), Seconds(29), Seconds(1), Seconds(1), Seconds(60)]);
    assert_eq!(warnings, [warned]);
    assert!(verdict.blamed().is_none());
    assert!(run(&[Seconds(100)]).1.is_empty(), "programs that are no ranks are left alone");
    assert!(run(&[Joined(0), Joined(1), Code(2, 0), Seconds(100)]).1.is_empty());
}

#[test]
fn the_verdict_says_when_to_ask_again() {
    let (verdict, _) = run(&[]);
    assert_eq!(verdict.deadline(), None);
    let (verdict, _) = run(&[Joined(0)]);
    assert!(verdict.deadline().is_some_and(|at| at > Instant::now() + Duration::from_secs(20)));
    let (verdict, _) = run(&[Joined(0), Contact(0, 1)]);
    assert!(verdict.deadline().is_some_and(|at| at < Instant::now() + Duration::from_secs(3)));
}
