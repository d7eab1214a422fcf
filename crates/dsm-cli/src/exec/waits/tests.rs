use super::*;
use dsm_net::launch::{self, Awaited, Holder, Keeps, Page, Wait};
use std::net::SocketAddr;

const SLEEPS: Process = Process { state: Some('S'), stopped_by: None, is_asked: true };
const RUNS: Process = Process { state: Some('R'), ..SLEEPS };
const AFTER: Duration = Duration::from_secs(10);

fn job(hosts: &[&str], now: Instant) -> Waits {
    let hosts = hosts.iter().map(|host| (*host).to_owned());
    let mut waits = Waits::new(hosts, Duration::from_secs(5), AFTER, now);
    for rank in 0..waits.nodes() {
        waits.on_started(rank, Some(100 + u32::from(rank)), now);
        waits.on_status(rank, &Status::Explains, now);
        waits.on_status(rank, &Status::Joined { fault_engine: String::new() }, now);
    }
    waits
}

fn answer(awaited: &[Awaited], more: u32) -> Status {
    answer_after(12_345, awaited, more)
}

fn answer_after(ms: u64, awaited: &[Awaited], more: u32) -> Status {
    let wait = |awaited: &Awaited| Wait { thread: 7, ms, awaited: *awaited };
    Status::Waits(launch::Waits { waits: awaited.iter().map(wait).collect(), more })
}

/// Asks, and lets every round of answers be over.
fn lines(waits: &mut Waits, now: Instant) -> Vec<String> {
    assert_eq!(waits.on_time(now), [""; 0]);
    let mut now = now;
    loop {
        let Some(until) = waits.deadline() else { return Vec::new() };
        now = now.max(until);
        drop(waits.questions(now));
        let lines = waits.on_time(now);
        if waits.inquiry.is_none() {
            return lines;
        }
    }
}

fn asked(waits: &[(u16, Question)]) -> Vec<u16> {
    waits.iter().map(|(rank, _)| *rank).collect()
}

/// A thread of rank 0 waits; rank 1 is stopped, and rank 2 computes.
#[track_caller]
fn check(awaited: Awaited, expected: &str) {
    let now = Instant::now();
    let mut waits = job(&["a", "b", "c"], now);
    waits.on_stopped(1, Some(19), now);
    waits.on_asked();
    assert_eq!(asked(&waits.questions(now)), [0, 1, 2]);
    waits.on_asked();
    assert_eq!(waits.questions(now), [], "one question at a time");
    waits.on_process(0, SLEEPS);
    waits.on_process(1, SLEEPS);
    waits.on_process(2, RUNS);
    waits.on_status(0, &answer(&[awaited], 0), now);
    waits.on_status(2, &answer(&[], 0), now);
    let holder = Some(Holder { rank: 1, thread: 8, waits_for: Some(0x30) });
    waits.on_status(0, &Status::Held { address: 0x20, holder }, now);
    let lines = lines(&mut waits, now);
    let expected = format!("rank 0 (a) pid 100 thread 7 has waited 12.3 s for {expected}");
    let (silent, idle) = (
        "rank 1 (b) pid 101 is silent: stopped by SIGSTOP for ",
        "rank 2 (c) pid 102: no thread waits for dsm",
    );
    assert_eq!(lines[0], expected);
    assert!(lines[1].starts_with(silent), "{lines:?}");
    assert_eq!(lines[2..], [idle]);
}

