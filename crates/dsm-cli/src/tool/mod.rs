//! `dsm`: what a person wants to know beside running jobs.

mod checks;
mod doctor;
mod trial;

use crate::bench;
use clap::{Parser, Subcommand};
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Tells what this machine can do for dsm.
#[derive(Debug, Parser)]
#[command(name = "dsm", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Try everything dsm needs of this machine, and run a job of two ranks on it
    ///
    /// Exits with 0 if a job can run here, with 1 if not. What is only slower or lesser than it could
    /// be is told with what would mend it.
    Doctor,
    /// Measure what faults, locks, barriers and scans cost, beside a TCP round trip of the same run
    ///
    /// Exits with 0 also if targets are missed, with 1 if it cannot measure. docs/performance.md says what the
    /// lines mean.
    Bench(bench::Options),
    /// Be a rank of a bench job
    #[command(hide = true)]
    BenchRank {
        /// What to measure, as JSON
        spec: String,
    },
    /// Be a rank of the doctor's job
    #[command(hide = true)]
    Trial,
}

/// Runs the tool with these arguments, argv\[0\] included.
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match Arguments::try_parse_from(arguments) {
        Ok(Arguments { what: What::Doctor }) => doctor::run(),
        Ok(Arguments { what: What::Bench(options) }) => bench::run(&options),
        Ok(Arguments { what: What::BenchRank { spec } }) => end(bench::be_a_rank(&spec)),
        Ok(Arguments { what: What::Trial }) => end(trial::be_a_rank()),
        Err(error) => {
            // Nobody is left to be told that nobody listens.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS }
        }
    }
}

/// The exit code of a rank.
fn end(outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The exit code says it too.
            let _ = writeln!(io::stderr(), "dsm: {error}");
            ExitCode::FAILURE
        }
    }
}
