use super::*;
use dsm_net::launch::{self, Awaited, Holder, Wait};

const RUNS: Process = Process { state: Some('S'), stopped_by: None, is_asked: true };

fn joined(now: Instant) -> Waits {
    let mut waits = Waits::new(["a", "b"].map(String::from), Duration::from_secs(5), now);
    for rank in 0..2 {
        waits.on_started(rank, Some(100 + u32::from(rank)), now);
        waits.on_status(rank, &Status::Joined { fault_engine: String::new() }, now);
    }
    waits
}

fn answer(awaited: &[Awaited], more: u32) -> Status {
    let wait = |awaited: &Awaited| Wait { thread: 7, ms: 12_345, awaited: *awaited };
    Status::Waits(launch::Waits { waits: awaited.iter().map(wait).collect(), more })
}

#[track_caller]
fn check(awaited: Awaited, expected: &str) {
    let now = Instant::now();
    let mut waits = joined(now);
    waits.on_stopped(1, Some(19), now);
    assert_eq!(waits.on_asked(now), [0, 1]);
    assert_eq!(waits.on_asked(now), [0; 0], "one question at a time");
    waits.on_process(0, RUNS);
    waits.on_process(1, RUNS);
    waits.on_status(0, &answer(&[awaited], 0), now);
    let holder = Some(Holder { rank: 1, thread: 8, waits_for: Some(0x30) });
    waits.on_status(0, &Status::Held { address: 0x20, holder }, now);
    assert_eq!(waits.on_time(now), [""; 0]);
    let lines = waits.on_time(waits.deadline().unwrap());
    let expected = format!("rank 0 (a) pid 100 thread 7 has waited 12.3 s for {expected}");
    assert_eq!(lines, [&expected, "rank 1 (b) pid 101 is silent: stopped by SIGSTOP for 1.0 s"]);
}

#[test]
fn what_threads_wait_for_is_explained() {
    let b = "rank 1 (b) (stopped by SIGSTOP for 1.0 s)";
    check(
        Awaited::Page { address: 0x1000, home: Some(1) },
        &format!("page 0x1000, whose home is {b}"),
    );
    check(Awaited::Page { address: 0x1000, home: None }, "page 0x1000");
    check(Awaited::Page { address: 1, home: Some(77) }, "page 0x1, whose home is rank 77");
    check(
        Awaited::Lock { address: 0x20, holder: None },
        &format!("lock 0x20, which {b} thread 8 has and waits for lock 0x30"),
    );
    check(
        Awaited::Lock { address: 0x28, holder: None },
        "lock 0x28, and the rank that has it does not answer",
    );
    let holder = Some(Holder { rank: 0, thread: 9, waits_for: None });
    check(Awaited::Lock { address: 0x20, holder }, "lock 0x20, which rank 0 (a) thread 9 has");
    check(Awaited::Condition { address: 8 }, "condition variable 0x8");
    check(Awaited::Semaphore { address: 8 }, "semaphore 0x8");
    check(Awaited::BarrierOf { address: 8, count: 4 }, "barrier 0x8 of 4 threads");
    check(Awaited::Barrier, &format!("dsm_barrier of {b}"));
    check(Awaited::Finalize, &format!("dsm_finalize of {b}"));
    check(Awaited::Answer { of: 1 }, &format!("an answer of {b}"));
}

#[test]
fn when_all_have_answered_nobody_waits_any_longer() {
    let now = Instant::now();
    let mut waits = joined(now);
    waits.on_asked(now);
    waits.on_process(0, RUNS);
    waits.on_process(1, RUNS);
    waits.on_status(1, &answer(&[], 0), now);
    waits.on_status(0, &answer(&[Awaited::Lock { address: 0x20, holder: None }], 3), now);
    assert_eq!(waits.on_time(now), [""; 0], "who has the lock is not told yet");
    waits.on_status(0, &Status::Held { address: 0x20, holder: None }, now);
    assert_eq!(
        waits.on_time(now),
        [
            "rank 0 (a) pid 100 thread 7 has waited 12.3 s for lock 0x20, which nobody has just now",
            "rank 0 (a) pid 100: and 3 more threads wait",
            "rank 1 (b) pid 101: no thread waits for dsm",
        ]
    );
}

#[test]
fn ranks_outside_the_job_are_told_by_what_they_did_last() {
    let now = Instant::now();
    let later = now + Duration::from_secs(2);
    let hosts = ["a", "b", "c", "d"].map(String::from);
    let mut waits = Waits::new(hosts, Duration::from_secs(5), now);
    waits.on_started(0, None, now);
    waits.on_status(0, &Status::Joining, now);
    waits.on_started(1, None, now);
    waits.on_over(3, now);
    assert_eq!(waits.on_asked(later), [0, 1]);
    let process = Process { is_asked: false, ..RUNS };
    waits.on_process(0, process);
    waits.on_process(1, process);
    assert_eq!(
        waits.on_time(later),
        [
            "rank 0 (a) has waited 2.0 s in dsm_init for rank 1 (b), rank 2 (c)",
            "rank 1 (b) has run for 2.0 s without dsm_init",
            "rank 2 (c) is not started yet",
            "rank 3 (d) has ended 2.0 s ago",
        ]
    );
}

#[test]
fn a_stopped_rank_is_told_once_it_has_lasted_and_again_when_it_goes_on() {
    let now = Instant::now();
    let after = |seconds| now + Duration::from_secs(seconds);
    let mut waits = joined(now);
    assert_eq!(waits.on_stopped(1, Some(19), now), None);
    assert_eq!(waits.on_stopped(1, None, after(4)), None, "nobody was told");
    assert_eq!(waits.deadline(), None);
    waits.on_stopped(1, Some(19), after(10));
    assert_eq!(waits.deadline(), Some(after(15)));
    let warning = "warning: rank 1 (b) pid 101 is stopped by SIGSTOP for 5.0 s; kill -CONT 101 on b lets it go on";
    assert_eq!(waits.on_time(after(15)), [warning]);
    assert_eq!(waits.on_time(after(16)), [""; 0]);
    let again = waits.on_stopped(1, None, after(30));
    assert_eq!(again.as_deref(), Some("rank 1 (b) pid 101 goes on after 20.0 s"));
}
