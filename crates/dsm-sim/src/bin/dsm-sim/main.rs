//! The simulator's command line, for whoever works on the protocol.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output of a command")]

mod grow;
mod prove;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use dsm_core::{Hold, Mutant, Placement};
use dsm_sim::{
    Arrival, Counterexample, Coverage, Faults, Found, Limits, NamedWorld, Replay, Setup, WORLDS,
    Watch, When,
};
use dsm_sim::{drawn_setup, explore, hunt_schedules, hunt_states, roam, shrink, tell};
use grow::Grow;
use prove::Budget;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Run the protocol engine of dsm in an abstract cluster and check what it promises.
///
/// Exit codes: 0 every promise kept, 1 one broken, 2 wrong usage.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Visit every state of worlds: those named, all known ones, or one of your own
    Explore {
        /// Worlds to explore [default: all that every test run explores]
        #[arg(value_parser = named_world, conflicts_with = "scripts")]
        worlds: Vec<&'static NamedWorld>,
        #[command(flatten)]
        own: OwnWorld,
        /// Plant this bug in every engine
        #[arg(long, value_parser = mutant)]
        mutant: Option<Mutant>,
        /// Also worlds that take up to a minute each
        #[arg(long)]
        large: bool,
        /// Give up beyond this many states
        #[arg(long, default_value_t = 100_000_000)]
        states: u32,
    },
    /// Run many worlds, each in one schedule, both drawn from a seed
    Run {
        /// The first seed; each schedule takes the next one
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many schedules
        #[arg(long, default_value_t = 20_000)]
        schedules: u64,
        /// Plant this bug in every engine
        #[arg(long, value_parser = mutant)]
        mutant: Option<Mutant>,
    },
    /// Tell one run again, event by event, with a column a rank
    Replay {
        /// What a failing run printed: its world and its steps
        #[arg(conflicts_with = "seed", required_unless_present = "seed")]
        run: Option<Replay>,
        /// The seed of a random run
        #[arg(long)]
        seed: Option<u64>,
        /// Plant this bug in every engine
        #[arg(long, value_parser = mutant, requires = "seed")]
        mutant: Option<Mutant>,
    },
    /// Plant each known bug in turn and look for it
    Mutants {
        /// Only this one
        #[arg(long, value_parser = mutant)]
        mutant: Option<Mutant>,
        /// Random schedules to try for each
        #[arg(long, default_value_t = 20_000)]
        schedules: u64,
    },
    /// Show which pairs of a state and what reaches it occur, and why the others cannot
    Coverage {
        /// Random schedules to run
        #[arg(long, default_value_t = 5_000)]
        schedules: u64,
        /// Random schedules to run of each world in which many ranks want the same, beside those known
        #[arg(long, default_value_t = 0)]
        crowds: u64,
    },
    /// All of this on all cores: every world, many schedules, every bug, every situation
    Prove {
        /// The first seed
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many schedules
        #[arg(long, default_value_t = 300_000)]
        schedules: u64,
        /// Go on with schedules for so long
        #[arg(long, value_name = "MINUTES", default_value_t = 0.0)]
        minutes: f64,
        /// Worlds not to explore
        #[arg(long, value_name = "WORLD,..", value_delimiter = ',', value_parser = named_world)]
        without: Vec<&'static NamedWorld>,
    },
    /// Count and time operations on 2 to 1,024 ranks, under a model of processors and networks
    Grow(Grow),
    /// List the known worlds
    Worlds,
}

