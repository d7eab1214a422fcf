//! The end of serving: nobody stays stopped, nobody reads zeros, another start is possible.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod support;

use dsm_core::{Access, PageId};
use dsm_mem::{Choice, Faults, FaultsError, Layout, Region};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use support::{World, check, ending, role, run_self, start, stderr};

/// How serving ends.
const ENDS: [&str; 2] = ["stop", "drop"];

#[test]
fn a_stopped_thread_gets_sigsegv_and_never_zeros() {
    const TEST: &str = "a_stopped_thread_gets_sigsegv_and_never_zeros";
    if let Some(role) = role() {
        let (choice, end) = role.split_once(", ").unwrap();
        return end_while_a_thread_is_stopped(choice.parse().unwrap(), end);
    }
    for choice in [Choice::Uffd, Choice::Sigsegv] {
        for end in ENDS {
            let output = run_self(TEST, &format!("{choice}, {end}"));
            assert_eq!(ending(&output), Err(libc::SIGSEGV), "{choice}, {end}: {}", stderr(&output));
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                said.contains("to end") && !said.contains("thread read"),
                "{choice}, {end}: {said}"
            );
        }
    }
}

fn end_while_a_thread_is_stopped(choice: Choice, end: &str) {
    let mut world = World::new(choice, 4);
    world.fill(PageId(0), 1);
    let words = world.words();
    let readers: Vec<_> = (0..8).map(|at| start(move || words[at].load(Relaxed))).collect();
    let mut stopped = 0;
    // Half of the faults are read and half are not.
    while stopped < readers.len() / 2 {
        stopped += world.wait().len();
    }
    let World { region, faults, .. } = world;
    println!("to end");
    match end {
        "stop" => faults.stop().unwrap(),
        _ => drop(faults),
    }
    for reader in readers {
        println!("a stopped thread read {}", reader.join());
    }
    drop(region);
}

#[test]
fn every_access_after_the_end_is_an_ordinary_sigsegv() {
    const TEST: &str = "every_access_after_the_end_is_an_ordinary_sigsegv";
    if let Some(role) = role() {
        let world = World::new(role.parse().unwrap(), 1);
        world.fill(PageId(0), 1);
        world.install(PageId(0), Access::Write);
        let words = world.words();
        assert_eq!(words[0].load(Relaxed), 1);
        let World { region, faults, .. } = world;
        faults.stop().unwrap();
        // The content is still there for the driver.
        let mut content = Vec::new();
        region.copy_page(PageId(0), &mut content);
        assert_eq!(content[0], 1);
        println!("{}", words[0].load(Relaxed));
        return;
    }
    for choice in [Choice::Uffd, Choice::Sigsegv] {
        let output = run_self(TEST, &choice.to_string());
        assert_eq!(ending(&output), Err(libc::SIGSEGV), "{choice}: {}", stderr(&output));
    }
}

#[test]
fn a_process_serves_one_region_at_a_time_and_another_afterwards() {
    for _ in 0..3 {
        check(1, |world| {
            let base = world.region.base() + (1 << 30);
            let layout = Layout { base, bytes: 1, heap_bytes: 0 };
            let second = Arc::new(Region::reserve(layout).unwrap());
            let refused = Faults::start(second, Choice::Auto).unwrap_err();
            assert!(matches!(refused, FaultsError::Busy), "{refused}");

            let words = world.words();
            let writer = start(move || words[0].fetch_add(1, Relaxed));
            assert_eq!(world.serve(writer), 0);
        });
    }
}
