//! Runs fuzzing campaigns, and single inputs of theirs again.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use dsm_fuzz::{Campaign, Crash, Target};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

/// Feeds what dsm reads from strangers with what strangers could write.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Draw inputs from a seed and execute a target on each.
    Run {
        /// The targets; all if none is named.
        targets: Vec<Target>,
        /// Inputs for each target; for a handshake one in 50.
        #[arg(long, default_value_t = 1_000_000)]
        runs: u64,
        /// Where the inputs are drawn from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Execute a target on one input, given in hexadecimal.
    Replay {
        /// The target.
        target: Target,
        /// The input.
        input: String,
    },
}

fn main() -> io::Result<ExitCode> {
    match Options::parse().action {
        Action::Run { targets, runs, seed } => {
            let targets = if targets.is_empty() { Target::ALL.to_vec() } else { targets };
            run(&targets, runs, seed)
        }
        Action::Replay { target, input } => replay(target, &input),
    }
}

fn run(targets: &[Target], runs: u64, seed: u64) -> io::Result<ExitCode> {
    let mut out = io::stdout();
    writeln!(out, "seed {seed}, {runs} inputs a target")?;
    let mut crashed = false;
    for &target in targets {
        let (begun, runs) = (Instant::now(), target.affordable(runs));
        match Campaign::new(target, seed).run(runs) {
            Ok(()) => {
                let took = begun.elapsed();
                writeln!(out, "{}: {runs} inputs in {took:.1?}, no crash", name(target))?;
            }
            Err(Crash { after, input }) => {
                crashed = true;
                let input: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(out, "{}: crash after {after} inputs", name(target))?;
                writeln!(out, "again: dsm-fuzz replay {} {input}", name(target))?;
            }
        }
    }
    Ok(ExitCode::from(u8::from(crashed)))
}

/// A target that does not behave panics, as it did when the input was found.
fn replay(target: Target, input: &str) -> io::Result<ExitCode> {
    let bytes = (0..input.len()).step_by(2).map(|at| {
        let digits = input.get(at..at + 2)?;
        u8::from_str_radix(digits, 16).ok()
    });
    let Some(bytes) = bytes.collect::<Option<Vec<_>>>() else {
        writeln!(io::stderr(), "dsm-fuzz: the input is not hexadecimal: {input}")?;
        return Ok(ExitCode::from(64));
    };
    target.execute(&bytes);
    writeln!(io::stdout(), "{}: fine on {} bytes", name(target), bytes.len())?;
    Ok(ExitCode::SUCCESS)
}

fn name(target: Target) -> String {
    let value = clap::ValueEnum::to_possible_value(&target).expect("no target is hidden");
    value.get_name().to_owned()
}
