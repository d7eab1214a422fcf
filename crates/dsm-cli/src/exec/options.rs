use super::printer::Tag;
use super::profiles::{LaunchName, PeerName, WrapName};
use super::rank_set::RankSet;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, ValueEnum};
use dsm_net::launch::Stream;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// Starts one rank of a program per line of a machine file, and ends them together.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "dsmexec",
    version,
    max_term_width = 100,
    override_usage = "dsmexec [OPTIONS] MACHINE_FILE PROGRAM [ARGS]...",
    after_help = MORE
)]
pub(crate) struct Options {
    /// Start only the first N ranks of the machine file
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) ranks: Option<u16>,

    /// Set a variable in every rank's environment, without a value to dsmexec's own value
    #[arg(short = 'x', long = "export", value_name = "NAME[=VALUE]", value_parser = OsStringValueParser::new().try_map(parse_export))]
    pub(crate) exports: Vec<Export>,

    /// Working directory of the ranks [default: the current one]
    #[arg(long, value_name = "DIR")]
    pub(crate) wdir: Option<PathBuf>,

    /// The rank that gets standard input
    #[arg(long, value_name = "RANK|none", default_value = "0", value_parser = parse_stdin)]
    pub(crate) stdin: StdinTo,

    /// What stands before each line
    #[arg(long, value_enum, default_value_t = Tag::Full)]
    pub(crate) tag: Tag,

    /// Show only these ranks, such as 0,2-3; the log has all
    #[arg(long, value_name = "RANKS")]
    pub(crate) only: Option<RankSet>,

    /// Show only one of the streams; the log has both
    #[arg(long, value_enum)]
    pub(crate) stream: Option<StreamName>,

    /// Where all output is written too, with tags
    #[arg(long, value_name = "FILE|none", default_value = "logs/dsm_output.log")]
    pub(crate) log: PathBuf,

    /// Bytes of the area dsm_init gives; K, M, G, T are binary [default: $DSM_SIZE, or the runtime's]
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub(crate) size: Option<String>,

    /// Bytes of the heap of dsm_malloc; K, M, G, T are binary [default: $DSM_HEAP, or the runtime's]
    #[arg(long, value_name = "BYTES", value_parser = parse_heap)]
    pub(crate) heap: Option<String>,

    /// First address of the shared region [default: $DSM_BASE, or the runtime's]
    #[arg(long, value_name = "ADDR", value_parser = parse_base)]
    pub(crate) base: Option<String>,

    /// Which rank is home to which page of the area [default: $DSM_PLACEMENT, or cyclic]
    #[arg(long, value_enum)]
    pub(crate) placement: Option<PlacementName>,

    /// How page faults are caught [default: $DSM_FAULT, or auto]
    #[arg(long, value_enum)]
    pub(crate) fault: Option<FaultName>,

    /// How programs are told their job, beside dsm's own way: on descriptors 3 and 4, or by a port of
    /// dsmexec [default: native, or pr204 with a foreign --wrap]
    #[arg(long, value_enum)]
    pub(crate) launch: Option<LaunchName>,

    /// Whose dsmwrap is started on each host; a foreign one is found on PATH
    #[arg(long, value_enum, default_value_t = WrapName::Native)]
    pub(crate) wrap: WrapName,

    /// The foreign dsmwrap, in place of the one on PATH
    #[arg(long, value_name = "NAME_OR_PATH", default_value = "dsmwrap", value_parser = parse_wrap_command)]
    pub(crate) wrap_command: OsString,

    /// How ranks speak to each other; foreign ranks share 100 pages [default: $DSM_PEER, or native]
    #[arg(long, value_enum)]
    pub(crate) peer: Option<PeerName>,

    /// Between which ranks connections are encrypted [default: $DSM_ENCRYPT, or auto]
    #[arg(long, value_enum)]
    pub(crate) encrypt: Option<EncryptName>,

    /// Which hosts are reached by ssh: those that are not this machine, all, or none
    #[arg(long, value_enum, default_value_t = SshUse::Auto)]
    pub(crate) ssh: SshUse,

    /// Command and options in place of ssh [default: $DSM_SSH, or ssh]
    #[arg(long, value_name = "COMMAND")]
    pub(crate) ssh_command: Option<String>,

    /// How long each step of reaching a host may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub(crate) connect_timeout: Duration,

    /// After how long it is told that a rank's process is stopped, as by SIGSTOP
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    pub(crate) stopped_after: Duration,

    /// After how long a thread's wait for others is explained unasked, or never
    #[arg(long, value_name = "SECONDS|never", default_value = "10", value_parser = parse_explain)]
    pub(crate) explain_after: Duration,

    /// After how long without a word a host is lost; it ends its ranks by itself after 1.75 times as long
    #[arg(long, value_name = "SECONDS", default_value = "4", value_parser = parse_silence)]
    pub(crate) dead_after: Duration,

    /// How long ranks that are told to end have from SIGTERM to SIGKILL
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = parse_seconds)]
    pub(crate) kill_after: Duration,

    /// Print at the end what the runtime of every rank has done: misses, pages, messages, locks
    #[arg(long)]
    pub(crate) stats: bool,

    /// Where to write what became of the job and of every rank, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Tell each step with the time since the start
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Print what would be started where, and exit
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// One host per line, in rank order
    #[arg(value_name = "MACHINE_FILE")]
    pub(crate) machine_file: PathBuf,

    /// Any executable and its arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

