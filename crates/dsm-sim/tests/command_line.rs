//! What the command prints and exits with; what it prints to repeat a run repeats it.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;

/// Runs `dsm-sim` with these words and gives what it printed.
fn check(words: &str, exit_code: i32) -> String {
    let args = words.split_whitespace().map(|word| word.replace('_', " "));
    let output = Command::new(env!("CARGO_BIN_EXE_dsm-sim")).args(args).output().unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(exit_code), "dsm-sim {words} printed:\n{printed}");
    printed
}

#[test]
fn a_world_without_a_bug() {
    let printed = check("explore 2x1 2x1-hold", 0);
    assert!(printed.starts_with("2x1  ") && printed.contains(" states, "), "{printed}");
    check("explore --scripts r0_w0_|_w0 --hold timed --arrival split --faults posted", 0);
}

#[test]
fn a_counterexample_can_be_replayed() {
    let found = check("explore 2x1 --mutant SendBeforeProtect", 1);
    let (_, repeat) = found.trim_end().rsplit_once("repeat with: dsm-sim ").unwrap();
    let told = check(repeat, 0);
    let why = "SingleWriter broken: page 0 has 2 writers and 0 readers";
    assert!(found.contains(why) && told.trim_end().ends_with(why), "{found}\n{told}");
    assert!(told.contains("      | rank 0 ") && told.contains(" | rank 1\n"), "{told}");
}

#[test]
fn a_random_run_says_first_how_to_repeat_it_and_then_in_short() {
    let printed = check("run --seed 3 --schedules 3", 0);
    assert!(
        printed.starts_with("seeds 3 to 5, repeat one with: dsm-sim replay --seed"),
        "{printed}"
    );
    let found = check("run --seed 3 --schedules 9 --mutant OwnerKeepsCopy", 1);
    let (long, short) = found.split_once("shrunk: ").unwrap();
    let repeat = |text: &str| {
        let mut lines = text.lines().rev();
        lines.find_map(|line| line.strip_prefix("repeat with: dsm-sim ")).unwrap().to_owned()
    };
    let told = check(&repeat(long), 1);
    let trace = |text: &str| text.lines().filter(|l| l.starts_with(' ')).collect::<String>();
    assert_eq!(trace(long), trace(&told));
    let told_short = check(&repeat(short), 0);
    assert_eq!(trace(short), trace(&told_short));
    assert!(trace(short).len() < trace(long).len(), "{found}");
    assert!(short.contains("SingleWriter broken") && short.contains("after 10 steps"), "{short}");
}

#[test]
fn wrong_usage_is_refused() {
    assert!(check("explore nowhere", 2).contains("see dsm-sim worlds"));
    assert!(check("explore --scripts ?", 2).contains("expected an operation"));
    assert!(check("explore 2x1 --mutant Typo", 2).contains("SendBeforeProtect"));
    assert!(check("replay", 2).contains("<RUN>"));
    assert!(check("replay 1:Typo:r0:", 2).contains("a planted bug"));
}

#[test]
fn help_has_examples() {
    let printed = check("--help", 0);
    assert!(printed.contains("Examples:") && printed.contains("Exit codes"), "{printed}");
    assert_eq!(check("worlds", 0).lines().count(), dsm_sim::WORLDS.len());
}
