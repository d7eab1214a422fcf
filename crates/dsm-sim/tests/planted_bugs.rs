//! The simulator sees: every planted bug is found, by exploring and by random schedules. The engine
//! without it is flawless in the same worlds and schedules; the other tests say so.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that prints what it found")]

use dsm_core::Mutant;
use dsm_sim::{Limits, NamedWorld, Promise, Watch, explore, hunt_schedules, hunt_states};

fn check_states(mutants: impl Iterator<Item = Mutant>, watch: Watch) {
    for mutant in mutants {
        let found = hunt_states(mutant, watch).unwrap_or_else(|| panic!("{mutant:?} not found"));
        let (world, steps) = (found.place.name, found.counterexample.path.0.len());
        let promise = found.counterexample.broken.promise;
        println!("{mutant:?}: {promise:?} in world {world} after {steps} steps, watch {watch:?}");
    }
}

/// For QueueCut two ranks must wait behind a writer: a world too large for every run. `make prove` explores it.
fn found_in_small_worlds() -> impl Iterator<Item = Mutant> {
    every_mutant().filter(|mutant| *mutant != Mutant::QueueCut)
}

fn every_mutant() -> impl Iterator<Item = Mutant> {
    Mutant::ALL.iter().copied()
}

#[test]
fn there_are_many() {
    assert!(Mutant::ALL.len() >= 90, "{}", Mutant::ALL.len());
    assert!(every_mutant().all(|mutant| mutant.what().len() > 20));
}

#[test]
fn monitors_find_them_in_small_worlds() {
    check_states(found_in_small_worlds(), Watch::Everything);
}

/// Loads that run between the outputs of a driver find what monitors find, a few steps later; so do threads
/// that have a lock together, wait for ever, or get what there is not.
#[test]
fn programs_notice_them_in_small_worlds() {
    let noticed = found_in_small_worlds().filter(|mutant| !UNNOTICED.contains(mutant));
    check_states(noticed, Watch::Program);
}

/// A hold time cut short, or a page kept too long, breaks no program, it only may keep one from getting on;
/// programs look again when they are woken and when a lock they try is said to be free; and they know no
/// order in which they came.
const UNNOTICED: [Mutant; 7] = [
    Mutant::HoldIgnored,
    Mutant::PinForgotten,
    Mutant::WakeUpSpurious,
    Mutant::LeaverMisled,
    Mutant::FirstProbeEnough,
    Mutant::SignalToLast,
    Mutant::PostToLast,
];

#[test]
fn random_schedules_find_them() {
    for mutant in every_mutant() {
        let found =
            hunt_schedules(mutant, 1..1_000).unwrap_or_else(|| panic!("{mutant:?} not found"));
        let promise = found.counterexample.broken.promise;
        println!("{mutant:?}: {promise:?} by schedule {}", found.place);
    }
}

/// The two that the design names, with their shortest traces.
#[test]
fn the_shortest_trace_to_the_classic_bugs() {
    let check = |mutant, promise, steps| {
        let world = NamedWorld::find("3x1").unwrap();
        let counterexample = explore(&world.setup(Some(mutant)), Limits::default()).unwrap_err();
        println!("{mutant:?}: {counterexample}");
        assert_eq!(counterexample.broken.promise, promise);
        assert_eq!(counterexample.path.0.len(), steps);
    };
    check(Mutant::SendBeforeProtect, Promise::SingleWriter, 9);
    check(Mutant::GrantBeforeAcks, Promise::SingleWriter, 13);
}
