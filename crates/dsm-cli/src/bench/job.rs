use super::reading::{Reading, Setup, Spec, Word};
use crate::words;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How jobs are started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// Where the ranks run; on this machine without.
    pub(crate) machine_file: Option<PathBuf>,
    /// What dsmexec is told besides.
    pub(crate) options: Vec<OsString>,
}

/// One job: what it measures, and on how much.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) spec: Spec,
    pub(crate) ranks: u16,
    /// Bytes of the area, as dsmexec takes them.
    pub(crate) size: &'static str,
    /// A variable of the ranks.
    pub(crate) setting: Option<&'static str>,
}

/// What became of a job.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) readings: Vec<Reading>,
    /// `None` if there was nothing to share.
    pub(crate) setup: Option<Setup>,
    /// From before dsmexec was started until it had ended.
    pub(crate) took: Duration,
}

/// Why there are no figures.
#[derive(Debug, Error)]
pub(crate) enum JobError {
    #[error("cannot {operation}: {cause}", cause = words::of_error(source))]
    System { operation: &'static str, source: io::Error },
    #[error("a job of {ranks} ranks has said nothing for {PATIENCE:?}")]
    Silent { ranks: u16 },
    #[error("a job of {ranks} ranks failed: {said}")]
    Failed { ranks: u16, said: String },
    #[error("a rank said what is no reading: {said}")]
    Unclear { said: String },
}

impl Job {
    /// Runs it to its end; `progress` hears how much is done, from 0 to 1.
    ///
    /// # Errors
    /// If the job cannot be started, fails or says nothing any more.
    pub(crate) fn run(
        &self,
        launch: &Launch,
        mut progress: impl FnMut(f64),
    ) -> Result<Done, JobError> {
        let began = Instant::now();
        let mut running = Running::start(self.command(launch)?)?;
        if launch.machine_file.is_none() {
            running.feed(format!("localhost slots={}\n", self.ranks).as_bytes())?;
        }
        let (mut readings, mut setup) = (Vec::new(), None);
        while let Some(line) = running.next_line(self.ranks)? {
            match serde_json::from_slice(&line) {
                Ok(Word::Setup(told)) => setup = Some(told),
                Ok(Word::Progress(part)) => progress(part),
                Ok(Word::Reading(reading)) => readings.push(reading),
                Err(_) => return Err(JobError::Unclear { said: words::of_stranger(&line) }),
            }
        }
        running.end(self.ranks)?;
        Ok(Done { readings, setup, took: began.elapsed() })
    }

    fn command(&self, launch: &Launch) -> Result<Command, JobError> {
        let spec = serde_json::to_string(&self.spec).expect("a spec is plain data");
        let mut command = Command::new(beside("dsmexec"));
        command.args(["--log", "none", "--stdin", "none", "--tag", "none", "--wdir", "/"]);
        command.args(["--placement", "cyclic", "--size", self.size]);
        command.arg("-n").arg(self.ranks.to_string());
        command.args(&launch.options);
        if let Some(setting) = self.setting {
            command.args(["-x", setting]);
        }
        match &launch.machine_file {
            None => command.args(["--ssh", "never", "/dev/stdin"]).stdin(Stdio::piped()),
            Some(machine_file) => command.arg(machine_file).stdin(Stdio::null()),
        };
        command.arg(program()?).arg("bench-rank").arg(spec);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}

/// A dsmexec under way; told to end when this is dropped.
struct Running {
    child: Child,
    lines: Receiver<Vec<u8>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    fn start(mut command: Command) -> Result<Self, JobError> {
        let mut child = command.spawn().map_err(system("run dsmexec"))?;
        let stdout = child.stdout.take().expect("the child was given a pipe");
        let stderr = child.stderr.take().expect("the child was given a pipe");
        let lines = forward(stdout);
        Ok(Self { child, lines, stderr: Some(thread::spawn(|| first_of(stderr))) })
    }

    fn feed(&mut self, machine_file: &[u8]) -> Result<(), JobError> {
        let mut stdin = self.child.stdin.take().expect("the child was given a pipe");
        stdin.write_all(machine_file).map_err(system("tell dsmexec the machines"))
    }

    /// What a rank says next; `None` when nobody is left to say something.
    fn next_line(&self, ranks: u16) -> Result<Option<Vec<u8>>, JobError> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(JobError::Silent { ranks }),
        }
    }

    /// Waits for dsmexec, which has closed its output.
    fn end(mut self, ranks: u16) -> Result<(), JobError> {
        let status = self.child.wait().map_err(system("wait for dsmexec"))?;
        let said = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        let lines = said.split(|byte| *byte == b'\n').map(words::of_stranger);
        let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
        Err(JobError::Failed { ranks, said: format!("{status}: {}", lines.join("; ")) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let asked = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())
            .and_then(|child| pidfd_send_signal(child, Signal::TERM));
        if asked.is_err() {
            // It does not matter then how it ends.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// A program that was installed beside this one.
fn beside(name: &str) -> PathBuf {
    env::current_exe().unwrap_or_default().with_file_name(name)
}

/// This program as the ranks' hosts have it: in the directory that is said to have dsmwrap, or at the same path.
fn program() -> Result<PathBuf, JobError> {
    let bin = env::var_os("DSM_BIN").filter(|bin| !bin.is_empty());
    match bin {
        Some(bin) => Ok(PathBuf::from(bin).join("dsm")),
        None => env::current_exe().map_err(system("find this program")),
    }
}

fn forward(stdout: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n') {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// What stands first in it; the rest is read and forgotten, so that nobody waits for a reader.
fn first_of(mut stderr: ChildStderr) -> Vec<u8> {
    let mut kept = Vec::new();
    // What was read until an error is as good.
    let _ = stderr.by_ref().take(MAX_STDERR).read_to_end(&mut kept);
    let _ = io::copy(&mut stderr, &mut io::sink());
    kept
}

fn system(operation: &'static str) -> impl FnOnce(io::Error) -> JobError {
    move |source| JobError::System { operation, source }
}

/// Ranks tell their progress a hundred times.
const PATIENCE: Duration = Duration::from_secs(120);
const MAX_STDERR: u64 = 64 << 10;
