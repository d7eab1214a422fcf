//! Random programs across the ranks of a job, checked.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output of a command")]

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use dsm::Node;
use dsm_litmus::clock;
use dsm_litmus::hub::Hub;
use dsm_litmus::memtest::histories::{Budget, Spoil, histories};
use dsm_litmus::memtest::lost::lost;
use dsm_litmus::memtest::progress::progress;
use dsm_litmus::memtest::torn::torn;
use dsm_litmus::memtest::{Bench, Findings, Size};
use dsm_sim::check::Order;
use rustix::rand::{GetRandomFlags, getrandom};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Run random programs on the memory that the ranks of a job share, and check what they saw.
///
/// Start it with dsmexec on 2 ranks or more. Loads, stores, exchanges, additions and compare-exchanges of
/// several threads of several ranks on words that share pages are recorded and decided by a checker of
/// sequential consistency, with the order of time where the ranks share a clock. Other tests look for torn
/// pages, lost stores and threads that starve.
///
/// Exit codes: 0 all is well; 1 a promise was broken, or a history could not be decided; 2 wrong usage;
/// 70 the ranks could not go on.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    /// Record and check so many operations
    #[arg(long, default_value_t = 500_000)]
    ops: u64,
    /// Record and check for so long, whatever --ops says
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<f64>,
    /// What everything but time follows from [default: drawn, and printed first]
    #[arg(long)]
    seed: Option<u64>,
    /// What to run [default: all]
    #[arg(long, value_delimiter = ',', value_enum)]
    tests: Vec<Test>,
    /// Threads of each rank, where the test does not say
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Operations of one history
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    round: u32,
    /// The number of the first history, as a report of a violation names it
    #[arg(long, default_value_t = 0)]
    first_round: u64,
    /// How long each test without histories runs
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Threads of each rank in the test of progress
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    progress_threads: u16,
    /// How much longer than on private memory a thread may wait for one access there
    #[arg(long, default_value_t = 1000, value_name = "MILLISECONDS")]
    progress_limit: u64,
    /// Change what the first history recorded, to see what is reported of a wrong one
    #[arg(long)]
    spoil: bool,
    /// Where to keep the operations of a history that is wrong
    #[arg(long, default_value = ".", value_name = "DIR")]
    traces: PathBuf,
    /// Where rank 0 can be reached by the others
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Test {
    /// Recorded histories
    Histories,
    /// Torn pages
    Torn,
    /// Lost stores
    Lost,
    /// Starving threads
    Progress,
}

const EXAMPLES: &str = "\
Examples:
  dsmexec machine_file dsm-memtest
  dsmexec --fault sigsegv machine_file dsm-memtest --tests histories --minutes 60
  dsmexec machine_file dsm-memtest --tests progress --progress-threads 64 --seconds 60";

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let node = Node::join()?;
    match test(&cli, &node) {
        Ok(code) => {
            node.finalize()?;
            Ok(code)
        }
        Err(error) => {
            eprintln!("dsm-memtest: rank {}: {error:#}", node.rank());
            // The other ranks wait for this one, and dsmexec ends them.
            std::mem::forget(node);
            Ok(ExitCode::from(EXIT_INTERNAL))
        }
    }
}

fn test(cli: &Cli, node: &Node) -> Result<ExitCode> {
    let checked = usize::from(cli.threads) * usize::from(node.nodes());
    if node.nodes() < 2 || checked > MAX_THREADS {
        bail!(
            "cannot test {} ranks with {} threads: 2 ranks or more, and at most {MAX_THREADS} threads of all",
            node.nodes(),
            cli.threads
        );
    }
    let mut hub = Hub::meet(node, cli.address)?;
    let seed = hub.spread(seed(cli)?.to_le_bytes().to_vec())?;
    let seed = u64::from_le_bytes(seed.try_into().ok().context("a seed has 8 bytes")?);
    if node.rank() == 0 {
        eprintln!("dsm-memtest: {} ranks, --seed {seed}", node.nodes());
    }
    let order = if clock::is_shared(&mut hub)? { Order::RealTime } else { Order::Program };
    let mut bench = Bench { node, hub: &mut hub, seed };
    let mut is_good = true;
    for which in [Test::Histories, Test::Torn, Test::Lost, Test::Progress] {
        if !cli.tests.is_empty() && !cli.tests.contains(&which) {
            continue;
        }
        let before = node.stats().pages_in;
        let Findings { figures, failures } = run(cli, which, order, &mut bench)?;
        let pages = bench.hub.gather((node.stats().pages_in - before).to_le_bytes().to_vec())?;
        if node.rank() == 0 {
            let pages = pages.into_iter().filter_map(|bytes| bytes.try_into().ok());
            let pages: u64 = pages.map(u64::from_le_bytes).sum();
            figures.iter().for_each(|figure| println!("{figure}, {pages} pages moved"));
            failures.iter().for_each(|failure| eprintln!("dsm-memtest: {failure}"));
            is_good &= failures.is_empty();
        }
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(cli: &Cli, which: Test, order: Order, bench: &mut Bench) -> Result<Findings> {
    let time = Duration::from_secs_f64(cli.seconds);
    let threads = cli.threads.into();
    Ok(match which {
        Test::Histories => {
            let until = cli.minutes.map(|m| Instant::now() + Duration::from_secs_f64(60.0 * m));
            let budget = Budget {
                first: cli.first_round,
                size: Size { threads, operations: usize::try_from(cli.round)? },
                operations: if until.is_some() { u64::MAX } else { cli.ops },
                until,
                order,
                traces: cli.traces.clone(),
                spoil: if cli.spoil { Spoil::First } else { Spoil::Nothing },
            };
            histories(bench, &budget)?
        }
        Test::Torn => torn(bench, time)?,
        Test::Lost => lost(bench, time, threads)?,
        Test::Progress => {
            let limit = Duration::from_millis(cli.progress_limit);
            progress(bench, time, cli.progress_threads.into(), limit)?
        }
    })
}

fn seed(cli: &Cli) -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty()).context("cannot draw a seed")?;
    Ok(cli.seed.unwrap_or(u64::from_le_bytes(bytes) >> SEED_SHIFT))
}

/// Values of 16-bit words have 7 bits for their thread.
const MAX_THREADS: usize = 126;
const EXIT_INTERNAL: u8 = 70;
/// Seeds that people have to type are short.
const SEED_SHIFT: u32 = 32;
