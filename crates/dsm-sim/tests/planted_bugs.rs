//! The monitors see: every planted bug is found, in worlds where the engine without it is flawless.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use dsm_core::Mutant;
use dsm_sim::{Limits, Promise, WORLDS, explore};

fn check(name: &str, mutant: Mutant, promise: Promise) {
    let world = WORLDS.iter().find(|world| world.name == name).unwrap();
    let found = explore(&world.setup(Some(mutant)).unwrap(), Limits { states: 5_000_000 });
    let counterexample = found.expect_err("the planted bug is found");
    println!("{mutant:?} in world {name}: {counterexample}");
    assert_eq!(counterexample.broken.promise, promise);
    explore(&world.setup(None).unwrap(), Limits { states: 5_000_000 }).unwrap();
}

#[test]
fn a_page_sent_before_it_is_protected() {
    check("2x1", Mutant::SendBeforeProtect, Promise::SingleWriter);
}

#[test]
fn a_page_granted_before_the_acks() {
    check("3x1", Mutant::GrantBeforeAcks, Promise::SingleWriter);
}
