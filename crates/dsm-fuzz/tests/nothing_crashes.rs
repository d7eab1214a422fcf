//! A short campaign for each target; `dsm-fuzz run` makes long ones.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use dsm_fuzz::{Campaign, Target};

#[test]
fn no_target_crashes() {
    let (seed, runs) = (1, 200_000);
    for target in Target::ALL {
        println!("{target:?}: seed {seed}, {runs} inputs");
        assert_eq!(Campaign::new(target, seed).run(runs), Ok(()), "{target:?}");
    }
}
