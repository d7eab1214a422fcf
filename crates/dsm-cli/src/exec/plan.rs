//! What a job will be, decided before anything is started.

use super::foreign::{ForeignRoute, Host, RouteError};
use super::locality::{Whereabouts, at_sight, locate};
use super::machine_file::{self, MachineFileError, Place};
use super::options::{Export, Options, SshUse, StdinTo};
use super::profiles::{PEER, PeerName, ProfileError, Profiles};
use super::secrecy;
use super::ssh::{SshCommand, SshCommandError, Wrapper};
use crate::exit_code::ExitCode;
use crate::words;
use dsm_net::Encryption;
use dsm_net::launch::{JobId, JobKey, Lookup};
use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use thiserror::Error;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) job: JobId,
    pub(crate) profiles: Profiles,
    pub(crate) ranks: Vec<PlannedRank>,
    pub(crate) program: Lookup,
    pub(crate) args: Vec<Vec<u8>>,
    /// The rank that gets standard input.
    pub(crate) input: Option<u16>,
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct PlannedRank {
    pub(crate) place: Place,
    pub(crate) route: Route,
    pub(crate) whereabouts: Whereabouts,
}

/// How a rank's dsmwrap is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// As a child of dsmexec.
    Direct { wrapper: PathBuf, words: Vec<OsString> },
    /// By a command that reaches another machine.
    Ssh { words: Vec<OsString> },
    /// Another member's, here or there.
    Foreign(ForeignRoute),
}

/// Why there is no plan.
#[derive(Debug, Error)]
pub(crate) enum PlanError {
    #[error(transparent)]
    MachineFile(#[from] MachineFileError),
    #[error("cannot use the command for ssh: {0}")]
    SshCommand(#[from] SshCommandError),
    #[error("{variable} is {value:?}: {expected}")]
    Variable { variable: &'static str, value: OsString, expected: String },
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(
        "--encrypt=always, or DSM_ENCRYPT: ranks that may be foreign have no key to encrypt with"
    )]
    NoKey,
    #[error("--stdin {rank}: the job has ranks 0 to {last}")]
    StdinRank { rank: u16, last: usize },
    #[error("rank {rank} ({place}) is not on this machine, and --ssh=never forbids to reach it")]
    NotHere { rank: usize, place: String },
    #[error("cannot find dsmwrap beside dsmexec ({beside}), in DSM_BIN or on PATH", beside = beside.display())]
    NoWrapper { beside: PathBuf },
    #[error("cannot find the foreign dsmwrap {}: it is no executable file{}", command.display(), on_path(command))]
    NoForeignWrapper { command: OsString },
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error("cannot tell the {what}: {cause}", cause = words::of_error(source))]
    Own { what: &'static str, source: io::Error },
}

impl PlanError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::StdinRank { .. } | Self::NoKey => ExitCode::USAGE,
            Self::Profile(ProfileError::Variable { .. }) => ExitCode::CONFIGURATION,
            Self::Profile(_) => ExitCode::USAGE,
            Self::MachineFile(MachineFileError::Read { source, .. }) => {
                ExitCode::of_errno(source.raw_os_error(), ExitCode::CONFIGURATION)
            }
            Self::Own { .. } => ExitCode::INTERNAL,
            _ => ExitCode::CONFIGURATION,
        }
    }
}

impl Plan {
    /// Decides everything that can be decided from here.
    ///
    /// # Errors
    /// Says what was given, and what was expected.
    pub(crate) fn new(options: &Options) -> Result<Self, PlanError> {
        let places = machine_file::read(&options.machine_file, options.ranks.map(usize::from))?;
        let input = match options.stdin {
            StdinTo::Rank(rank) if usize::from(rank) >= places.len() => {
                return Err(PlanError::StdinRank { rank, last: places.len() - 1 });
            }
            StdinTo::Rank(rank) => Some(rank),
            StdinTo::Nobody => None,
        };
        let profiles = Profiles::new(options, places.len())?;
        let job = JobId(u64::from_le_bytes(random()?) >> 16);
        let Environment { pairs: environment, warnings } = Environment::new(options, profiles)?;
        let directory = match &options.wdir {
            Some(directory) => std::path::absolute(directory),
            None => env::current_dir(),
        };
        let directory =
            directory.map_err(|source| PlanError::Own { what: "working directory", source })?;
        if !profiles.has_key() && secrecy::chosen(&environment) == Encryption::Always {
            return Err(PlanError::NoKey);
        }
        let (program, args) = options.command.split_first().expect("clap requires a program");
        Ok(Self {
            job,
            profiles,
            ranks: route(options, places, job, profiles, &environment)?,
            program: Lookup {
                program: program.as_bytes().to_vec(),
                environment,
                directory: directory.into_os_string().into_vec(),
            },
            args: args.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
            input,
            warnings,
        })
    }

