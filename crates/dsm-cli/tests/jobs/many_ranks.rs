//! Jobs of so many ranks that not all of them arrive at one.

use crate::harness::{Place, text};
use std::path::{Path, PathBuf};

#[test]
fn sixteen_ranks_pass_no_barrier_before_all_are_there() {
    for engine in ["uffd", "sigsegv"] {
        let place = Place::local(16);
        let path = built("barriers");
        let ended = place.run(&["--fault", engine], &[text(&path), "500", "1", "1"]);
        ended.assert_code(0);
        let right = ended.stdout.lines().filter(|line| line.ends_with("] barriers: right"));
        assert_eq!(right.count(), 16, "{ended}");
    }
}

#[test]
fn sixty_four_ranks_start_pass_barriers_and_end() {
    let place = Place::local(64);
    let ended = place.run(&[], &[text(&built("barriers")), "20", "1", "1"]);
    ended.assert_code(0);
    let right = ended.stdout.lines().filter(|line| line.ends_with("] barriers: right"));
    assert_eq!(right.count(), 64, "{ended}");
    println!("64 ranks, 20 barriers: {:.1} s from start to end", ended.took.as_secs_f64());
}

/// The last of twelve ranks arrives at rank 1, which does not come; so rank 0 has to tell it.
#[test]
fn who_waits_at_the_barrier_hears_of_who_leaves_though_nobody_else_comes() {
    let place = Place::local(12);
    let ended = place.run(&[], &[built("leaver")]);
    ended
        .assert_code(76)
        .assert_stderr(&["rank 2 called dsm_finalize while rank 11 waits at dsm_barrier"]);
}

/// What `make test-programs` built.
fn built(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/test").join(program);
    assert!(path.is_file(), "there is no {}: run `make test-programs` first", path.display());
    path
}
