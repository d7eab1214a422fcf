//! The programs of `examples/`, as a reader would start them: on one to four ranks, with both fault engines. Each checks its
//! own result; here it is checked that they do, and say so.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what a test takes for granted fails the test")]
#![allow(clippy::print_stdout, reason = "the figures are part of the result")]

#[path = "../jobs/harness.rs"]
#[allow(dead_code, reason = "the tests of jobs use the rest")]
mod harness;
mod rust;

use harness::{Ended, Place, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::NamedTempFile;

#[test]
fn jacobi() {
    check("jacobi", &["96", "20"]);
}

#[test]
fn jacobi_by_columns() {
    check("jacobi", &["70", "6", "--columns"]);
}

#[test]
fn sor() {
    check("sor", &["64", "40"]);
}

#[test]
fn matmul() {
    check("matmul", &["130"]);
}

#[test]
fn lu_with_contiguous_blocks() {
    check("lu", &["128", "16"]);
}

#[test]
fn lu_by_rows() {
    check("lu", &["96", "16", "--rows"]);
}

#[test]
fn isort() {
    check("isort", &["20000", "3000"]);
}

#[test]
fn isort_that_scatters() {
    check("isort", &["20000", "3000", "--scatter"]);
}

#[test]
fn ep() {
    check("ep", &["100000"]);
}

#[test]
fn quicksort() {
    check("quicksort", &["20000", "500"]);
}

#[test]
fn tsp() {
    check("tsp", &["10"]);
}

#[test]
fn barnes() {
    check("barnes", &["100", "2"]);
}

#[test]
fn hashmap() {
    check("hashmap", &["300", "50"]);
}

#[test]
fn wordcount_of_words_made_up() {
    check("wordcount", &["10000"]);
}

#[test]
fn wordcount_of_a_file() {
    let file = NamedTempFile::new().unwrap();
    // Words straddle the borders between ranks, whatever their number; the last one ends with the file.
    fs::write(&file, "One two, THREE-two!\n".repeat(1000) + "two").unwrap();
    for ended in check("wordcount", &[text(file.path())]) {
        assert!(ended.stdout.contains(" 20003 bytes, most often 'two' (2001): ok, "), "{ended}");
    }
}

#[test]
fn pipeline_with_condition_variables() {
    check("pipeline", &["60", "5"]);
}

#[test]
fn pipeline_with_semaphores() {
    check("pipeline", &["60", "5", "--semaphores"]);
}

#[test]
fn pi_with_words_on_one_page() {
    check("pi", &["200000"]);
}

#[test]
fn pi_with_a_page_for_each_word() {
    check("pi", &["200000", "--padded"]);
}

#[test]
fn the_smallest_sizes() {
    for (name, arguments) in [
        ("jacobi", &["3", "1"][..]),
        ("sor", &["3", "1"]),
        ("matmul", &["1"]),
        ("lu", &["1", "1"]),
        ("isort", &["1", "1"]),
        ("isort", &["1", "1", "--scatter"]),
        ("ep", &["1"]),
        ("quicksort", &["1", "2"]),
        ("tsp", &["1"]),
        ("barnes", &["1", "1"]),
        ("hashmap", &["1", "1"]),
        ("wordcount", &["0"]),
        ("pipeline", &["1", "2"]),
        ("pi", &["1"]),
    ] {
        check_job(name, arguments, "auto", 3);
    }
}

#[test]
fn costs_has_a_line_for_each_operation() {
    for (engine, ranks) in ENGINES.into_iter().flat_map(|engine| [(engine, 2), (engine, 3)]) {
        let ended = run("costs", &["50"], engine, ranks);
        let lines: Vec<_> = ended.stdout.lines().collect();
        let (verdict, operations) = lines.split_last().unwrap();
        assert!(verdict.contains(" ranks, 50 uses each: ok, "), "{ended}");
        assert!(operations.len() == 10 && operations.iter().all(|line| line.contains(" us  ")));
        print!("{engine}, {ranks} ranks:\n{}", ended.stdout);
    }
}

#[test]
fn mistakes_in_arguments_are_told_before_anything_starts() {
    assert_is_refused("lu");
    let output = Command::new(program("lu")).arg("--help").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.starts_with(b"usage: lu [SIZE] [BLOCK] [--rows]\n"), "{output:?}");
}

/// lu, in C or in Rust, refuses what it cannot take.
#[track_caller]
fn assert_is_refused(name: &str) {
    for (arguments, words) in [
        (&["0"][..], "cannot take the argument '0'"),
        (&["16", "4", "2"], "cannot take the argument '2'"),
        (&["--columns"], "cannot take the argument '--columns'"),
        (&["16", "5"], "SIZE 16 is not a multiple of BLOCK 5"),
    ] {
        let output = Command::new(program(name)).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
    }
}

/// Runs a program alone, and on one to four ranks with each engine; gives the jobs.
fn check(name: &str, arguments: &[&str]) -> Vec<Ended> {
    let output = Command::new(program(name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name} alone: {output:?}");
    assert_is_right(name, 1, &String::from_utf8_lossy(&output.stdout));
    let jobs = ENGINES.into_iter().flat_map(|engine| (1..=4).map(move |ranks| (engine, ranks)));
    jobs.map(|(engine, ranks)| check_job(name, arguments, engine, ranks)).collect()
}

fn check_job(name: &str, arguments: &[&str], engine: &str, ranks: usize) -> Ended {
    let ended = run(name, arguments, engine, ranks);
    assert_is_right(name, ranks, &ended.stdout);
    print!("{engine}: {}", ended.stdout);
    ended
}

fn run(name: &str, arguments: &[&str], engine: &str, ranks: usize) -> Ended {
    let program = program(name);
    let mut words = vec![text(&program)];
    words.extend(arguments);
    let options = ["--tag", "none", "--fault", engine, "--size", "64M"];
    let ended = Place::local(ranks).run(&options, &words);
    ended.assert_code(0);
    assert_eq!(ended.stderr, "", "{ended}");
    ended
}

/// A program writes one line: its name, ranks, size, verdict, time, faults and messages.
#[track_caller]
fn assert_is_right(name: &str, ranks: usize, stdout: &str) {
    let name = name.trim_end_matches("-rs");
    let begin = format!("{name}: {ranks} rank{}, ", if ranks == 1 { "" } else { "s" });
    let is_right = stdout.starts_with(&begin)
        && stdout.contains(": ok, ")
        && stdout.ends_with(" messages\n")
        && stdout.lines().count() == 1;
    assert!(is_right, "{name} on {ranks} ranks wrote:\n{stdout}");
}

/// An example that `make` built.
fn program(name: &str) -> PathBuf {
    let path = root().join("bin").join(name);
    assert!(path.is_file(), "there is no program {name}: run `make` first");
    path
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

const ENGINES: [&str; 2] = ["uffd", "sigsegv"];
