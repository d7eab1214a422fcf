//! `faults`: a campaign of failures, each on real hosts, and what became of it.
#![forbid(unsafe_code)]

use anyhow::{Context, bail};
use clap::Parser;
use dsm_lab::{Campaign, Kind, seeds};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io::stdout;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Lets jobs fail in many ways, and checks each time that they go on with the right result or end as promised
///
/// Ctrl-C ends it early: runs that are under way come to their end, and what there is so far is told.
#[derive(Debug, Parser)]
#[command(name = "faults", version)]
struct Args {
    /// The campaign's seed: what goes wrong, when, and to whom
    #[arg(long, default_value = "1", value_parser = number)]
    seed: u64,
    /// How many runs
    #[arg(long, default_value_t = 200)]
    n: usize,
    /// Only with this fault engine: uffd or sigsegv
    #[arg(long)]
    engine: Option<String>,
    /// Only these kinds of fault; with a minus before them all others
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    only: Vec<String>,
    /// Runs at once, each on three hosts of its own
    #[arg(long, default_value_t = 6)]
    jobs: usize,
    /// One run again, by its own seed; with the --only and --engine it had
    #[arg(long, value_parser = number)]
    trial: Option<u64>,
    /// A line for each run
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let campaign = Campaign {
        seeds: args.trial.map_or_else(|| seeds(args.seed, args.n), |seed| vec![seed]),
        kinds: kinds(&args.only)?,
        engines: engines(args.engine.as_deref())?,
        at_once: if args.trial.is_some() { 1 } else { args.jobs },
        is_verbose: args.verbose,
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The first one lets the runs that are under way end, the second one does not.
        flag::register_conditional_default(signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for signals")?;
    }
    let is_right = campaign.run(&mut stdout(), &stop).context("cannot write")?;
    Ok(if is_right == Some(false) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn kinds(only: &[String]) -> anyhow::Result<Vec<Kind>> {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for word in only {
        let (name, list) = match word.strip_prefix('-') {
            Some(name) => (name, &mut unwanted),
            None => (&**word, &mut wanted),
        };
        let Some(kind) = Kind::named(name) else {
            let names: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
            bail!("there is no kind {name:?}; there are {}", names.join(", "));
        };
        list.push(kind);
    }
    let all = if wanted.is_empty() { Kind::ALL.to_vec() } else { wanted };
    Ok(all.into_iter().filter(|kind| !unwanted.contains(kind)).collect())
}

fn engines(engine: Option<&str>) -> anyhow::Result<Vec<&'static str>> {
    match engine {
        None => Ok(vec!["uffd", "sigsegv"]),
        Some("uffd") => Ok(vec!["uffd"]),
        Some("sigsegv") => Ok(vec!["sigsegv"]),
        Some(other) => bail!("there is no fault engine {other:?}; there are uffd and sigsegv"),
    }
}

/// Decimal, or hexadecimal after `0x`.
fn number(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}