    /// The key of the job, another one each time; none if ranks may be in the job that cannot be told one. It is
    /// not kept here: who has told it to the ranks has no use for it.
    ///
    /// # Errors
    /// If the kernel gives no random bytes.
    pub(crate) fn draw_key(&self) -> Result<Option<JobKey>, PlanError> {
        self.profiles.has_key().then(|| random().map(JobKey::new)).transpose()
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = String> {
        self.ranks.iter().map(|rank| rank.place.text.clone())
    }

    /// For people: what would be started where, one line per rank.
    pub(crate) fn describe(&self) -> Vec<String> {
        let word = |word: &OsStr| {
            let text = word.to_string_lossy().into_owned();
            shlex::try_quote(&text).map(|quoted| quoted.into_owned()).unwrap_or(text)
        };
        let line =
            |words: &[OsString]| words.iter().map(|it| word(it)).collect::<Vec<_>>().join(" ");
        let bytes = |bytes: &[u8]| word(OsStr::from_bytes(bytes));
        let mut lines: Vec<_> = [bytes(&self.program.program)].into();
        lines.extend(self.args.iter().map(|argument| bytes(argument)));
        let mut lines = vec![
            format!("job {}: {} ranks", self.job, self.ranks.len()),
            format!("program: {}", lines.join(" ")),
            format!("directory: {}", bytes(&self.program.directory)),
        ];
        lines.extend(self.profiles.describe().map(|profiles| format!("profiles: {profiles}")));
        let variables = self.program.environment.iter();
        lines.extend(variables.map(|(name, value)| {
            format!("environment: {}={}", String::from_utf8_lossy(name), bytes(value))
        }));
        lines.extend(self.ranks.iter().enumerate().map(|(rank, planned)| {
            let (how, words) = match &planned.route {
                Route::Direct { words, .. } => ("direct", words.clone()),
                Route::Ssh { words } => ("ssh", words.clone()),
                Route::Foreign(route) => {
                    let how = if route.is_ssh() { "ssh" } else { "direct" };
                    (how, route.example(rank, &self.program, &self.args))
                }
            };
            format!("rank {rank} ({}), {how}: {}", planned.place, line(&words))
        }));
        lines
    }
}

impl Route {
    pub(crate) fn command(&self) -> Command {
        match self {
            Self::Direct { wrapper, words } => {
                let mut command = Command::new(wrapper);
                command.arg0(&words[0]).args(&words[1..]);
                command
            }
            Self::Ssh { words } => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                command
            }
            Self::Foreign(_) => unreachable!("a foreign wrapper is told where dsmexec listens"),
        }
    }

    /// What the local process is.
    pub(crate) fn leader(&self) -> &'static str {
        match self {
            Self::Direct { .. } => "dsmwrap",
            Self::Ssh { .. } => "ssh",
            Self::Foreign(route) if route.is_ssh() => "ssh",
            Self::Foreign(_) => "dsmwrap",
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N], PlanError> {
    let mut bytes = [0; N];
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(&mut bytes[..], flags)
        .map_err(|errno| PlanError::Own { what: "job's number or key", source: errno.into() })?;
    Ok(bytes)
}

fn route(
    options: &Options,
    places: Vec<Place>,
    job: JobId,
    profiles: Profiles,
    environment: &[(Vec<u8>, Vec<u8>)],
) -> Result<Vec<PlannedRank>, PlanError> {
    let command = options.ssh_command.clone().or(variable_text("DSM_SSH")?);
    let ssh = SshCommand::parse(command.as_deref().unwrap_or("ssh"))?;
    let beside = env::current_exe()
        .map_err(|source| PlanError::Own { what: "path of dsmexec", source })?
        .with_file_name(WRAPPER);
    let bin = variable("DSM_BIN").map(|bin| PathBuf::from(bin).join(WRAPPER));
    let remote = match &bin {
        Some(path) => Wrapper::At(path),
        None => Wrapper::Perhaps(&beside),
    };
    let known = match options.ssh {
        // Where ssh goes anyway, names are ssh's business, unless hosts are to connect to this one.
        SshUse::Always if profiles.wrap.is_none() => BTreeMap::new(),
        SshUse::Always | SshUse::Auto | SshUse::Never => {
            locate(places.iter().map(|place| place.host.as_str()))
        }
    };
    let ranks = places.into_iter().enumerate().map(|(rank, place)| {
        let found = known.get(&place.host).cloned().or_else(|| at_sight(&place.host));
        let whereabouts = found.unwrap_or(Whereabouts::Elsewhere(Vec::new()));
        let title = format!("job={job} rank={rank}");
        let direct = whereabouts == Whereabouts::Here && is_own_user(place.user.as_deref());
        let route = match options.ssh {
            SshUse::Never if !direct => {
                return Err(PlanError::NotHere { rank, place: place.text });
            }
            SshUse::Auto | SshUse::Never if direct => match profiles.wrap {
                Some(profile) => {
                    let wrapper = &options.wrap_command;
                    let host = Host::Here(foreign_wrapper(wrapper)?);
                    Route::Foreign(ForeignRoute::new(profile, host, wrapper))
                }
                None => direct_route(&beside, bin.as_deref(), &title)?,
            },
            _ if let Some(profile) = profiles.wrap => {
                let host = Host::Ssh(ssh.vigilantly_to(&place));
                let route = ForeignRoute::new(profile, host, &options.wrap_command);
                route.check(rank, &place, environment)?;
                Route::Foreign(route)
            }
            _ => Route::Ssh { words: ssh.words(&place, &remote, &title) },
        };
        Ok(PlannedRank { place, route, whereabouts })
    });
    ranks.collect()
}

fn direct_route(beside: &Path, bin: Option<&Path>, title: &str) -> Result<Route, PlanError> {
    let on_path = || {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).map(|entry| entry.join(WRAPPER)).find(|it| it.is_file())
    };
    let candidates = [Some(beside), bin];
    let found = candidates.into_iter().flatten().find(|it| it.is_file()).map(Path::to_path_buf);
    let Some(wrapper) = found.or_else(on_path) else {
        return Err(PlanError::NoWrapper { beside: beside.to_path_buf() });
    };
    let words = [WRAPPER].into_iter().chain(title.split(' ')).map(OsString::from).collect();
    Ok(Route::Direct { wrapper, words })
}

