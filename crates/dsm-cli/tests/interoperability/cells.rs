//! What is tried, and what is right.

use crate::harness::{Ended, Place, Running, Watched};
use crate::peer;
use crate::ranks::{Peer, Program, Ranks};
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Who starts the ranks, and how: a row of the matrix.
#[derive(Clone, Copy)]
pub(crate) struct Launch {
    pub(crate) launcher: Launcher,
    pub(crate) options: &'static [&'static str],
    /// The dsmwrap that PATH finds, if the launch asks for one.
    pub(crate) wrapper: Option<Wrapper>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Launcher {
    Ours,
    Stub,
}

#[derive(Clone, Copy)]
pub(crate) enum Wrapper {
    Ours,
    /// That of this form.
    Stub(&'static str),
}

/// Cells that differ in program and number of ranks alone.
pub(crate) struct Column {
    pub(crate) ranks: Ranks,
    pub(crate) programs: &'static [Program],
    pub(crate) nodes: &'static [usize],
}

/// What became of a cell.
#[derive(Default)]
struct Figures {
    runs: usize,
    failures: usize,
    slowest: Duration,
}

/// All columns. seed8 is for two ranks.
pub(crate) const ALL: &[Column] = &[
    Column { ranks: Ranks::Ours, programs: OF_DSM, nodes: ANY },
    Column { ranks: Ranks::Stub(Peer::Bcast), programs: OF_DSM, nodes: ANY },
    Column { ranks: Ranks::Stub(Peer::Seed8), programs: VALUES, nodes: &[1, 2] },
    Column { ranks: Ranks::Mixed(Peer::Bcast, "0"), programs: VALUES, nodes: &[2, 3, 4] },
    Column { ranks: Ranks::Mixed(Peer::Bcast, "1"), programs: VALUES, nodes: &[2, 3, 4] },
    Column { ranks: Ranks::Mixed(Peer::Bcast, "0,3"), programs: VALUES, nodes: &[4] },
    Column { ranks: Ranks::Mixed(Peer::Seed8, "0"), programs: VALUES, nodes: &[2] },
    Column { ranks: Ranks::Mixed(Peer::Seed8, "1"), programs: VALUES, nodes: &[2] },
    Column { ranks: Ranks::Strangers, programs: &[Program::Plain], nodes: ANY },
];

const ANY: &[usize] = &[1, 2, 3, 4];
pub(crate) const VALUES: &[Program] = &[Program::Turns, Program::Scan];
const OF_DSM: &[Program] = &[Program::Turns, Program::Scan, Program::Exemple, Program::Truc];

/// Runs every cell of these columns, prints its figures, and fails if any run did.
#[track_caller]
pub(crate) fn check(launch: &Launch, columns: &[Column]) {
    let (mut all, mut cells, mut complaints) = (Figures::default(), 0, Vec::new());
    for column in columns {
        for program in column.programs {
            for nodes in column.nodes {
                let figures = launch.cell(column.ranks, *program, *nodes, &mut complaints);
                let Figures { runs, failures, slowest } = figures;
                let slowest_ms = slowest.as_millis();
                let (launch, ranks) = (launch.name(), column.ranks.name());
                let cell = format!("{launch}; {ranks}; {}, {nodes} ranks", program.name());
                println!("{cell}: runs {runs}, failures {failures}, slowest {slowest_ms} ms");
                cells += 1;
                all.runs += runs;
                all.failures += failures;
                all.slowest = all.slowest.max(slowest);
            }
        }
    }
    let Figures { runs, failures, slowest } = all;
    let (name, slowest_ms) = (launch.name(), slowest.as_millis());
    println!(
        "{name}: {cells} cells, runs {runs}, failures {failures}, slowest {slowest_ms} ms in all"
    );
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

/// How often a cell runs.
fn runs(nodes: usize) -> usize {
    match env::var("DSM_MATRIX_RUNS") {
        Ok(runs) => runs.parse().expect("DSM_MATRIX_RUNS is a number"),
        Err(_) if nodes == 2 => 20,
        Err(_) => 5,
    }
}

impl Launch {
    pub(crate) fn name(&self) -> String {
        let launcher = match self.launcher {
            Launcher::Ours => "our dsmexec",
            Launcher::Stub => "stub launcher",
        };
        let wrapper = match self.wrapper {
            None => "",
            Some(Wrapper::Ours) => ", our dsmwrap",
            Some(Wrapper::Stub(_)) => ", stub wrapper",
        };
        format!("{launcher} {}{wrapper}", self.options.join(" "))
    }

    fn cell(
        &self,
        ranks: Ranks,
        program: Program,
        nodes: usize,
        complaints: &mut Vec<String>,
    ) -> Figures {
        let place = Place::local(nodes);
        let mut figures = Figures::default();
        for _ in 0..runs(nodes) {
            let began_at = Instant::now();
            let running = Running::start(self.job(&place, ranks, program, nodes));
            let ended = running.end_within(LIMIT);
            figures.runs += 1;
            figures.slowest = figures.slowest.max(began_at.elapsed());
            let right =
                ended.and_then(|ended| judge(&ended, &place, ranks, program, nodes, self.launcher));
            if let Err(complaint) = right {
                figures.failures += 1;
                complaints.push(complaint);
            }
            if figures.failures == ENOUGH {
                break;
            }
        }
        if let Err(complaint) = left_nothing(&place) {
            figures.failures += 1;
            complaints.push(complaint);
        }
        figures
    }

    /// The job of a cell.
    fn job(&self, place: &Place, ranks: Ranks, program: Program, nodes: usize) -> Command {
        let mut words = ranks.words(program);
        words.extend(program.arguments().iter().map(PathBuf::from));
        self.command(place, nodes, ranks, &words)
    }

    /// A command line that starts these words on so many ranks, with what makes them speak to each other.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        place: &Place,
        nodes: usize,
        ranks: Ranks,
        words: &[S],
    ) -> Command {
        let foreign = ranks.peer().map(|peer| format!("PR204_PEER={}", peer.name()));
        let ours = ranks.peer_of_ours();
        let mut command = match self.launcher {
            Launcher::Ours => {
                let mut options = vec!["--log=none"];
                let peer = ours.map(|peer| format!("--peer={}", peer.name()));
                options.extend(peer.as_deref());
                if let Some(variable) = &foreign {
                    options.extend(["-x", variable]);
                }
                place.command(&[&options, self.options].concat(), words)
            }
            Launcher::Stub => {
                let mut command = Command::new(peer("launcher"));
                command.current_dir(place.dir()).args(self.options);
                command.args(["--hosts", &nodes.to_string()]);
                let ours = ours.map(|peer| format!("DSM_PEER={}", peer.name()));
                for variable in foreign.iter().chain(&ours) {
                    command.args(["--env", variable]);
                }
                command.args(words);
                command
            }
        };
        for name in ["DSM_PEER", "PR204_PEER", "DSM_WRAP_PROFILE", "DSM_PLACEMENT"] {
            command.env_remove(name);
        }
        if let Some(wrapper) = self.wrapper {
            let directory = wrapper.directory();
            let path = env::var_os("PATH").unwrap();
            let directories = std::iter::once(directory).chain(env::split_paths(&path));
            command.env("PATH", env::join_paths(directories).unwrap());
        }
        command
    }
}

impl Wrapper {
    pub(crate) fn directory(self) -> PathBuf {
        let dsmwrap = match self {
            Self::Ours => PathBuf::from(env!("CARGO_BIN_EXE_dsmwrap")),
            Self::Stub(form) => peer(&format!("{form}/dsmwrap")),
        };
        dsmwrap.parent().unwrap().to_owned()
    }
}

/// Whether a job did what it had to, and nothing else.
fn judge(
    ended: &Ended,
    place: &Place,
    ranks: Ranks,
    program: Program,
    nodes: usize,
    launcher: Launcher,
) -> Result<(), String> {
    if ended.status.code() != Some(0) {
        return Err(format!("exit code: {ended}"));
    }
    let mut said: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for line in ended.stdout.lines().chain(ended.stderr.lines()) {
        match words_of_a_rank(line) {
            // What a launcher of the family says depends on the machine.
            Some((_, "stdout", text)) if is_a_variable(text) => (),
            Some((rank, "stdout", text)) => said.entry(rank).or_default().push(text),
            _ if is_expected(line, launcher) => (),
            _ => return Err(format!("unexpected {line:?}: {ended}")),
        }
    }
    for rank in 0..nodes {
        let lines = program.lines(ranks, rank, nodes, place.dir());
        if said.remove(&rank).unwrap_or_default() != lines {
            return Err(format!("rank {rank} did not say {lines:?}: {ended}"));
        }
    }
    if said.is_empty() { Ok(()) } else { Err(format!("ranks that are none: {ended}")) }
}

/// Whether the jobs of a place have left no process there, and no file.
fn left_nothing(place: &Place) -> Result<(), String> {
    Watched::end_within(&Watched::all_in(place.dir()), GONE)?;
    let left: Vec<_> = place.dir().read_dir().unwrap().map(|it| it.unwrap().path()).collect();
    match &left[..] {
        [only] if *only == place.path("machines") => Ok(()),
        _ => Err(format!("a job has left files: {left:?}")),
    }
}

/// Rank, stream and text of `[Proc 0 : localhost : stdout] text`.
pub(crate) fn words_of_a_rank(line: &str) -> Option<(usize, &str, &str)> {
    let (head, text) = line.strip_prefix("[Proc ")?.split_once("] ")?;
    let mut head = head.split(" : ");
    let (rank, host, stream) = (head.next()?, head.next()?, head.next()?);
    (host == "localhost").then_some(())?;
    Some((rank.parse().ok()?, stream, text))
}

fn is_a_variable(text: &str) -> bool {
    text.starts_with("DSMEXEC_") || text.starts_with("MASTER_FD=")
}

/// Whether a launcher, wrapper or library says this when all is well.
fn is_expected(line: &str, launcher: Launcher) -> bool {
    let exited = launcher == Launcher::Stub
        && line.starts_with("launcher: rank ")
        && line.ends_with("exited with code 0");
    exited || line.ends_with("plaintext and unauthenticated")
}

/// For a run. The C peers give up after 20 s.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// Everything is to be gone this long after the launcher has ended.
pub(crate) const GONE: Duration = Duration::from_secs(3);

/// A cell with so many failures is not tried further.
const ENOUGH: usize = 3;
