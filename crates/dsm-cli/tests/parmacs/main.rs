//! Programs with PARMACS macros, from `tests/parmacs`, built as a user would build them: with m4, the macro file, a C compiler and
//! the libraries that `make` left in `lib/`. Each program checks its own result; here it is checked that they do, and say so.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what a test takes for granted fails the test")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the figures are part of the result")]

#[path = "../jobs/harness.rs"]
#[allow(dead_code, reason = "the tests of jobs use the rest")]
mod harness;

mod built;
mod macros;
mod misuse;
mod variables;

use built::{Built, root};
use harness::{Ended, Place};
use std::fs;

#[test]
fn a_grid_solver_of_two_files() {
    check(Built::of(&["ocean.C", "relax.C"], &["ocean.H"], &[]), "ocean", &["-s40"]);
}

#[test]
fn a_factorisation_in_the_older_manner() {
    check(Built::of(&["lu.C"], &[], &[]), "lu", &[]);
}

#[test]
fn workers_allocate_a_tree_with_a_lock_in_each_node() {
    check(Built::of(&["tasks.C"], &[], &[]), "tasks", &["-n1000"]);
}

#[test]
fn pauses_subscripts_semaphores_and_condition_variables() {
    check(Built::of(&["phases.C"], &[], &[]), "phases", &[]);
}

#[test]
fn atomics_of_splash_4() {
    check(Built::with(&["splash4.C"], &[], &["-P", "-DSPLASH4"], &[]), "splash4", &[]);
}

#[test]
fn the_example_of_the_documentation() {
    let source = fs::read_to_string(root().join("tests/parmacs/pi.C")).unwrap();
    let page = fs::read_to_string(root().join("docs/parmacs.md")).unwrap();
    assert!(page.contains(&format!("```c\n{source}```\n")), "docs/parmacs.md shows another pi.C");
    let Some(built) = Built::of(&["pi.C"], &[], &[]) else { return };
    for (ranks, instances) in [(3, "3"), (3, "8"), (1, "2")] {
        let ended = built.job(ranks, "auto", &[instances]);
        let line = format!("{instances} processes: pi is about 3.1415926536\n");
        assert_eq!(ended.assert_code(0).stdout, line, "{ended}");
        assert!(page.contains(&line), "docs/parmacs.md does not show {line}");
    }
}

/// Runs a program alone, and on one to four ranks with each engine, with one instance a rank and with seven.
fn check(built: Option<Built>, name: &str, arguments: &[&str]) {
    let Some(built) = built else { return };
    let output = built.alone(&[&["-p3"], arguments].concat());
    assert_is_right(name, 3, &String::from_utf8_lossy(&output.stdout));
    for (engine, ranks) in ENGINES.into_iter().flat_map(|engine| (1..=4).map(move |n| (engine, n)))
    {
        for instances in [ranks, 7] {
            let processes = format!("-p{instances}");
            let ended = built.job(ranks, engine, &[&[processes.as_str()], arguments].concat());
            assert_is_right(name, instances, &ended.assert_code(0).stdout);
            print!("{engine}, {ranks} ranks, {:?}: {}", ended.took, ended.stdout);
        }
    }
}

#[track_caller]
fn assert_is_right(name: &str, instances: usize, stdout: &str) {
    let is_verdict = |line: &&str| line.starts_with(name) && line.ends_with(", right");
    let verdicts: Vec<_> = stdout.lines().filter(is_verdict).collect();
    assert!(matches!(verdicts[..], [one] if one.contains(&format!(" {instances} "))), "{stdout}");
}

/// A job of `sh -c script`, whose ranks may be different programs.
fn job_of_script(ranks: usize, script: &str) -> Ended {
    Place::local(ranks).run(&["--tag", "none"], &["sh", "-c", script])
}

const ENGINES: [&str; 2] = ["auto", "sigsegv"];
