//! Litmus tests across the ranks of a job.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output of a command")]

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use dsm::{Node, Stats};
use dsm_litmus::hub::Hub;
use dsm_litmus::litmus::{Budget, Control, Forbidden, Next, Report, Shape, control, run};
use rustix::rand::{GetRandomFlags, getrandom};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Run litmus tests on the memory that the ranks of a job share.
///
/// Start it with dsmexec on 2 to 4 ranks. Each thread of a test runs on a rank of its own where there are
/// enough; an outcome that no interleaving has is forbidden.
///
/// Exit codes: 0 all is well; 1 an outcome was forbidden, the positive control saw nothing, or with
/// --complete an allowed outcome was never seen; 2 wrong usage; 70 the ranks could not go on.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    /// Stop after so many instances
    #[arg(long, default_value_t = 200_000)]
    instances: u64,
    /// Go on for so long, whatever --instances says
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<f64>,
    /// What everything but time follows from [default: drawn, and printed first]
    #[arg(long)]
    seed: Option<u64>,
    /// Only these shapes, such as SB,IRIW [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    shapes: Vec<String>,
    /// Repeat this batch only, as a report of a forbidden outcome names it
    #[arg(long, value_name = "NUMBER")]
    batch: Option<u64>,
    /// Fail if an allowed outcome is never seen
    #[arg(long)]
    complete: bool,
    /// Print the results as JSON, on one line
    #[arg(long)]
    json: bool,
    /// Where rank 0 can be reached by the others
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
}

const EXAMPLES: &str = "\
Examples:
  dsmexec machine_file dsm-litmus
  dsmexec machine_file dsm-litmus --minutes 60 --shapes SB,IRIW
  dsmexec -x DSM_HOLD_US=0 machine_file dsm-litmus --seed 7 --batch 1234 --instances 1000000";

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let shapes = chosen(&cli.shapes)?;
    let node = Node::join()?;
    match test(&cli, &shapes, &node) {
        Ok(code) => {
            node.finalize()?;
            Ok(code)
        }
        Err(error) => {
            eprintln!("dsm-litmus: rank {}: {error:#}", node.rank());
            // The other ranks wait for this one, and dsmexec ends them.
            std::mem::forget(node);
            Ok(ExitCode::from(EXIT_INTERNAL))
        }
    }
}

fn chosen(names: &[String]) -> Result<Vec<Shape>> {
    let all = Shape::all();
    let known: BTreeSet<_> = all.iter().map(|shape| shape.name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name.as_str())) {
        bail!("no shape is called {name:?}, expected some of {known:?}");
    }
    let is_chosen = |shape: &Shape| names.is_empty() || names.iter().any(|n| n == shape.name);
    Ok(all.into_iter().filter(is_chosen).collect())
}

fn test(cli: &Cli, shapes: &[Shape], node: &Node) -> Result<ExitCode> {
    if node.nodes() < 2 {
        bail!("a job of {} rank has nothing to test, start it on 2 to 4", node.nodes());
    }
    let mut hub = Hub::meet(node, cli.address)?;
    let seed = hub.spread(seed(cli)?.to_le_bytes().to_vec())?;
    let seed = u64::from_le_bytes(seed.try_into().ok().context("a seed has 8 bytes")?);
    if node.rank() == 0 {
        let batch = cli.batch.map_or(String::new(), |batch| format!(" --batch {batch}"));
        eprintln!("dsm-litmus: {} ranks, --seed {seed}{batch}", node.nodes());
    }
    let control = if node.rank() == 0 { Some(control::control(node)?) } else { None };
    let before = node.stats();
    let start = Instant::now();
    let until = cli.minutes.map(|m| start + Duration::from_secs_f64(60.0 * m));
    let instances = if until.is_some() { u64::MAX } else { cli.instances };
    let next = if cli.batch.is_some() { Next::Same } else { Next::Following };
    let budget = Budget { first: cli.batch.unwrap_or(0), next, instances, until };
    let (tally, forbidden) = run(node, &mut hub, shapes, seed, budget)?;
    let took = start.elapsed();
    let pages = pages_moved(&mut hub, &before, &node.stats())?;
    let Some(control) = control else { return Ok(ExitCode::SUCCESS) };
    let report = Report { seed, nodes: node.nodes(), shapes, tally: &tally, control, took, pages };
    if cli.json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
    Ok(verdict(cli, &report, control, forbidden.as_ref()))
}

fn seed(cli: &Cli) -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty()).context("cannot draw a seed")?;
    Ok(cli.seed.unwrap_or(u64::from_le_bytes(bytes) >> SEED_SHIFT))
}

/// How many pages came to any rank.
fn pages_moved(hub: &mut Hub, before: &Stats, after: &Stats) -> Result<u64> {
    let mine = after.pages_in - before.pages_in;
    let all = hub.gather(mine.to_le_bytes().to_vec())?;
    let all = all.into_iter().filter_map(|bytes| bytes.try_into().ok().map(u64::from_le_bytes));
    Ok(all.sum())
}

fn verdict(
    cli: &Cli,
    report: &Report,
    control: Control,
    forbidden: Option<&Forbidden>,
) -> ExitCode {
    let mut is_good = true;
    if let Some(forbidden) = forbidden {
        let (seed, batch) = (report.seed, forbidden.batch.number);
        eprintln!("dsm-litmus: {forbidden}");
        eprintln!("  repeat on as many ranks: dsm-litmus --seed {seed} --batch {batch}");
        is_good = false;
    }
    if control.reordered == 0 {
        eprintln!(
            "dsm-litmus: the positive control saw no reordering in {} instances: this run proves nothing",
            control.instances
        );
        is_good = false;
    }
    let unseen = report.unseen();
    if cli.complete && !unseen.is_empty() {
        eprintln!("dsm-litmus: allowed, but never seen: {}", unseen.join("; "));
        is_good = false;
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const EXIT_INTERNAL: u8 = 70;
/// Seeds that people have to type are short.
const SEED_SHIFT: u32 = 32;
