//! Every state of small worlds keeps every promise.

#![allow(clippy::print_stdout, reason = "the figures are what a reader of the log looks for")]

use dsm_sim::{Limits, NamedWorld, WORLDS, When, explore};
use std::time::Instant;

fn check(worlds: impl Iterator<Item = &'static NamedWorld>) {
    for world in worlds {
        let (name, start) = (world.name, Instant::now());
        match explore(&world.setup(None), Limits::default()) {
            Ok(e) => println!("{name:16} {e} in {:.1?}", start.elapsed()),
            Err(counterexample) => panic!("world {name}: {counterexample}"),
        }
    }
}

fn always() -> impl Iterator<Item = &'static NamedWorld> {
    WORLDS.iter().filter(|world| world.when == When::Always)
}

// The largest worlds of every run take half the time: two cores are busy with one test each.

#[test]
fn most_worlds_keep_every_promise() {
    check(always().filter(|world| !LARGEST.contains(&world.name)));
}

#[test]
fn the_largest_worlds_keep_every_promise() {
    check(always().filter(|world| LARGEST.contains(&world.name)));
}

const LARGEST: [&str; 3] = ["3x1-threads", "3x2-move-hold", "2x1-real"];
