//! No page is seen half filled and no store is lost, however the driver and the threads interleave.
//! Each test has a control: the same check finds the error in a driver that makes it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod support;

use dsm_core::{Access, PageId};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, compiler_fence};
use std::time::Instant;
use support::{DEADLINE, Thread, World, check, start};

const PAGE: PageId = PageId(0);

/// How the driver replaces a page.
#[derive(Clone, Copy, PartialEq)]
enum Replace {
    FillThenInstall,
    /// The error.
    InstallThenFill,
}

/// Two threads read one page all the time while the driver replaces it, `rounds` times, by a page of
/// the round's number. Whatever they read later is never an earlier page. Returns the first violation.
fn race_readers(world: &mut World, replace: Replace, rounds: u64) -> Option<(u64, u64)> {
    let words = world.words();
    let over = Arc::new(AtomicBool::new(false));
    let found = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| (Arc::clone(&over), Arc::clone(&found)))
        .map(|(over, found)| start(move || read_on(words, &over, &found)))
        .collect();
    let began = Instant::now();
    for round in 1..=rounds {
        world.faults.protect(PAGE, Access::None).unwrap();
        if found.load(SeqCst) || began.elapsed() > DEADLINE {
            break;
        }
        world.wait();
        match replace {
            Replace::FillThenInstall => {
                world.fill(PAGE, round);
                world.install(PAGE, Access::Read);
            }
            Replace::InstallThenFill => {
                world.install(PAGE, Access::Read);
                world.fill(PAGE, round);
            }
        }
        world.pending();
    }
    over.store(true, SeqCst);
    let violations: Vec<_> = readers.into_iter().map(|reader| world.serve(reader)).collect();
    violations.into_iter().flatten().next()
}

/// Reads all words, again and again, until it is over.
fn read_on(words: &[AtomicU64], over: &AtomicBool, found: &AtomicBool) -> Option<(u64, u64)> {
    let mut newest = 0;
    let mut violation = None;
    while !over.load(Relaxed) {
        for word in words {
            let seen = word.load(Relaxed);
            if seen < newest {
                violation = Some((newest, seen));
                found.store(true, SeqCst);
            }
            newest = seen;
        }
    }
    violation
}

#[test]
fn a_page_is_never_seen_half_filled() {
    check(1, |world| assert_eq!(race_readers(world, Replace::FillThenInstall, 300), None));
}

#[test]
fn the_race_of_readers_finds_pages_that_are_opened_too_early() {
    check(1, |world| {
        assert_ne!(race_readers(world, Replace::InstallThenFill, u64::MAX), None);
    });
}

/// What the driver takes away before it copies a page.
#[derive(Clone, Copy, PartialEq)]
enum Take {
    Writing,
    Everything,
    /// The error.
    Nothing,
}

/// Three threads count up in one page while the driver copies it, `rounds` times. A thread notes each
/// store after it. Returns the first store that was done and is not in the copy.
fn race_writers(world: &mut World, take: Take, rounds: u64) -> Option<(u64, u64)> {
    let words = world.words();
    let over = Arc::new(AtomicBool::new(false));
    let notes: [_; 3] = std::array::from_fn(|_| Arc::new(AtomicU64::new(0)));
    let writers: Vec<Thread<()>> = (0..)
        .step_by(100)
        .zip(&notes)
        .map(|(at, note)| (at, Arc::clone(note), Arc::clone(&over)))
        .map(|(at, note, over)| start(move || write_on(&words[at], &note, &over)))
        .collect();
    world.faults.install(PAGE, Access::Write).unwrap();
    let mut lost = None;
    let began = Instant::now();
    for _ in 0..rounds {
        match take {
            Take::Writing => world.faults.protect(PAGE, Access::Read).unwrap(),
            Take::Everything => world.faults.protect(PAGE, Access::None).unwrap(),
            Take::Nothing => (),
        }
        let copy = world.copy(PAGE);
        for (at, note) in (0..).step_by(100).zip(&notes) {
            let done = note.load(SeqCst);
            if done > copy[at] {
                lost = Some((done, copy[at]));
            }
        }
        match take {
            Take::Writing => world.faults.protect(PAGE, Access::Write).unwrap(),
            Take::Everything => world.faults.install(PAGE, Access::Write).unwrap(),
            Take::Nothing => (),
        }
        world.faults.resume(PAGE).unwrap();
        world.pending();
        if lost.is_some() || began.elapsed() > DEADLINE {
            break;
        }
    }
    over.store(true, SeqCst);
    for writer in writers {
        world.serve(writer);
    }
    println!("{} stores", notes.iter().map(|note| note.load(SeqCst)).sum::<u64>());
    lost
}

fn write_on(word: &AtomicU64, note: &AtomicU64, over: &AtomicBool) {
    for count in 1.. {
        word.store(count, Relaxed);
        compiler_fence(SeqCst);
        note.store(count, Relaxed);
        if over.load(Relaxed) {
            return;
        }
    }
}

#[test]
fn no_store_is_lost_when_writing_is_taken_away() {
    check(1, |world| assert_eq!(race_writers(world, Take::Writing, 10_000), None));
}

#[test]
fn no_store_is_lost_when_the_page_is_taken_away() {
    check(1, |world| assert_eq!(race_writers(world, Take::Everything, 10_000), None));
}

#[test]
fn the_race_of_writers_finds_copies_that_are_taken_too_early() {
    check(1, |world| assert_ne!(race_writers(world, Take::Nothing, u64::MAX), None));
}
