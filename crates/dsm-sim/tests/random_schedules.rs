//! Seeded random schedules of larger worlds keep every promise, and a seed repeats its run.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use dsm_core::Mutant;
use dsm_sim::{drawn_setup, roam, tell};
use std::time::Instant;

fn check(first_seed: u64) {
    println!("seeds from {first_seed}: dsm-sim run --seed {first_seed} --schedules {SCHEDULES}");
    let start = Instant::now();
    let (mut steps, mut longest) = (0, 0);
    for seed in first_seed..first_seed + SCHEDULES {
        match roam(seed, None) {
            Ok(roamed) => {
                steps += roamed.path.0.len();
                longest = roamed.longest_wait.max(longest);
            }
            Err(why) => panic!("repeat with dsm-sim replay --seed {seed}\n{why}"),
        }
    }
    let took = start.elapsed();
    println!("{SCHEDULES} schedules, {steps} steps, longest wait {longest} steps, {took:.1?}");
}

#[test]
fn a_first_batch() {
    check(1);
}

#[test]
fn a_second_batch() {
    check(1_000_001);
}

const SCHEDULES: u64 = 10_000;

/// The engine is a function of its inputs and the schedule of its seed, so a seed repeats its run.
#[test]
fn a_seed_repeats_its_run() {
    for seed in 1..50 {
        assert_eq!(roam(seed, None).unwrap(), roam(seed, None).unwrap());
        let told = || roam(seed, Some(Mutant::GrantBeforeAcks)).map_err(|found| found.to_string());
        assert_eq!(told(), told());
    }
}

#[test]
fn twenty_seeds_give_the_same_events_twice() {
    for seed in 1_000..1_020 {
        let events = || tell(&drawn_setup(seed, None), &roam(seed, None).unwrap().path);
        assert!(events().lines().count() > 10);
        assert_eq!(events(), events());
    }
}
