//! `dsm bench`: what the operations of dsm cost, beside what the network costs in the same run.

mod job;
mod line;
mod machine;
mod outcome;
mod pinning;
mod plan;
mod rank;
mod reading;
mod table;
mod target;

use crate::hosts_of_machine_file;
use clap::{Args, ValueEnum};
use job::Launch;
use line::{LINES, Line};
use machine::Load;
use outcome::{Collected, Outcome};
use pinning::Pinning;
use plan::{Plan, Wanted};
use reading::Setup;
use std::error::Error;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use rank::be_a_rank;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Measure a tenth of the rounds, for a first impression
    #[arg(long)]
    quick: bool,

    /// How often each operation is measured
    #[arg(long, value_name = "N", default_value_t = ROUNDS, value_parser = clap::value_parser!(u32).range(1..=16_000))]
    rounds: u32,

    /// Measure only these lines, by their names in the JSON
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', value_parser = parse_line)]
    only: Vec<Line>,

    /// Which processors ranks may use while they are measured beside R
    #[arg(long, value_enum, default_value_t = PinningChoice::Free)]
    pinning: PinningChoice,

    /// How page faults are caught [default: $DSM_FAULT, or auto]
    #[arg(long, value_name = "ENGINE", value_parser = ["auto", "uffd", "sigsegv"])]
    fault: Option<String>,

    /// Between which ranks connections are encrypted [default: $DSM_ENCRYPT, or auto]
    #[arg(long, value_name = "WHICH", value_parser = ["auto", "always", "never"])]
    encrypt: Option<String>,

    /// Where to write the figures, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Where the ranks run [default: on this machine]
    #[arg(value_name = "MACHINE_FILE")]
    machine_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PinningChoice {
    /// A processor for each rank.
    Each,
    /// One processor for all ranks.
    One,
    /// Where the kernel puts them.
    Free,
    /// All three.
    All,
}

/// Measures and prints. Exits with 0 also if targets are missed, with 1 if it cannot measure.
pub(crate) fn run(options: &Options) -> ExitCode {
    let written = measure(options).and_then(|outcome| {
        if let Some(path) = &options.json {
            let text = format!("{:#}\n", outcome.json());
            fs::write(path, text).map_err(|error| format!("cannot write {path:?}: {error}"))?;
        }
        Ok(io::stdout().write_all(outcome.table().as_bytes())?)
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The exit code says it too.
            let _ = writeln!(io::stderr(), "dsm: cannot measure: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<Outcome, Box<dyn Error>> {
    let load = Load::from_now_on();
    let wanted = options.wanted()?;
    let plan = Plan::of(&wanted);
    let launch = options.launch();
    let (mut collected, mut setup) = (Collected::default(), None);
    let progress = Progress::new();
    for (number, job) in plan.jobs.iter().enumerate() {
        let what = format!("job {} of {}, {} ranks", number + 1, plan.jobs.len(), job.ranks);
        let done = job.run(&launch, |part| progress.show(&what, part));
        progress.clear();
        let done = done?;
        setup = done.setup.or(setup);
        collected.take(job, done.readings, done.took);
    }
    let setup = match setup {
        None => "no faults between ranks".to_owned(),
        Some(Setup { fault_engine, is_encrypted }) => {
            let secrecy = if is_encrypted { "encrypted" } else { "plaintext" };
            format!("fault engine {fault_engine}; between ranks {secrecy}")
        }
    };
    let about = vec![
        format!("{}, {}", machine::kernel(), load.describe()),
        format!("{setup}; {}", machine::settings()),
        EXPLANATION.to_owned(),
    ];
    Ok(Outcome { about, rows: collected.rows(), left_out: plan.left_out })
}

impl Options {
    fn wanted(&self) -> Result<Wanted, Box<dyn Error>> {
        let rounds = if self.quick { (self.rounds / 10).max(1) } else { self.rounds };
        let lines = if self.only.is_empty() {
            LINES.iter().map(|about| about.line).collect()
        } else {
            self.only.clone()
        };
        let (ranks, cpus) = match &self.machine_file {
            None => (RANKS, Some(machine::cpus())),
            Some(path) => {
                let bytes = fs::read(path)
                    .map_err(|error| format!("cannot read machine file {path:?}: {error}"))?;
                let hosts = hosts_of_machine_file(&bytes)?;
                (u16::try_from(hosts.len()).unwrap_or(u16::MAX), None)
            }
        };
        let prefetches = dsm::SETTINGS.contains(&"DSM_PREFETCH");
        Ok(Wanted { lines, pinnings: self.pinning.pinnings(), rounds, ranks, cpus, prefetches })
    }

    fn launch(&self) -> Launch {
        let mut options = Vec::new();
        if let Some(fault) = &self.fault {
            options.extend(["--fault".into(), fault.into()]);
        }
        if let Some(encrypt) = &self.encrypt {
            options.extend(["-x".into(), format!("DSM_ENCRYPT={encrypt}").into()]);
        }
        Launch { machine_file: self.machine_file.clone(), options }
    }
}

impl PinningChoice {
    fn pinnings(self) -> Vec<Pinning> {
        match self {
            Self::Each => vec![Pinning::Each],
            Self::One => vec![Pinning::One],
            Self::Free => vec![Pinning::Free],
            Self::All => vec![Pinning::Free, Pinning::Each, Pinning::One],
        }
    }
}

/// One line on a terminal that is written again and again; nothing elsewhere.
struct Progress {
    is_seen: bool,
}

impl Progress {
    fn new() -> Self {
        Self { is_seen: io::stderr().is_terminal() }
    }

    fn show(&self, what: &str, part: f64) {
        self.write(&format!("\r\x1b[K{what}: {:.0} %", part * 100.0));
    }

    fn clear(&self) {
        self.write("\r\x1b[K");
    }

    fn write(&self, text: &str) {
        if self.is_seen {
            // The figures matter, not who watches how they come about.
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }
}

fn parse_line(name: &str) -> Result<Line, String> {
    Line::named(name).ok_or_else(|| {
        let names: Vec<&str> = LINES.iter().map(|about| about.name).collect();
        format!("expected some of {}", names.join(", "))
    })
}

const ROUNDS: u32 = 1000;
/// More are started on this machine if they are wanted.
const RANKS: u16 = 8;
const EXPLANATION: &str = "\
R: 16 bytes to another rank and a page back, over a TCP connection of its own, in turns with what is compared with it";
