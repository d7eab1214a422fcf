//! Every state of small worlds keeps every promise.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use dsm_sim::{Limits, WORLDS, explore};
use std::time::Instant;

fn check(name: &str) {
    let world = WORLDS.iter().find(|world| world.name == name).unwrap();
    let start = Instant::now();
    match explore(&world.setup(None).unwrap(), Limits { states: 5_000_000 }) {
        Ok(e) => println!("{name}: {e:?} in {:.1?}", start.elapsed()),
        Err(counterexample) => panic!("world {name}: {counterexample}"),
    }
}

#[test]
fn two_ranks_one_page() {
    check("2x1");
}

#[test]
fn three_ranks_one_page() {
    check("3x1");
}

#[test]
fn three_ranks_two_pages() {
    check("3x2");
}
