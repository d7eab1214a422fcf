//! The C programs of `tests/programs`: every function of `dsm.h` in real jobs, on two to four ranks with several threads each,
//! with both fault engines. Each program checks itself and stops at the first thing that is not so; here it is checked that all
//! ranks came to the end of it.

use crate::harness::{Ended, Place, text};
use std::path::{Path, PathBuf};

#[test]
fn arguments_that_cannot_be_used_are_refused() {
    check("arguments", &[]);
}

#[test]
fn mutexes_exclude_and_tell_misuse() {
    check("mutex", &["3", "300"]);
}

#[test]
fn condition_variables_wake_as_many_as_they_should() {
    check("cond", &["3", "200"]);
}

#[test]
fn a_bounded_buffer_loses_and_doubles_nothing() {
    check("buffer", &["8", "500", "2"]);
    check("buffer", &["1", "100", "3"]);
}

#[test]
fn a_handmade_barrier_with_if_for_while_holds_for_10_000_rounds() {
    for (ranks, engine, rounds) in
        [(2, "uffd", "10000"), (2, "sigsegv", "10000"), (3, "uffd", "10000"), (4, "uffd", "4000")]
    {
        let ended = run("handmade", &[rounds, "2"], ranks, &["--fault", engine]);
        show("handmade", ranks, engine, &ended);
    }
}

#[test]
fn locks_for_readers_and_writers_let_in_whom_they_should() {
    check("rwlock", &["3", "300"]);
}

#[test]
fn semaphores_count() {
    check("semaphore", &["3", "300"]);
}

#[test]
fn barriers_hold_everybody_and_tell_misuse() {
    check("barriers", &["1000", "300", "3"]);
}

#[test]
fn a_hundred_thousand_barriers_of_all_ranks() {
    for ranks in 2..=4 {
        let ended = run("barriers", &["100000", "1", "2"], ranks, &["--fault", "uffd"]);
        show("barriers", ranks, "uffd", &ended);
    }
}

/// In each of 10,000 rounds threads meet at twelve barriers of their own: all, those of a rank, pairs.
#[test]
fn a_hundred_thousand_barriers_with_a_count() {
    run("barriers", &["1", "10000", "3"], 3, &["--fault", "uffd"]);
}

#[test]
fn operations_on_words_are_atomic_wherever_the_page_is() {
    check("atomics", &["3", "300"]);
}

#[test]
fn blocks_are_allocated_on_one_rank_and_freed_on_another() {
    for (ranks, engine) in jobs() {
        let ended = run("heap", &["3", "20"], ranks, &["--fault", engine]);
        let refused = ended.stderr.lines().filter(|line| line.contains("] dsm: cannot free 0x"));
        assert_eq!(refused.count(), 8 * ranks, "a line for each mistake: {ended}");
        show("heap", ranks, engine, &ended);
    }
}

#[test]
fn a_full_heap_is_full_for_all_and_empty_again() {
    for (ranks, engine) in jobs() {
        run("exhaustion", &["64"], ranks, &["--heap", "64M", "--fault", engine]);
    }
}

#[test]
fn a_large_object_costs_what_is_touched_of_it() {
    for (ranks, engine) in jobs() {
        let ended = run("sparse", &["20", "100"], ranks, &["--fault", engine]);
        show("sparse", ranks, engine, &ended);
    }
}

#[test]
fn names_are_met_at_by_all_threads() {
    check("names", &["3", "60"]);
}

#[test]
fn pages_asked_for_early_are_there_without_a_fault() {
    check("prefetch", &["64"]);
}

#[test]
fn thousands_of_mutexes_and_condition_variables_live_in_structures() {
    for (ranks, engine) in [(2, "uffd"), (3, "sigsegv"), (4, "uffd")] {
        let ended = run("many", &["4000", "3"], ranks, &["--fault", engine]);
        show("many", ranks, engine, &ended);
    }
}

#[test]
fn uncontended_locks_send_nothing_after_the_first_touch() {
    for (ranks, threads) in [(2, "1"), (2, "4"), (4, "1")] {
        let arguments = ["1000", "2000000", threads];
        let ended = run("uncontended", &arguments, ranks, &["--fault", "uffd"]);
        show("uncontended", ranks, "uffd", &ended);
        let silent = "0 messages after the first touch";
        assert_eq!(ended.stdout.matches(silent).count(), ranks, "{ended}");
    }
}

#[test]
fn operations_cost_the_messages_that_are_promised() {
    check("messages", &[]);
}

#[test]
fn calls_that_wait_end_when_their_rank_leaves() {
    check("abandoned", &[]);
}

/// A connection was once closed with something unread in it, and the end of the job was lost with it.
#[test]
fn a_job_ends_while_its_last_frees_are_under_way() {
    for (ranks, engine) in jobs() {
        for _ in 0..3 {
            run("last_frees", &["50"], ranks, &["--fault", engine]);
        }
    }
}

/// The library was once stopped by a handler that waited for a page on a thread that ran the driver; and an operation
/// on a word that waited behind what a handler was in the way of was once run when its page had left.
#[test]
fn signal_handlers_may_touch_shared_memory_whatever_their_thread_is_at() {
    for (ranks, engine) in jobs() {
        let ended = run("handlers", &["500", "3"], ranks, &["--fault", engine]);
        show("handlers", ranks, engine, &ended);
    }
}

/// Two to four ranks, with both engines.
fn jobs() -> impl Iterator<Item = (usize, &'static str)> {
    (2..=4).flat_map(|ranks| ["uffd", "sigsegv"].map(|engine| (ranks, engine)))
}

fn check(program: &str, arguments: &[&str]) {
    for (ranks, engine) in jobs() {
        run(program, arguments, ranks, &["--fault", engine]);
    }
}

/// A job whose ranks all say at the end that nothing was wrong.
#[track_caller]
fn run(program: &str, arguments: &[&str], ranks: usize, options: &[&str]) -> Ended {
    let place = Place::local(ranks);
    let path = built(program);
    let command: Vec<&str> = [text(&path)].into_iter().chain(arguments.iter().copied()).collect();
    let ended = place.run(options, &command);
    ended.assert_code(0);
    let end = format!("] {program}: right");
    let right = ended.stdout.lines().filter(|line| line.ends_with(&end));
    assert_eq!(right.count(), ranks, "{ended}");
    ended
}

/// Prints the figures of a job, which are part of the result.
fn show(program: &str, ranks: usize, engine: &str, ended: &Ended) {
    let figures = ended.stdout.lines().filter_map(|line| line.split_once("] "));
    for (_, figure) in figures.filter(|(_, text)| !text.ends_with(": right")) {
        println!("{program}, {ranks} ranks, {engine}: {figure}");
    }
}

/// What `make test-programs` built.
fn built(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/test").join(program);
    assert!(path.is_file(), "there is no {}: run `make test-programs` first", path.display());
    path
}
