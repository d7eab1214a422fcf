//! A short campaign for each target; `dsm-fuzz run` makes long ones.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use dsm_fuzz::{Campaign, Target};

#[test]
fn no_target_crashes() {
    let seed = 1;
    for target in Target::ALL {
        let runs = target.affordable(200_000);
        println!("{target:?}: seed {seed}, {runs} inputs");
        assert_eq!(Campaign::new(target, seed).run(runs), Ok(()), "{target:?}");
    }
}