/// A variable for the ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) name: OsString,
    /// `None` is dsmexec's own value.
    pub(crate) value: Option<OsString>,
}

/// Who gets dsmexec's standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StdinTo {
    Nobody,
    Rank(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StreamName {
    Stdout,
    Stderr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultName {
    /// The best this machine permits.
    Auto,
    /// userfaultfd.
    Uffd,
    /// mprotect and SIGSEGV.
    Sigsegv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlacementName {
    /// Page by page in turn.
    Cyclic,
    /// One contiguous block for each rank.
    Block,
    /// By a fixed hash of the page's number.
    Random,
    /// Where it is touched first.
    FirstTouch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncryptName {
    /// Those of different hosts.
    Auto,
    /// All.
    Always,
    /// None; ranks still authenticate each other.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SshUse {
    /// Where the host is not this machine.
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere: a host that is not this machine is an error.
    Never,
}

impl From<StreamName> for Stream {
    fn from(name: StreamName) -> Self {
        match name {
            StreamName::Stdout => Self::Stdout,
            StreamName::Stderr => Self::Stderr,
        }
    }
}

impl PlacementName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cyclic => "cyclic",
            Self::Block => "block",
            Self::Random => "random",
            Self::FirstTouch => "first-touch",
        }
    }
}

impl EncryptName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

impl FaultName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Uffd => "uffd",
            Self::Sigsegv => "sigsegv",
        }
    }
}

fn parse_size(text: &str) -> Result<String, String> {
    parse_setting("DSM_SIZE", text)
}

fn parse_heap(text: &str) -> Result<String, String> {
    parse_setting("DSM_HEAP", text)
}

fn parse_base(text: &str) -> Result<String, String> {
    parse_setting("DSM_BASE", text)
}

/// The runtime decides what a setting may be. A flag is not empty, as a variable may be.
fn parse_setting(variable: &str, text: &str) -> Result<String, String> {
    let text = if text.is_empty() { " " } else { text };
    match dsm::check_setting(variable, text) {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => Err(format!("expected {}", error.expected())),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "expected 1 to 600 seconds".into())
}

/// Never is 0.
fn parse_explain(text: &str) -> Result<Duration, String> {
    match text {
        "never" => Ok(Duration::ZERO),
        seconds => parse_seconds(seconds).map_err(|why| format!("{why}, or never")),
    }
}

/// A host that is well says something five times a second.
fn parse_silence(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (2..=600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "expected 2 to 600 seconds".into())
}

fn parse_stdin(text: &str) -> Result<StdinTo, String> {
    match text {
        "none" => Ok(StdinTo::Nobody),
        rank => rank.parse().map(StdinTo::Rank).map_err(|_| "expected a rank or none".into()),
    }
}

fn parse_wrap_command(text: &str) -> Result<OsString, String> {
    match text.as_bytes().first() {
        None | Some(b'-') => Err("expected a name or a path, not beginning with -".into()),
        Some(_) => Ok(text.into()),
    }
}

