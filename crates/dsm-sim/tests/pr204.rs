//! Ranks that speak as the PR204 family does keep what is promised, in every interleaving of small worlds.

#![allow(clippy::print_stdout, reason = "a test that says how much it looked at")]

use dsm_core::pr204::{Mutant, Profile};
use dsm_sim::pr204::{Found, Setup, explore, wander};
use dsm_sim::rng::Rng;
use std::collections::BTreeSet;

/// How many pages there are and, rank by rank and thread by thread, those it adds to; and how many requests
/// are repeated.
type World = (&'static str, Profile, u64, &'static [&'static [&'static [u64]]], u8);

const WORLDS: &[World] = &[
    ("two ranks, one page", Profile::Seed8, 1, &[&[&[0, 0]], &[&[0, 0]]], 0),
    ("two ranks cross", Profile::Seed8, 2, &[&[&[0, 1, 0]], &[&[1, 0, 1]]], 0),
    ("two ranks, two pages", Profile::Seed8, 2, &[&[&[0, 1, 1, 0]], &[&[0, 0, 1, 1]]], 0),
    ("two threads a rank", Profile::Seed8, 4, &[&[&[1, 0], &[3]], &[&[0, 1], &[2]]], 0),
    ("one page, two ranks", Profile::Bcast, 1, &[&[&[0, 0]], &[&[0, 0]]], 1),
    ("two pages, two ranks", Profile::Bcast, 2, &[&[&[0, 1], &[1]], &[&[1, 0], &[0]]], 0),
    ("one page, three ranks", Profile::Bcast, 1, &[&[&[0]], &[&[0]], &[&[0]]], 0),
    ("it comes back", Profile::Bcast, 1, &[&[&[0]], &[&[0, 0]], &[&[0, 0]]], 0),
    ("asked twice", Profile::Bcast, 1, &[&[], &[&[0, 0]], &[&[0]]], 1),
    ("two pages, three ranks", Profile::Bcast, 2, &[&[&[1]], &[&[0]], &[&[0, 1]]], 0),
    ("round and round", Profile::Bcast, 1, &[&[&[0, 0]], &[&[0, 0]], &[&[0, 0]]], 0),
    ("four ranks", Profile::Bcast, 1, &[&[], &[&[0]], &[&[0]], &[&[0]]], 0),
];

fn setup(&(_, profile, pages, scripts, retries): &World) -> Setup {
    Setup { retries, ..Setup::new(profile, pages, scripts) }
}

#[test]
fn every_interleaving_is_exact_and_ends() {
    for world in WORLDS {
        match explore(&setup(world), LIMIT) {
            Ok(exploration) => println!("{:24} {exploration}", world.0),
            Err(found) => panic!("{}: {found}", world.0),
        }
    }
}

const FOUR: &[&[u64]] = &[&[0; 4]];
const THREE: &[&[u64]] = &[&[0; 3]];
const TWO_THREADS: &[&[u64]] = &[&[0, 1, 2, 0], &[2, 1]];

/// Worlds in which only some schedules are looked at.
const LARGE_WORLDS: &[World] = &[
    ("two ranks", Profile::Seed8, 4, &[&[&[0, 1, 2, 3], &[3, 2]], &[&[3, 2, 1, 0], &[0, 1]]], 0),
    ("six ranks, one page", Profile::Bcast, 1, &[FOUR; 6], 0),
    ("six ranks, asked twice", Profile::Bcast, 1, &[THREE; 6], 4),
    ("eight ranks", Profile::Bcast, 3, &[TWO_THREADS; 8], 2),
];

fn wander_all(mutant: Option<Mutant>, seeds: u64) -> Result<(), (&'static str, u64, Found)> {
    for world in LARGE_WORLDS {
        let setup = Setup { mutant, ..setup(world) };
        for seed in 0..seeds {
            // Seeds are drawn from a seed: which connections are slow is in their bits.
            let drawn = Rng::new(seed).next();
            wander(&setup, drawn, 20_000).map_err(|found| (world.0, seed, found))?;
        }
    }
    Ok(())
}

#[test]
fn random_schedules_of_larger_worlds_are_exact_and_end() {
    println!("seeds 0 to 499 in each of {} worlds", LARGE_WORLDS.len());
    if let Err((world, seed, found)) = wander_all(None, 500) {
        panic!("{world}, seed {seed}: {found}");
    }
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = BTreeSet::from(Mutant::ALL);
    for mutant in Mutant::ALL {
        let found = WORLDS.iter().find_map(|world| {
            let setup = Setup { mutant: Some(mutant), ..setup(world) };
            explore(&setup, LIMIT).err().map(|found| (world.0, found))
        });
        let found = found.or_else(|| {
            let found = wander_all(Some(mutant), 500).err();
            found.map(|(world, _, found)| (world, found))
        });
        if let Some((world, found)) = found {
            println!("{mutant:?} in {world:?}: {} after {} steps", found.how, found.steps.len());
            missed.remove(&mutant);
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

const LIMIT: u32 = 20_000_000;