#[test]
fn what_threads_wait_for_is_explained() {
    let b = "rank 1 (b) is stopped by SIGSTOP for 1.0 s";
    check(
        Awaited::Page { address: 0x1000, home: Some(1) },
        &format!("page 0x1000, whose home is rank 1 (b): home {b}").replace("1.0 s", "2.0 s"),
    );
    check(
        Awaited::Page { address: 1, home: Some(77) },
        "page 0x1, whose home is rank 77: home rank 77 is not in the job",
    );
    check(
        Awaited::Lock { address: 0x20, holder: None },
        "lock 0x20, which rank 1 (b) (stopped by SIGSTOP for 1.0 s) thread 8 has and waits for lock 0x30",
    );
    check(
        Awaited::Lock { address: 0x28, holder: None },
        &format!("lock 0x28, and the rank that has it does not answer: {b}"),
    );
    let holder = Some(Holder { rank: 0, thread: 9, waits_for: None });
    check(Awaited::Lock { address: 0x20, holder }, "lock 0x20, which rank 0 (a) thread 9 has");
    check(Awaited::Condition { address: 8 }, &format!("condition variable 0x8: {b}"));
    check(Awaited::Semaphore { address: 8 }, &format!("semaphore 0x8: {b}"));
    check(Awaited::BarrierOf { address: 8, count: 4 }, &format!("barrier 0x8 of 4 threads: {b}"));
    let both = format!("rank 1 (b), rank 2 (c): {b}; rank 2 (c) computes");
    check(Awaited::Barrier, &format!("dsm_barrier of {both}"));
    check(Awaited::Finalize, &format!("dsm_finalize of {both}"));
    check(Awaited::Answer { of: 1 }, &format!("an answer of rank 1 (b): {b}"));
}

/// Rank 0 waits for a page of which rank 2 is home, which knows this; rank 1 is stopped.
#[track_caller]
fn check_page(known: Page, expected: &str) {
    let now = Instant::now();
    let mut waits = job(&["a", "b", "c"], now);
    waits.on_stopped(1, Some(19), now);
    waits.on_asked();
    drop(waits.questions(now));
    let address = known.address;
    for rank in [0, 2] {
        waits.on_process(rank, SLEEPS);
        let awaited = Awaited::Page { address, home: Some(2) };
        let awaited = if rank == 0 { vec![awaited] } else { Vec::new() };
        waits.on_status(rank, &answer(&awaited, 0), now);
    }
    waits.on_process(1, SLEEPS);
    let later = now + Duration::from_secs(1);
    let pages = Question::Pages(vec![address]);
    assert_eq!(waits.questions(later), [(0, pages.clone()), (2, pages)]);
    let other = Page { address: 0x77, ..known.clone() };
    waits.on_status(2, &Status::Pages(vec![other, known]), later);
    waits.on_status(0, &Status::Pages(Vec::new()), later);
    let said = waits.on_time(later);
    let expected = format!(
        "rank 0 (a) pid 100 thread 7 has waited 12.3 s for page 0x5000, whose home is rank 2 (c): {expected}"
    );
    assert_eq!(said[0], expected);
}

#[test]
fn who_keeps_a_page_is_named() {
    let page = Page { address: 0x5000, owner: Some(1), awaited: Vec::new(), keeps: None };
    let stopped = "rank 1 (b) is stopped by SIGSTOP for 1.0 s";
    check_page(page.clone(), &format!("owner {stopped}"));
    check_page(Page { owner: Some(2), ..page.clone() }, "it is on its way from rank 2 (c)");
    check_page(Page { awaited: vec![1], ..page.clone() }, &format!("sharer {stopped}"));
    check_page(Page { owner: Some(0), ..page.clone() }, &format!("owner {stopped}"));
    let keeps = Some(Keeps::InUse);
    let sleeps = "owner rank 2 (c) sleeps, or waits for something else than dsm";
    check_page(Page { owner: Some(0), keeps, ..page }, sleeps);
}

