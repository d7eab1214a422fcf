//! A short campaign for each target; `dsm-fuzz run` makes long ones.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use dsm_fuzz::{Campaign, Target};

#[test]
fn no_target_crashes() {
    let seed = 1;
    for target in Target::ALL {
        // A handshake costs more than all that is read elsewhere.
        let runs = if target == Target::Handshake { 20_000 } else { 200_000 };
        println!("{target:?}: seed {seed}, {runs} inputs");
        assert_eq!(Campaign::new(target, seed).run(runs), Ok(()), "{target:?}");
    }
}