/// The wrapper of another member on this machine: not dsm's own beside dsmexec, unless that is on PATH.
fn foreign_wrapper(command: &OsStr) -> Result<PathBuf, PlanError> {
    let is_program = |path: &PathBuf| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    let found = if command.as_bytes().contains(&b'/') {
        // Where dsmexec is: the ranks' directory may be another.
        std::path::absolute(command).ok().filter(is_program)
    } else {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).map(|entry| entry.join(command)).find(is_program)
    };
    found.ok_or_else(|| PlanError::NoForeignWrapper { command: command.to_owned() })
}

fn on_path(command: &OsStr) -> &'static str {
    if command.as_bytes().contains(&b'/') { "" } else { " on PATH" }
}

/// Whether a login name of the machine file is the one dsmexec runs under.
fn is_own_user(user: Option<&str>) -> bool {
    let Some(user) = user else { return true };
    ["USER", "LOGNAME"].iter().any(|name| env::var_os(name).is_some_and(|own| own == user))
}

/// Variables for the ranks on top of their hosts' own environment.
#[derive(Default)]
struct Environment {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    warnings: Vec<String>,
}

impl Environment {
    fn new(options: &Options, profiles: Profiles) -> Result<Self, PlanError> {
        let mut environment = Self::default();
        // Ranks on this machine would find dsmexec's own.
        if profiles.peer != PeerName::Native || env::var_os(PEER).is_some() {
            environment.set(PEER.into(), profiles.peer.as_str().into());
        }
        for (name, value) in settings(options)? {
            environment.set(name.into(), value.into());
        }
        if let Some(bin) = variable("DSM_BIN") {
            environment.set("DSM_BIN".into(), bin);
        }
        for Export { name, value } in &options.exports {
            match value.clone().or_else(|| env::var_os(name)) {
                Some(value) => environment.set(name.clone(), value),
                None => environment.warnings.push(format!(
                    "warning: -x {}: it is not set here, so it is not set there",
                    name.display()
                )),
            }
        }
        Ok(environment)
    }

    fn set(&mut self, name: OsString, value: OsString) {
        self.pairs.push((name.into_vec(), value.into_vec()));
    }
}

/// What the runtime of every rank reads from its environment: from a flag, else from dsmexec's own.
fn settings(options: &Options) -> Result<Vec<(&'static str, String)>, PlanError> {
    let mut settings = Vec::new();
    for variable in dsm::SETTINGS.into_iter().filter(|variable| *variable != PEER) {
        let flag = match variable {
            "DSM_SIZE" => options.size.clone(),
            "DSM_HEAP" => options.heap.clone(),
            "DSM_BASE" => options.base.clone(),
            "DSM_PLACEMENT" => options.placement.map(|placement| placement.as_str().to_owned()),
            "DSM_ENCRYPT" => options.encrypt.map(|encrypt| encrypt.as_str().to_owned()),
            "DSM_FAULT" => options.fault.map(|fault| fault.as_str().to_owned()),
            _ => None,
        };
        let value = match flag {
            Some(value) => Some(value),
            None => own_setting(variable)?,
        };
        settings.extend(value.map(|value| (variable, value)));
    }
    Ok(settings)
}

/// A setting in dsmexec's own environment, as it is, if the ranks will understand it.
fn own_setting(variable: &'static str) -> Result<Option<String>, PlanError> {
    let Some(text) = variable_text(variable)? else { return Ok(None) };
    match dsm::check_setting(variable, &text) {
        Ok(()) => Ok(Some(text)),
        Err(error) => {
            let expected = format!("expected {}", error.expected());
            Err(PlanError::Variable { variable, value: text.into(), expected })
        }
    }
}

fn variable_text(variable: &'static str) -> Result<Option<String>, PlanError> {
    let Some(value) = self::variable(variable) else { return Ok(None) };
    value.into_string().map(Some).map_err(|value| PlanError::Variable {
        variable,
        value,
        expected: "expected UTF-8".into(),
    })
}

/// An empty variable is as good as none.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

const WRAPPER: &str = "dsmwrap";
