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

/// The larger worlds are part of `make prove`.
#[test]
fn every_world_of_each_run_keeps_every_promise() {
    check(WORLDS.iter().filter(|world| world.when == When::Always));
}
