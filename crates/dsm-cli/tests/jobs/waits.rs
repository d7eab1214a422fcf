//! What dsmexec tells of ranks that wait or are stopped.

use crate::harness::{Place, Running, Watched, text};
use rustix::process::Signal;
use std::path::{Path, PathBuf};

/// Asks until the answer has a line for each of these; each is words in this order.
#[track_caller]
fn ask_until(running: &mut Running, expected: &[&[&str]]) {
    for round in 1..=MOST {
        running.signal(Signal::USR1);
        // Of the rank that is told of last, once each time.
        let last = running.await_stderr("dsmexec: rank 2 (localhost) pid ", round);
        drop(last);
        let seen = running.await_stderr("dsmexec: rank ", 1);
        let holds = |words: &[&str]| seen.iter().any(|line| has_words(line, words));
        if expected.iter().all(|words| holds(words)) {
            return;
        }
        assert!(round < MOST, "not all of {expected:#?}: {seen:#?}");
    }
}

fn has_words(line: &str, words: &[&str]) -> bool {
    let mut rest = line;
    words.iter().all(|word| match rest.split_once(word) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}

#[test]
fn a_signal_tells_who_waits_for_what_and_a_stopped_rank_is_named() {
    for engine in ["uffd", "sigsegv"] {
        let place = Place::local(3);
        let options =
            ["--tag=rank", "--stdin=1", "--stopped-after=1", "--fault", engine, "--report=r.json"];
        let mut running = place.start(&options, &[built("waits")]);
        let mut ready = running.await_stdout("ready", 3);
        ready.sort();
        let ranks = Watched::last_words(&ready);
        ranks[2].kill(Signal::STOP);
        running.await_stderr("is stopped by SIGSTOP for 1.", 1);
        running.feed(b"go\n".to_vec());
        let stopped = "rank 2 (localhost) is stopped by SIGSTOP for ";
        ask_until(
            &mut running,
            &[
                &["rank 0 (localhost) pid ", ": no thread waits for dsm"],
                &["rank 1 ", " has waited ", " for lock 0x", "which rank 0 (localhost) thread "],
                &["rank 1 ", " for condition variable 0x"],
                &["rank 1 ", " for semaphore 0x"],
                &["rank 1 ", " for barrier 0x", " of 2 threads"],
                &["rank 1 ", " for page 0x", "whose home is rank 2 (localhost): home ", stopped],
                &["rank 1 ", " for page 0x", "whose home is rank 0 (localhost): owner ", stopped],
                &["rank 1 ", " for dsm_barrier of rank 0 (localhost), rank 2", stopped],
                &["rank 2 (localhost) pid ", " is silent: stopped by SIGSTOP for "],
            ],
        );
        ranks[2].kill(Signal::CONT);
        running.await_stderr(" goes on after ", 1);
        running.signal(Signal::INT);
        running.wait().assert_code(130);
    }
}

#[test]
fn ranks_in_dsm_init_and_outside_are_told_too() {
    let place = Place::local(3);
    let script = "echo ready; test $DSM_NODE_ID = 2 && exec tail -f /dev/null; exec \"$0\"";
    let program = built("waits");
    let mut running = place.start(&["-v"], &["sh", "-c", script, text(&program)]);
    running.await_stdout("ready", 3);
    running.await_stderr(": waits in dsm_init", 2);
    running.signal(Signal::USR1);
    running.await_stderr(" in dsm_init for rank 2 (localhost)", 2);
    running.await_stderr(" without dsm_init", 1);
    running.signal(Signal::INT);
    running.wait().assert_code(130);
}

/// promises.md F0: waits over 10 s are explained, here over one second.
#[test]
fn a_long_wait_is_explained_unasked_by_who_is_in_the_way() {
    for engine in ["uffd", "sigsegv"] {
        let place = Place::local(3);
        let (mut running, _) = wait_for_a_stopped_rank(&place, engine);
        let stopped = "rank 2 (localhost) is stopped by SIGSTOP for ";
        for (what, why) in [
            (" for page 0x", "whose home is rank 2 (localhost): home "),
            (" for page 0x", "whose home is rank 0 (localhost): owner "),
            (" s ", "at dsm_barrier for rank 0 (localhost), rank 2 (localhost): "),
        ] {
            let why = format!("{why}{stopped}");
            let told = running.await_stderr(&why, 1);
            let has =
                |line: &String| has_words(line, &["rank 1 (localhost) has waited ", what, &why]);
            assert!(told.iter().any(has), "{what} {why}: {told:#?}");
        }
        running.signal(Signal::INT);
        running.wait().assert_code(130);
    }
}

/// A thread of rank 1 that read zeros would say that it is not so.
#[test]
fn a_thread_that_waits_for_a_page_reads_nothing_when_its_rank_ends() {
    for engine in ["uffd", "sigsegv"] {
        let place = Place::local(3);
        let (mut running, ranks) = wait_for_a_stopped_rank(&place, engine);
        running.await_stderr("rank 1 (localhost) has waited ", 1);
        running.await_stderr(" for page 0x", 2);
        ranks[2].kill(Signal::KILL);
        let ended = running.wait();
        ended.assert_code(137).assert_stderr(&["rank 2 (localhost) ", "signal 9 (SIGKILL)"]);
        assert!(!ended.stderr.contains("not so"), "{ended}");
    }
}

#[test]
fn a_rank_that_computes_for_long_is_told_a_few_times_and_the_job_goes_on() {
    let place = Place::local(2);
    let ended = place.run(&["--explain-after=1"], &[built("laggard")]);
    let told: Vec<_> = ended.stderr.lines().filter(|line| line.contains(" has waited ")).collect();
    // At 1, 3, 7, 15 s: it computes for four seconds of processor time.
    assert!((1..=4).contains(&told.len()), "{ended}");
    let (why, last) = (" s at dsm_barrier for rank 1 (localhost): rank 1 (localhost) ", "computes");
    let has =
        |line: &&str| has_words(line, &["dsmexec: rank 0 (localhost) has waited ", why, last]);
    assert!(told.iter().all(has), "{ended}");
    ended.assert_code(0);
    let ended = place.run(&["--explain-after=never"], &[built("laggard")]);
    assert_eq!(ended.assert_code(0).stderr, "");
}

#[test]
fn a_rank_can_be_asked_too() {
    for engine in ["uffd", "sigsegv"] {
        let place = Place::local(3);
        let options = ["--tag=rank", "--stdin=1", "--fault", engine];
        let mut running = place.start(&options, &[built("waits")]);
        let _open = running.hold_stdin();
        let mut ready = running.await_stdout("ready", 3);
        ready.sort();
        Watched::last_words(&ready)[1].kill(Signal::USR1);
        running.await_stderr("rank 0 (localhost) pid ", 1);
        running.await_stderr(" for semaphore 0x", 1);
        running.signal(Signal::INT);
        running.wait().assert_code(130);
    }
}

#[test]
fn the_time_to_end_can_be_longer() {
    let place = Place::local(1);
    let script = "trap '' TERM; echo ready; tail -f /dev/null";
    let options = ["--kill-after=4", "--tag=none"];
    let mut running = place.start(&options, &["sh", "-c", script]);
    running.await_stdout("ready", 1);
    running.signal(Signal::INT);
    let ended = running.wait();
    assert!(ended.assert_code(130).took.as_secs_f64() > 3.5, "{ended}");
}

#[test]
fn a_silent_host_is_lost_after_as_long_as_was_asked() {
    let place = Place::local(1);
    let script = "echo wrapper $PPID; exec tail -f /dev/null";
    let mut running = place.start(&["--dead-after=2"], &["sh", "-c", script]);
    let wrappers = Watched::last_words(&running.await_stdout("wrapper", 1));
    wrappers[0].kill(Signal::STOP);
    running.wait().assert_code(75).assert_stderr(&["its host was silent for 2 s"]);
}

/// Three ranks, of which rank 2 is stopped before the threads of rank 1 begin to wait; after a second that is told.
fn wait_for_a_stopped_rank(place: &Place, engine: &str) -> (Running, Vec<Watched>) {
    let options = ["--tag=rank", "--stdin=1", "--explain-after=1", "--fault", engine];
    let mut running = place.start(&options, &[built("waits")]);
    let mut ready = running.await_stdout("ready", 3);
    ready.sort();
    let ranks = Watched::last_words(&ready);
    ranks[2].kill(Signal::STOP);
    running.feed(b"go\n".to_vec());
    (running, ranks)
}

/// How often is asked at most; each answer takes a second while a rank is silent.
const MOST: usize = 20;

fn built(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/test").join(name);
    assert!(path.is_file(), "there is no {}: run `make test-programs` first", text(&path));
    path
}