/// A world of your own.
#[derive(Args)]
struct OwnWorld {
    /// What its threads do: ranks separated by |, threads by /, operations as listed below
    #[arg(long)]
    scripts: Option<String>,
    /// How many pages it has
    #[arg(long, default_value_t = 1, requires = "scripts")]
    pages: u64,
    /// How many pages its heap has beside those; the first one is never handed out
    #[arg(long, default_value_t = 0, requires = "scripts")]
    heap: u64,
    /// Which rank is home to which of the pages that are not the heap's
    #[arg(long, value_parser = placement, default_value = "cyclic", requires = "scripts")]
    placement: Placement,
    /// Whether a granted page stays for a minimum time
    #[arg(long, value_enum, default_value_t, requires = "scripts")]
    hold: HoldArg,
    /// How a page's bytes come in
    #[arg(long, value_enum, default_value_t, requires = "scripts")]
    arrival: ArrivalArg,
    /// When a driver learns of a fault
    #[arg(long, value_enum, default_value_t, requires = "scripts")]
    faults: FaultsArg,
    /// How many ranks are below one in the tree of the barrier of all ranks [default: as in a real job]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..), requires = "scripts")]
    fan_in: Option<u16>,
    /// After how many writes in a row a page is expected to move; 0 is always [default: as in a real job]
    #[arg(long, requires = "scripts")]
    moves_after: Option<u8>,
    /// Which promises are watched
    #[arg(long, value_enum, default_value_t)]
    watch: WatchArg,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum HoldArg {
    #[default]
    None,
    Timed,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum ArrivalArg {
    #[default]
    Whole,
    Split,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum FaultsArg {
    #[default]
    AtOnce,
    Batched,
    Posted,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum WatchArg {
    #[default]
    Everything,
    Program,
}

/// Whether all promises were kept.
enum Verdict {
    Kept,
    Broken,
}

fn main() -> ExitCode {
    match obey(Cli::parse().command) {
        Ok(Verdict::Kept) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::from(BROKEN),
        Err(error) => {
            eprintln!("dsm-sim: {error:#}");
            ExitCode::from(USAGE)
        }
    }
}

fn obey(command: Command) -> Result<Verdict> {
    match command {
        Command::Explore { worlds, own, mutant, large, states } => {
            let limits = Limits { states };
            if let Some(setup) = own.setup(mutant)? {
                return Ok(explore_one("your own", &setup, limits));
            }
            let known = WORLDS.iter().filter(|world| large || world.when == When::Always);
            let worlds = if worlds.is_empty() { known.collect() } else { worlds };
            let verdicts = worlds.into_iter().map(|world| {
                let setup = Setup { watch: own.watch.into(), ..world.setup(mutant) };
                explore_one(world.name, &setup, limits)
            });
            Ok(verdicts.fold(Verdict::Kept, Verdict::and))
        }
        Command::Run { seed, schedules, mutant } => Ok(run(seed, schedules, mutant)),
        Command::Replay { run: Some(Replay { setup, path }), .. } => {
            println!("{setup}");
            print!("{}", tell(&setup, &path));
            Ok(Verdict::Kept)
        }
        Command::Replay { seed, mutant, .. } => Ok(replay_seed(seed.unwrap_or(1), mutant)),
        Command::Mutants { mutant, schedules } => Ok(hunt(mutant, schedules)),
        Command::Coverage { schedules, crowds } => cover(schedules, crowds),
        Command::Prove { seed, schedules, minutes, without } => {
            let time = Duration::try_from_secs_f64(minutes * 60.0).context("--minutes")?;
            let without: Vec<_> = without.iter().map(|world| world.name).collect();
            Ok(prove::prove(Budget { seed, schedules, time }, &without))
        }
        Command::Grow(options) => {
            grow::grow(options)?;
            Ok(Verdict::Kept)
        }
        Command::Worlds => {
            WORLDS.iter().for_each(|world| println!("{:16} {}", world.name, world.setup(None)));
            Ok(Verdict::Kept)
        }
    }
}

fn explore_one(name: &str, setup: &Setup, limits: Limits) -> Verdict {
    let start = Instant::now();
    match explore(setup, limits) {
        Ok(exploration) => {
            println!("{name:16} {exploration} in {:.1?}", start.elapsed());
            Verdict::Kept
        }
        Err(counterexample) => {
            println!("{name}: {counterexample}");
            Verdict::Broken
        }
    }
}

fn run(seed: u64, schedules: u64, mutant: Option<Mutant>) -> Verdict {
    let planted = mutant.map(|mutant| format!(" --mutant {mutant:?}")).unwrap_or_default();
    let end = seed.saturating_add(schedules);
    let last = end.saturating_sub(1);
    println!("seeds {seed} to {last}, repeat one with: dsm-sim replay --seed SEED{planted}");
    let start = Instant::now();
    let (mut steps, mut longest_wait) = (0, 0);
    for seed in seed..end {
        match roam(seed, mutant) {
            Ok(roamed) => {
                steps += roamed.path.0.len();
                longest_wait = roamed.longest_wait.max(longest_wait);
            }
            Err(counterexample) => {
                println!("{counterexample}");
                println!("repeat with: dsm-sim replay --seed {seed}{planted}");
                println!("\nshrunk: {}", shrink(&counterexample));
                return Verdict::Broken;
            }
        }
    }
    let took = start.elapsed();
    println!("{schedules} schedules, {steps} steps, longest wait {longest_wait} steps, {took:.1?}");
    Verdict::Kept
}

fn replay_seed(seed: u64, mutant: Option<Mutant>) -> Verdict {
    println!("seed {seed}: {}", drawn_setup(seed, mutant));
    match roam(seed, mutant) {
        Ok(roamed) => {
            print!("{}", tell(&drawn_setup(seed, mutant), &roamed.path));
            Verdict::Kept
        }
        Err(counterexample) => {
            println!("{counterexample}");
            Verdict::Broken
        }
    }
}

/// Every planted bug must be found in both ways.
fn hunt(only: Option<Mutant>, schedules: u64) -> Verdict {
    let mutants = Mutant::ALL.iter().filter(|mutant| only.is_none_or(|only| only == **mutant));
    let hunted = mutants.map(|&mutant| {
        let by_states = hunt_states(mutant, Watch::Everything);
        let by_schedules = hunt_schedules(mutant, 1..=schedules);
        println!("{}", found_line(mutant, by_states.as_ref(), by_schedules.as_ref()));
        if by_states.is_some() && by_schedules.is_some() { Verdict::Kept } else { Verdict::Broken }
    });
    hunted.fold(Verdict::Kept, Verdict::and)
}

/// By what a planted bug was found.
fn found_line(
    mutant: Mutant,
    by_states: Option<&Found<&'static NamedWorld>>,
    by_schedules: Option<&Found<u64>>,
) -> String {
    let states = by_states.map_or("not found in any world".to_owned(), |found| {
        let Counterexample { broken, path, .. } = &*found.counterexample;
        format!("{:?} in {} after {} steps", broken.promise, found.place.name, path.0.len())
    });
    let roamed = by_schedules.map_or("not found in schedules".to_owned(), |found| {
        format!("{:?} by schedule {}", found.counterexample.broken.promise, found.place)
    });
    format!("{:20} {states:46} {roamed}", format!("{mutant:?}"))
}

/// Every situation must occur, or be impossible as the rules say.
fn cover(schedules: u64, crowds: u64) -> Result<Verdict> {
    let mut coverage = Coverage::default();
    for world in WORLDS.iter().filter(|world| world.when == When::Always && world.is_small()) {
        coverage.explore(&world.setup(None))?;
    }
    (1..=schedules).try_for_each(|seed| coverage.roam(seed))?;
    coverage.crowd_known()?;
    let news = coverage.crowd(1..=crowds)?;
    println!("{coverage}");
    if crowds > 0 {
        println!("crowds and seeds that met something for the first time: {news:?}");
    }
    let gaps = coverage.gaps();
    gaps.iter().for_each(|gap| println!("{gap:?}"));
    Ok(if gaps.is_empty() { Verdict::Kept } else { Verdict::Broken })
}

impl OwnWorld {
    fn setup(&self, mutant: Option<Mutant>) -> Result<Option<Setup>> {
        let Some(scripts) = &self.scripts else { return Ok(None) };
        let plain = Setup::new(self.pages, scripts)?;
        let hold = match self.hold {
            HoldArg::None => Hold::None,
            HoldArg::Timed => Hold::Timed,
        };
        let arrival = match self.arrival {
            ArrivalArg::Whole => Arrival::Whole,
            ArrivalArg::Split => Arrival::Split,
        };
        let faults = match self.faults {
            FaultsArg::AtOnce => Faults::AtOnce,
            FaultsArg::Batched => Faults::Batched,
            FaultsArg::Posted => Faults::Posted,
        };
        let (heap, placement, watch) = (self.heap, self.placement, self.watch.into());
        let (fan_in, moves_after) = (self.fan_in, self.moves_after);
        let special = Setup { heap, placement, hold, arrival, faults, watch, ..plain };
        Ok(Some(Setup { fan_in, moves_after, mutant, ..special }))
    }
}

impl Verdict {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Kept, Self::Kept) => Self::Kept,
            _ => Self::Broken,
        }
    }
}

impl From<WatchArg> for Watch {
    fn from(watch: WatchArg) -> Self {
        match watch {
            WatchArg::Everything => Self::Everything,
            WatchArg::Program => Self::Program,
        }
    }
}

fn named_world(name: &str) -> Result<&'static NamedWorld, String> {
    NamedWorld::find(name).ok_or_else(|| "no such world, see dsm-sim worlds".to_owned())
}

