//! Every pair of a state and what reaches it that the rules call possible occurs; none other does, and the
//! engine answers to those as the rules say.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that prints what it found")]

use dsm_sim::{Coverage, WORLDS};

#[test]
fn every_situation_occurs_or_cannot() {
    let mut coverage = Coverage::default();
    for world in WORLDS.iter().filter(|world| world.is_small()) {
        coverage.explore(&world.setup(None)).unwrap();
    }
    println!("seeds from 1");
    (1..2_000).for_each(|seed| coverage.roam(seed).unwrap());
    coverage.crowd_known().unwrap();
    let gaps = coverage.gaps();
    assert!(gaps.is_empty(), "{coverage}\n{gaps:#?}");
    let (can, did) = coverage.figures();
    println!("{did} of {can} situations");
    assert!(can >= 250 && can == did);
}
