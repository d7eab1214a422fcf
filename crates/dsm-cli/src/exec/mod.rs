//! `dsmexec`: starts one rank per line of a machine file, shows what they write, and ends them
//! together.

mod address;
mod chronicle;
mod crew;
mod event;
mod exchange;
mod foreign;
mod input;
mod knocks;
mod launch;
mod lines;
mod link;
mod link_thread;
mod locality;
mod machine_file;
mod options;
mod plan;
mod preamble;
mod printer;
mod profiles;
mod rank_set;
mod reach;
mod report;
mod secrecy;
mod signals;
mod sink;
mod ssh;
mod stats;
mod supervise;
mod verdict;
mod waits;
mod waker;

use crate::exit_code::ExitCode;
use crate::signal_name::SignalName;
use crate::words;
use chronicle::Chronicle;
use clap::Parser;
use clap::error::ErrorKind;
use crew::{Crew, Mailbox, Times, Verbosity};
use dsm_net::launch::JobId;
use event::Event;
use foreign::tether;
use launch::{Fault, Stop};
use options::Options;
use plan::{Plan, PlanError};
use printer::{Colour, Printer, Sinks, Style};
use report::{Outcome, Report};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGTSTP, SIGUSR1};
use signals::SignalThread;
use sink::Sink;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why there is no job to run.
#[derive(Debug, Error)]
enum SetupError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("cannot open log {path}: {cause}; --log FILE names another, --log none does without", path = path.display(), cause = words::of_error(source))]
    Log { path: PathBuf, source: io::Error },
    #[error("cannot write report {path}: {cause}; nothing was started", path = path.display(), cause = words::of_error(source))]
    Report { path: PathBuf, source: io::Error },
    #[error(
        "{ranks} ranks need {needed} descriptors, and the limit is {limit}: raise it with ulimit -n"
    )]
    Descriptors { ranks: usize, needed: u64, limit: u64 },
    #[error("cannot set up {what}: {cause}", cause = words::of_error(source))]
    Resources { what: &'static str, source: io::Error },
}

impl SetupError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Plan(error) => error.exit_code(),
            Self::Log { .. } | Self::Report { .. } => ExitCode::LOG,
            Self::Descriptors { .. } | Self::Resources { .. } => ExitCode::RESOURCES,
        }
    }
}

/// The host of each rank, as the bytes of a machine file name them: what the file may hold, without a job.
///
/// # Errors
/// What is wrong, and in which line.
pub fn hosts_of_machine_file(bytes: &[u8]) -> Result<Vec<String>, String> {
    let places = machine_file::parse(Path::new("machines"), bytes);
    let places = places.map_err(|error| error.to_string())?;
    Ok(places.into_iter().map(|place| place.host).collect())
}

/// Runs dsmexec with these arguments, argv\[0\] included, and gives its exit code.
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>) -> process::ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    if arguments.get(1).is_some_and(|first| first == tether::FLAG) {
        return tether::run(arguments.into_iter().skip(2));
    }
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            // Nobody is left to be told that nobody listens.
            let _ = error.print();
            let code = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::USAGE,
            };
            return code.into();
        }
    };
    // A thread of its own for the job: the main thread's handle is never freed, which leak checkers
    // tell, and a panic must not pass for a rank's exit code.
    let job = thread::Builder::new().name("job".into()).spawn(move || run_with(&options));
    let job = job.map_err(|source| SetupError::Resources { what: "a thread", source });
    match job.map(|job| job.join().unwrap_or(Ok(ExitCode::INTERNAL))) {
        Ok(Ok(code)) => code.into(),
        Ok(Err(error)) | Err(error) => {
            let _ = writeln!(io::stderr(), "dsmexec: {error}");
            error.exit_code().into()
        }
    }
}