fn placement(name: &str) -> Result<Placement, String> {
    let names = || Placement::ALL.map(Placement::as_str).join(", ");
    Placement::named(name).ok_or_else(|| format!("expected one of {}", names()))
}

fn mutant(name: &str) -> Result<Mutant, String> {
    let known = Mutant::ALL.iter().find(|mutant| format!("{mutant:?}") == name);
    known.copied().ok_or_else(|| format!("no such bug, expected one of {:?}", Mutant::ALL))
}

const BROKEN: u8 = 1;
const USAGE: u8 = 2;
const EXAMPLES: &str = "\
Operations of scripts:
  r0 w0 m0>1         loads from page 0; stores to it; moves from page 0 to page 1
  R0 W0              prefetches page 0 to read, to write
  b f x              the barrier of all ranks; leaves the job; ends its rank without a word
  l0 s0 u0           takes lock 0 to write, to read; gives it back
  L0 S0 t0 T0        takes it to write, to read, if patience lasts; tries to
  c1>0 d1>0          waits at condition variable 1 with mutex 0, for ever or if patience lasts
  n1 a1 e1           signals it; broadcasts; ends its use
  p0 q0 v0 i0>2      waits at semaphore 0; tries to take one; posts; sets it to 2, or ends its use
  g0>3               waits until three threads are at barrier 0
  o0 z0              adds to word 0 at its owner; does so if it is what the thread saw last
  H1 J1              prefetches page 1 of the heap to read, to write
  h1 j k y           gets a run of one page; stores to it; gives it back; frees a block in somebody's

Examples:
  dsm-sim explore                        every state of every known world
  dsm-sim explore 3x2                    of one of them
  dsm-sim explore --scripts 'r0 w0 / w0 | w0 r0' --hold timed
  dsm-sim run --seed 7 --schedules 1000000
  dsm-sim replay --seed 7
  dsm-sim replay 1:SendBeforeProtect:w0+w0:0.0.0.1.1.1.1.2.2
  dsm-sim mutants
  dsm-sim coverage
  dsm-sim prove --minutes 60 --seed 5000000
  dsm-sim grow --ranks 2..64 --model latency=20,bandwidth=25,overhead=1.5";