fn parse_export(text: OsString) -> Result<Export, String> {
    let text = text.as_bytes();
    let (name, value) = match text.iter().position(|byte| *byte == b'=') {
        Some(end) => (&text[..end], Some(OsStr::from_bytes(&text[end + 1..]).to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("expected NAME or NAME=VALUE".into());
    }
    Ok(Export { name: OsStr::from_bytes(name).to_owned(), value })
}

const MORE: &str = "\
Examples:
  dsmexec machine_file hello              one rank per line of machine_file
  dsmexec -n 2 -x OMP_NUM_THREADS=4 machine_file ./jacobi 4096
  dsmexec --tag=rank --only 0 machine_file ./jacobi <input
  dsmexec --ssh=always --ssh-command 'ssh -p 2222' machine_file hostname
  dsmexec --dry-run machine_file hello    what would be started where
  dsmexec --wrap=ref machine_file ./prog  with the dsmwrap of the PR204 reference

A machine file:
  node1                    # rank 0; comments and blank lines are ignored
  me@node2 slots=2         # ranks 1 and 2
  fd00::3 address=10.0.0.3 # rank 3; other ranks reach it at 10.0.0.3

Signals:
  SIGUSR1  prints what every rank waits for, since when, and why

Exit codes:
  0    every rank exited with 0
  N    the code of the rank that failed first; 128+S if signal S killed it
  64   usage                        68   unknown host
  69   host unreachable, ssh failed, or no dsmwrap there
  70   internal error               71   not enough of a resource
  74   log or report impossible     75   contact to a host or between ranks lost
  76   a rank broke the protocol    77   permission denied
  78   machine file, settings, program or directory wrong
  130  Ctrl-C";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Options {
        Options::try_parse_from([&["dsmexec"], words].concat()).unwrap()
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn what_follows_the_program_is_the_programs() {
        let check = |words: &[&str], command: &[&str]| {
            let options = parse(words);
            assert_eq!(options.command, command, "{words:?}");
            assert_eq!(options.machine_file, PathBuf::from("m"));
            options
        };
        check(&["m", "p"], &["p"]);
        assert!(
            !check(&["m", "p", "-v", "--help", "-n", "x"], &["p", "-v", "--help", "-n", "x"])
                .verbose
        );
        assert!(check(&["-v", "m", "p", "--", "-v"], &["p", "--", "-v"]).verbose);
        assert!(check(&["m", "-v", "p", "--log=x"], &["p", "--log=x"]).verbose);
        check(&["m", "p", "", " a b ", "c;d"], &["p", "", " a b ", "c;d"]);
    }

    #[test]
    fn settings_are_what_the_runtime_understands() {
        let options = parse(&["--size", "64M", "--base=0x300000000000", "m", "p"]);
        assert_eq!(options.size.as_deref(), Some("64M"));
        assert_eq!(options.base.as_deref(), Some("0x300000000000"));
    }

    #[test]
    fn every_placement_is_one_the_runtime_knows() {
        for placement in PlacementName::value_variants() {
            let word = format!("--placement={}", placement.as_str());
            assert_eq!(parse(&[&word, "m", "p"]).placement, Some(*placement));
            assert_eq!(dsm::check_setting("DSM_PLACEMENT", placement.as_str()), Ok(()));
        }
    }

    #[test]
    fn every_choice_of_encryption_is_one_the_runtime_knows() {
        for choice in EncryptName::value_variants() {
            let word = format!("--encrypt={}", choice.as_str());
            assert_eq!(parse(&[&word, "m", "p"]).encrypt, Some(*choice));
            assert_eq!(dsm::check_setting("DSM_ENCRYPT", choice.as_str()), Ok(()));
        }
    }

    #[test]
    fn exports_have_a_name_and_perhaps_a_value() {
        let options = parse(&["-x", "A", "-x", "B=", "-x", "C=d=e f", "m", "p"]);
        let pairs: Vec<_> = options
            .exports
            .iter()
            .map(|it| (it.name.to_str().unwrap(), it.value.as_ref().map(|it| it.to_str().unwrap())))
            .collect();
        assert_eq!(pairs, [("A", None), ("B", Some("")), ("C", Some("d=e f"))]);
        assert!(Options::try_parse_from(["dsmexec", "-x", "=a", "m", "p"]).is_err());
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let check = |words: &[&str]| {
            let words = [&["dsmexec"], words, &["m", "p"]].concat();
            assert!(Options::try_parse_from(&words).is_err(), "{words:?}");
        };
        check(&["-n", "0"]);
        check(&["--only", "x"]);
        check(&["--stdin", "x"]);
        check(&["--tag", "x"]);
        check(&["--connect-timeout", "0"]);
        check(&["--dead-after", "1"]);
        check(&["--kill-after", "0"]);
        check(&["--stopped-after", "x"]);
        check(&["--explain-after", "0"]);
        check(&["--unknown"]);
        check(&["--size", ""]);
        check(&["--size", "1KB"]);
        check(&["--heap", "lots"]);
        check(&["--base", "x"]);
        check(&["--fault", "x"]);
        check(&["--launch", "x"]);
        check(&["--wrap", "x"]);
        check(&["--wrap-command", ""]);
        check(&["--wrap-command=-c"]);
        check(&["--peer", "x"]);
        check(&["--placement", "x"]);
    }
}
