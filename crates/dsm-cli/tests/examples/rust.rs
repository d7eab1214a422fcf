//! The same programs in Rust: `crates/dsm/examples/NAME.rs`, which `make` builds as `bin/NAME-rs`.

use super::{assert_is_refused, check, check_job, program};
use crate::harness::text;
use std::fs;
use std::process::Command;
use tempfile::NamedTempFile;

#[test]
fn jacobi() {
    check("jacobi-rs", &["96", "20"]);
}

#[test]
fn sor() {
    check("sor-rs", &["64", "40"]);
}

#[test]
fn matmul() {
    check("matmul-rs", &["130"]);
}

#[test]
fn lu() {
    check("lu-rs", &["96", "16"]);
}

#[test]
fn isort() {
    check("isort-rs", &["20000", "3000"]);
}

#[test]
fn ep() {
    check("ep-rs", &["100000"]);
}

#[test]
fn quicksort() {
    check("quicksort-rs", &["20000", "500"]);
}

#[test]
fn tsp() {
    check("tsp-rs", &["10"]);
}

#[test]
fn barnes() {
    check("barnes-rs", &["100", "2"]);
}

#[test]
fn hashmap() {
    check("hashmap-rs", &["300", "50"]);
}

#[test]
fn wordcount_of_words_made_up() {
    check("wordcount-rs", &["10000"]);
}

#[test]
fn wordcount_of_a_file() {
    let file = NamedTempFile::new().unwrap();
    // Words straddle the borders between ranks, whatever their number; the last one ends with the file.
    fs::write(&file, "One two, THREE-two!\n".repeat(1000) + "two").unwrap();
    for ended in check("wordcount-rs", &[text(file.path())]) {
        assert!(ended.stdout.contains(" 20003 bytes, most often 'two' (2001): ok, "), "{ended}");
    }
}

#[test]
fn wordcount_of_no_file_ends_the_job() {
    let program = program("wordcount-rs");
    let ended = super::Place::local(2).run(&["--tag", "none"], &[text(&program), "no/such/file"]);
    ended.assert_code(1);
    assert!(ended.stderr.contains("wordcount: cannot read no/such/file: No such file"), "{ended}");
}

#[test]
fn pipeline_with_condition_variables() {
    check("pipeline-rs", &["60", "5"]);
}

#[test]
fn pipeline_with_semaphores() {
    check("pipeline-rs", &["60", "5", "--semaphores"]);
}

#[test]
fn the_smallest_sizes() {
    for (name, arguments) in [
        ("jacobi-rs", &["3", "1"][..]),
        ("sor-rs", &["3", "1"]),
        ("matmul-rs", &["1"]),
        ("lu-rs", &["1", "1"]),
        ("isort-rs", &["1", "1"]),
        ("ep-rs", &["1"]),
        ("quicksort-rs", &["1", "2"]),
        ("tsp-rs", &["1"]),
        ("barnes-rs", &["1", "1"]),
        ("hashmap-rs", &["1", "1"]),
        ("wordcount-rs", &["0"]),
        ("pipeline-rs", &["1", "2"]),
    ] {
        check_job(name, arguments, "auto", 3);
    }
}

#[test]
fn mistakes_in_arguments_are_told_before_anything_starts() {
    assert_is_refused("lu-rs");
    let output = Command::new(program("pipeline-rs")).arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(help.starts_with("usage: pipeline [BLOCKS] [STAGES] [--semaphores]\n"), "{help}");
}