fn run_with(options: &Options) -> Result<ExitCode, SetupError> {
    let report = match &options.report {
        Some(path) if !options.dry_run => Some(
            Report::prepare(path)
                .map_err(|source| SetupError::Report { path: path.clone(), source })?,
        ),
        _ => None,
    };
    let mut job = None;
    plan_and_run(options, report.as_ref(), &mut job).inspect_err(|error| {
        let (reason, code) = (error.to_string(), error.exit_code());
        let outcome = Outcome { job, code, reason: Some(&reason), ranks: &[] };
        if let Some(complaint) = write_report(report.as_ref(), outcome) {
            let _ = writeln!(io::stderr(), "dsmexec: {complaint}");
        }
    })
}

/// Writes the report, if there is to be one; gives a warning if it cannot.
fn write_report(report: Option<&Report>, outcome: Outcome<'_>) -> Option<String> {
    let error = report?.write(outcome).err()?;
    Some(format!("warning: cannot write the report: {}", words::of_error(&error)))
}

fn plan_and_run(
    options: &Options,
    report: Option<&Report>,
    job: &mut Option<JobId>,
) -> Result<ExitCode, SetupError> {
    let plan = Plan::new(options)?;
    *job = Some(plan.job);
    if options.dry_run {
        let mut text = plan.describe().join("\n");
        text.push('\n');
        let _ = io::stdout().write_all(text.as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    provide_descriptors(&plan)?;
    let sinks = open_sinks(&options.log)?;
    let mailbox = Mailbox::new();
    let resources = |what| move |source| SetupError::Resources { what, source };
    let signals = SignalThread::start(mailbox.sender.clone()).map_err(resources("signals"))?;
    let sender = mailbox.sender.clone();
    let done = move || {
        // Who no longer listens does not wait.
        let _ = sender.send(Event::Printed);
    };
    let style = style(options, &plan);
    let (printer, thread) = Printer::start(style, sinks, done).map_err(resources("the printer"))?;
    let verbosity = if options.verbose { Verbosity::Steps } else { Verbosity::Quiet };
    let times = Times {
        patience: options.connect_timeout,
        stopped_after: options.stopped_after,
        explain_after: options.explain_after,
        dead_after: options.dead_after,
        kill_after: options.kill_after,
    };
    let mut crew = Crew::new(&plan, printer, mailbox, times, verbosity);
    let mut chronicle = Chronicle::new(plan.hosts(), Instant::now());
    let (code, last) = run_job(&mut crew, &mut chronicle, options);
    let outcome = Outcome { job: *job, code, reason: last.as_deref(), ranks: chronicle.ranks() };
    write_report(report, outcome).into_iter().for_each(|warning| crew.printer.note(warning));
    crew.printer.end(last);
    if wait_for_printer(&mut crew) {
        thread.join().expect("the printer does not panic");
    }
    signals.finish();
    Ok(code)
}

/// Runs the job; gives the exit code and the last line.
fn run_job(
    crew: &mut Crew<'_>,
    chronicle: &mut Chronicle,
    options: &Options,
) -> (ExitCode, Option<String>) {
    let plan = crew.plan;
    let program = String::from_utf8_lossy(&plan.program.program);
    crew.printer.record(format!("job {}: {} ranks of {program}", plan.job, plan.ranks.len()));
    plan.profiles.warning().into_iter().for_each(|warning| crew.printer.note(warning));
    plan.warnings.iter().for_each(|warning| crew.printer.note(warning));
    let (code, why) = match launch::prepare(crew) {
        Ok(starts) => {
            let (verdict, tally) = supervise::supervise(crew, chronicle, starts);
            if options.stats && plan.profiles.wrap.is_some() {
                crew.printer
                    .note("--stats: a foreign dsmwrap tells nothing of what its rank has done");
            } else if options.stats {
                tally.lines().into_iter().for_each(|line| crew.printer.note(line));
            }
            match verdict.blamed() {
                None => return (ExitCode::SUCCESS, None),
                Some(blame) => (blame.code, blame.in_short()),
            }
        }
        Err(Stop::Faults(faults)) => {
            crew.dismiss();
            tell_faults(crew, &faults);
            let Fault { rank, code, what } = &faults[0];
            (*code, format!("no rank was started: {}{what}", crew.name(*rank)))
        }
        Err(Stop::Signal(signal)) => {
            crew.dismiss();
            let why =
                format!("interrupted by signal {} before any rank was started", SignalName(signal));
            (ExitCode::of_signal(signal), why)
        }
    };
    (code, Some(format!("job {} failed with exit code {code}: {why}", plan.job)))
}

/// One line per host and cause.
fn tell_faults(crew: &Crew<'_>, faults: &[Fault]) {
    let mut told: BTreeMap<(String, &str), (u16, usize)> = BTreeMap::new();
    for Fault { rank, what, .. } in faults {
        let host = crew.plan.ranks[usize::from(*rank)].place.to_string();
        told.entry((host, what)).or_insert((*rank, 0)).1 += 1;
    }
    let mut lines: Vec<_> = told.into_iter().collect();
    lines.sort_by_key(|(_, (rank, _))| *rank);
    for ((_, what), (rank, count)) in lines {
        let more = match count - 1 {
            0 => String::new(),
            1 => " (and 1 more rank there)".into(),
            more => format!(" (and {more} more ranks there)"),
        };
        crew.printer.note(format!("{}{what}{more}", crew.name(rank)));
    }
}

/// Standard output may be stuck for as long as its reader likes; a signal ends the waiting.
fn wait_for_printer(crew: &mut Crew<'_>) -> bool {
    loop {
        match crew.next_event(Instant::now() + Duration::from_secs(60)) {
            Some(Event::Printed) => return true,
            Some(Event::Signal(signal)) if !matches!(signal, SIGTSTP | SIGUSR1) => return false,
            _ => (),
        }
    }
}

fn style(options: &Options, plan: &Plan) -> Style {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = |terminal: bool| match terminal && !plain {
        true => Colour::PerRank,
        false => Colour::Plain,
    };
    Style {
        hosts: plan.hosts().collect(),
        tag: options.tag,
        only: options.only.clone(),
        stream: options.stream.map(Into::into),
        colours: [colour(io::stdout().is_terminal()), colour(io::stderr().is_terminal())],
    }
}

fn open_sinks(log: &Path) -> Result<Sinks, SetupError> {
    let copy = |fd: &dyn AsFd, what| match fd.as_fd().try_clone_to_owned() {
        Ok(fd) => Ok(Sink::new(what, File::from(fd))),
        Err(source) => Err(SetupError::Resources { what, source }),
    };
    let log = match log.to_str() {
        Some("none") => None,
        _ => Some(
            log_sink(log).map_err(|source| SetupError::Log { path: log.to_path_buf(), source })?,
        ),
    };
    Ok(Sinks {
        stdout: copy(&io::stdout(), "standard output")?,
        stderr: copy(&io::stderr(), "standard error")?,
        log,
    })
}

/// The log. A disk that takes nothing costs the log and not the job, as it does when it fills up later.
fn log_sink(path: &Path) -> io::Result<Sink> {
    let name = format!("log {}", path.display());
    match open_log(path) {
        Ok(file) => Ok(Sink::new(name, file)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(cause @ (Errno::NOSPC | Errno::DQUOT | Errno::ROFS)) => {
                Ok(Sink::lost(name, cause))
            }
            _ => Err(error),
        },
    }
}

/// A fresh log with its directory. What programs print is for their user alone.
fn open_log(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Raises the limit as far as this many ranks need it, and no further: programs inherit it.
fn provide_descriptors(plan: &Plan) -> Result<(), SetupError> {
    let ranks = plan.ranks.len();
    let count = u64::try_from(ranks).expect("a machine file has at most 65535 ranks");
    let each = match plan.profiles.speaks_tcp() {
        true => crate::DESCRIPTORS_PER_RANK + crate::DESCRIPTORS_PER_GUEST,
        false => crate::DESCRIPTORS_PER_RANK,
    };
    let needed = crate::DESCRIPTORS + count * each;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let limit = maximum.unwrap_or(u64::MAX);
    let raised = Rlimit { current: Some(needed), maximum };
    if limit < needed || setrlimit(Resource::Nofile, raised).is_err() {
        return Err(SetupError::Descriptors { ranks, needed, limit });
    }
    Ok(())
}
