//! Litmus tests on real ranks, for a small budget: no forbidden outcome, and the harness sees reordering.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod job;

use job::Ended;
use std::path::Path;

fn check(nodes: u16, fault: &str, args: &[&str]) -> String {
    let ended = job::run(env!("CARGO_BIN_EXE_dsm-litmus"), nodes, fault, args, Path::new("."));
    assert!(ended.iter().all(|rank| rank.code == Some(0)), "{ended:#?}");
    let Ended { stdout, stderr, .. } = &ended[0];
    println!("{stderr}{stdout}");
    stdout.clone()
}

fn shapes_of(nodes: u16, fault: &str) {
    let printed = check(nodes, fault, &["--instances", "20000"]);
    let last = printed.lines().last().unwrap();
    assert!(last.contains(" 0 forbidden"), "{last}");
    let control = printed.lines().find(|line| line.starts_with("positive control")).unwrap();
    assert!(!control.contains(" 0 of "), "{control}");
}

#[test]
fn two_ranks_uffd() {
    shapes_of(2, "uffd");
}

#[test]
fn two_ranks_sigsegv() {
    shapes_of(2, "sigsegv");
}

#[test]
fn three_ranks_uffd() {
    shapes_of(3, "uffd");
}

#[test]
fn four_ranks_sigsegv() {
    shapes_of(4, "sigsegv");
}

#[test]
fn one_batch_is_repeated_and_told_as_json() {
    let args = ["--json", "--seed", "3", "--batch", "5", "--shapes", "SB,MP", "--instances", "500"];
    let printed = check(2, "uffd", &args);
    assert!(printed.starts_with(r#"{"seed":3,"ranks":2,"#), "{printed}");
    // The sixth batch is of the second shape.
    assert!(printed.contains(r#"{"name":"SB","allowed":3,"outcomes":[]}"#), "{printed}");
    assert!(printed.contains(r#"{"name":"MP","allowed":3,"outcomes":[{"outcome":"#), "{printed}");
}

#[test]
fn what_cannot_be_tested_is_refused() {
    let refused = |nodes, args: &[&str], why: &str| {
        let ended = job::run(env!("CARGO_BIN_EXE_dsm-litmus"), nodes, "uffd", args, Path::new("."));
        assert!(ended.iter().all(|rank| rank.code != Some(0)), "{ended:#?}");
        assert!(ended[0].stderr.contains(why), "{ended:#?}");
    };
    refused(1, &[], "a job of 1 rank has nothing to test");
    refused(2, &["--shapes", "SB,XX"], "no shape is called \"XX\"");
}