#[test]
fn when_all_have_answered_nobody_waits_any_longer() {
    let now = Instant::now();
    let mut waits = job(&["a", "b"], now);
    waits.on_asked();
    drop(waits.questions(now));
    waits.on_process(0, SLEEPS);
    waits.on_process(1, SLEEPS);
    waits.on_status(1, &answer(&[], 0), now);
    waits.on_status(0, &answer(&[Awaited::Lock { address: 0x20, holder: None }], 3), now);
    assert_eq!(waits.questions(now), []);
    assert_eq!(waits.on_time(now), [""; 0], "who has the lock is not told yet");
    waits.on_status(0, &Status::Held { address: 0x20, holder: None }, now);
    assert_eq!(waits.questions(now), [], "there is no page to ask of");
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
    let mut waits = Waits::new(hosts, Duration::from_secs(5), AFTER, now);
    waits.on_started(0, None, now);
    waits.on_status(0, &Status::Joining, now);
    waits.on_started(1, None, now);
    waits.on_over(3, now);
    waits.on_asked();
    assert_eq!(asked(&waits.questions(later)), [0, 1]);
    let process = Process { is_asked: false, ..SLEEPS };
    waits.on_process(0, process);
    waits.on_process(1, process);
    drop(waits.questions(later));
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
    let mut waits = job(&["a", "b"], now);
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

#[test]
fn threads_that_wait_for_each_other_are_told_as_a_cycle() {
    let now = Instant::now();
    let mut waits = job(&["a", "b"], now);
    waits.on_asked();
    drop(waits.questions(now));
    let lock = |address, rank, waits_for| {
        let holder = Some(Holder { rank, thread: 7, waits_for: Some(waits_for) });
        [Awaited::Lock { address, holder }]
    };
    for (rank, address, other) in [(0, 0x20, 0x28), (1, 0x28, 0x20)] {
        waits.on_process(rank, SLEEPS);
        waits.on_status(rank, &answer(&lock(address, 1 - rank, other), 0), now);
    }
    drop(waits.questions(now));
    let said = waits.on_time(now);
    assert_eq!(
        said.last().unwrap(),
        "deadlock: rank 0 (a) thread 7 has lock 0x28 and waits for 0x20; \
         rank 1 (b) thread 7 has lock 0x20 and waits for 0x28"
    );
}

/// Ranks 0 and 1 wait at the barrier for rank 2; a look at this second, with `process` for what rank 2 does.
fn look(waits: &mut Waits, at: Instant, waited_ms: u64, process: Option<Process>) -> Vec<String> {
    waits.on_status(0, &Status::Inquire(Occasion::LongWait), at);
    let asked = waits.questions(at);
    if asked.is_empty() {
        return vec!["not yet".to_owned()];
    }
    for rank in 0..2 {
        waits.on_process(rank, SLEEPS);
        waits.on_status(rank, &answer_after(waited_ms, &[Awaited::Barrier], 0), at);
    }
    if let Some(process) = process {
        waits.on_process(2, process);
        waits.on_status(2, &answer(&[], 0), at);
    }
    let later = at + Duration::from_secs(1);
    drop(waits.questions(later));
    waits.on_time(later)
}

#[test]
fn a_wait_for_ranks_that_compute_is_told_with_growing_pauses() {
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let mut waits = job(&["a", "b", "c"], now);
    let said = look(&mut waits, at(10), 10_000, Some(RUNS));
    let line = |lasted: &str| {
        format!(
            "rank 0 (a), rank 1 (b) have waited {lasted} at dsm_barrier for rank 2 (c): rank 2 (c) computes"
        )
    };
    assert_eq!(said, [line("10.0 s")]);
    assert_eq!(look(&mut waits, at(14), 10_000, Some(RUNS)), ["not yet"], "looks have pauses too");
    assert_eq!(look(&mut waits, at(20), 10_000, Some(RUNS)), [""; 0]);
    assert_eq!(
        look(&mut waits, at(30), 10_000, Some(RUNS)),
        [line("10.0 s")],
        "of another barrier"
    );
    assert_eq!(look(&mut waits, at(45), 25_000, Some(RUNS)), [""; 0]);
    assert_eq!(look(&mut waits, at(60), 40_000, Some(RUNS)), [""; 0]);
    assert_eq!(look(&mut waits, at(70), 50_000, Some(RUNS)), [line("50.0 s")]);
    assert_eq!(look(&mut waits, at(149), 129_000, Some(RUNS)), [""; 0]);
    assert_eq!(look(&mut waits, at(155), 135_000, Some(RUNS)), [line("135.0 s")]);
}

#[test]
fn a_wait_for_a_rank_that_cannot_come_is_told_each_time_it_has_doubled() {
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let mut waits = job(&["a", "b", "c"], now);
    let line = |lasted: &str, stopped: &str| {
        format!(
            "rank 0 (a), rank 1 (b) have waited {lasted} at dsm_barrier for rank 2 (c): \
             rank 2 (c) is stopped by SIGSTOP for {stopped}"
        )
    };
    assert_eq!(look(&mut waits, at(10), 10_000, Some(RUNS)).len(), 1, "it computed before");
    waits.on_stopped(2, Some(19), at(10));
    drop(waits.on_time(at(15)));
    assert_eq!(look(&mut waits, at(16), 16_000, None), [""; 0], "told a moment ago");
    assert_eq!(look(&mut waits, at(22), 22_000, None), [line("22.0 s", "13.0 s")]);
    assert_eq!(look(&mut waits, at(32), 32_000, None), [""; 0]);
    assert_eq!(look(&mut waits, at(45), 45_000, None), [line("45.0 s", "36.0 s")]);
    assert_eq!(look(&mut waits, at(60), 12_000, None), [line("12.0 s", "51.0 s")], "another wait");
}

#[test]
fn ranks_that_wait_in_dsm_init_are_told_without_a_word_of_theirs() {
    let now = Instant::now();
    let mut waits = Waits::new(["a", "b"].map(String::from), Duration::from_secs(5), AFTER, now);
    waits.on_started(0, None, now);
    waits.on_started(1, None, now);
    waits.on_status(0, &Status::Joining, now);
    let due = waits.deadline().unwrap();
    assert_eq!(due, now + AFTER);
    assert_eq!(asked(&waits.questions(due)), [0, 1]);
    waits.on_process(0, Process { is_asked: false, ..SLEEPS });
    waits.on_process(1, Process { is_asked: false, ..RUNS });
    drop(waits.questions(due));
    assert_eq!(
        waits.on_time(due),
        [
            "rank 0 (a) has waited 10.0 s in dsm_init for rank 1 (b): rank 1 (b) has not called it and computes"
        ]
    );
}

#[test]
fn ranks_that_cannot_connect_in_dsm_init_are_told_with_addresses() {
    let now = Instant::now();
    let mut waits = Waits::new(["a", "b"].map(String::from), Duration::from_secs(5), AFTER, now);
    for rank in 0..2 {
        waits.on_started(rank, None, now);
        waits.on_status(rank, &Status::Joining, now);
    }
    let address = SocketAddr::from(([10, 0, 0, 1], 7000));
    let ranks = vec![Unmet { rank: 0, address, silent_ms: Some(9_000) }];
    waits.on_status(1, &Status::Unmet { ranks, is_besieged: false }, now);
    let due = waits.deadline().unwrap();
    assert_eq!(asked(&waits.questions(due)), [0, 1]);
    for rank in 0..2 {
        waits.on_process(rank, Process { is_asked: false, ..SLEEPS });
    }
    drop(waits.questions(due));
    let line = "rank 0 (a), rank 1 (b) have waited 10.0 s in dsm_init for connections with \
                rank 0 (a) at 10.0.0.1:7000";
    assert_eq!(waits.on_time(due), [line]);
}

#[test]
fn nothing_is_told_unasked_where_nobody_wants_it() {
    let now = Instant::now();
    let mut waits = Waits::new(["a".to_owned()], Duration::from_secs(5), Duration::ZERO, now);
    waits.on_started(0, None, now);
    waits.on_status(0, &Status::Joining, now);
    waits.on_status(0, &Status::Inquire(Occasion::LongWait), now);
    assert_eq!(waits.deadline(), None);
    assert_eq!(waits.questions(now), []);
}
