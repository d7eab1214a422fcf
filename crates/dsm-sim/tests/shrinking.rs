//! What is found in a long schedule is told in a short one.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that prints what it found")]

use dsm_core::Mutant;
use dsm_sim::{Counterexample, Replay, hunt_schedules, shrink, tell};

/// The first of the schedules from this seed on that finds the bug.
fn check(mutant: Mutant, seed: u64, most_steps: usize) {
    let found = hunt_schedules(mutant, seed..1_000).unwrap().counterexample;
    let short = shrink(&found);
    let steps = |run: &Counterexample| run.path.0.len();
    println!("{mutant:?}: {} steps, shrunk to {}\n{short}", steps(&found), steps(&short));
    assert_eq!(short.broken.promise, found.broken.promise);
    assert!(steps(&short) <= most_steps && short.setup.scripts.len() <= found.setup.scripts.len());
    let setup = short.setup.clone();
    let replay = Replay { setup, path: short.path }.to_string().parse::<Replay>().unwrap();
    assert!(tell(&replay.setup, &replay.path).trim_end().ends_with(&short.broken.how));
}

#[test]
fn a_long_run_becomes_short() {
    check(Mutant::SendBeforeProtect, 1, 9);
    // Schedule 4 finds it between locks that are only tried, which are not left out one by one.
    check(Mutant::AckBeforeGrant, 5, 40);
}

/// Too many states for a search of the shortest: what is left out one by one still helps.
#[test]
fn a_run_that_needs_many_ranks_becomes_short() {
    check(Mutant::QueueCut, 1, 100);
}
