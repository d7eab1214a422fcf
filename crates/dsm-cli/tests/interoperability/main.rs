//! Every launcher x wrapper x library of the PR204 family, ours and the C peers of `tests/pr204`, in real jobs on this machine.
//!
//! `ranks` and `cells` are what is tried and what is right, `launches` has a test for each row of the matrix. How often each cell runs says
//! `DSM_MATRIX_RUNS`; see `scripts/interoperability`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what a test takes for granted fails the test")]
#![allow(clippy::print_stdout, reason = "the figures are part of the result")]

mod cells;
mod ends;
mod goldens;
#[path = "../jobs/harness.rs"]
#[allow(dead_code, reason = "the tests of jobs use the rest")]
mod harness;
mod launches;
mod ranks;
mod relayed;
mod streams;

use harness::{Place, Running, Watched};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

#[test]
fn the_c_peers_are_right_among_themselves() {
    let place = Place::local(1);
    let mut command =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/pr204/selftest.sh"));
    // Their bytes, their refusals, and all of their launches once.
    let cells = "^capture|, 2 ranks|^(nodes|cut|no-nul|port|rank-range)";
    command.args(["1", cells]).current_dir(place.dir());
    let ended = Running::start(command).end_within(Duration::from_secs(240));
    let ended = ended.unwrap_or_else(|hung| panic!("{hung}"));
    ended.assert_code(0);
    println!("{}", ended.stdout.lines().last().unwrap());
}

#[test]
fn what_a_job_leaves_behind_is_seen() {
    let place = Place::local(1);
    let mut command = Command::new("sh");
    command
        .args(["-c", "tail -f /dev/null >/dev/null 2>&1 & echo left $!"])
        .current_dir(place.dir());
    let mut running = Running::start(command);
    let left = Watched::last_words(&running.await_stdout("left", 1));
    running.wait().assert_code(0);
    let found = Watched::all_in(place.dir());
    assert_eq!(found.len(), 1);
    assert!(!found[0].is_gone_within(Duration::ZERO));
    left[0].kill(rustix::process::Signal::KILL);
    Watched::assert_gone_within(&found, cells::GONE);
    assert_eq!(Watched::all_in(place.dir()).len(), 0);
}

/// A program that `make test-programs` builds.
fn built(name: &str) -> PathBuf {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../bin")).join(name);
    let path = path.canonicalize();
    path.unwrap_or_else(|error| panic!("bin/{name}: {error}: run make test-programs"))
}

/// A C peer, or a program for them.
fn peer(name: &str) -> PathBuf {
    built(&format!("test/pr204/{name}"))
}
