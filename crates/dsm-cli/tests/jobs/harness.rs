//! One job in a directory of its own, watched with deadlines.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A directory with a machine file, from which jobs are started.
pub(crate) struct Place {
    dir: TempDir,
}

/// A dsmexec under way.
pub(crate) struct Running {
    what: String,
    child: Child,
    stdin: Option<ChildStdin>,
    pieces: Receiver<(Stream, Vec<u8>)>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// A dsmexec that has ended.
pub(crate) struct Ended {
    what: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

/// A process that must be gone some time.
pub(crate) struct Watched {
    pid: Pid,
    exit: OwnedFd,
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

impl Place {
    pub(crate) fn new(machines: &str) -> Self {
        let dir = TempDir::with_prefix("dsm jobs ").unwrap();
        fs::write(dir.path().join("machines"), machines).unwrap();
        Self { dir }
    }

    /// So many ranks on this machine.
    pub(crate) fn local(ranks: usize) -> Self {
        Self::new(&"localhost\n".repeat(ranks))
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// dsmexec with these options, the machine file, and a program.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, options: &[&str], program: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dsmexec"));
        command.args(options).arg("machines").args(program).current_dir(self.dir.path());
        let settings =
            ["DSM_BIN", "DSM_SSH", "DSM_SIZE", "DSM_HEAP", "DSM_BASE", "DSM_FAULT", "NO_COLOR"];
        for name in settings {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn start<S: AsRef<OsStr>>(&self, options: &[&str], program: &[S]) -> Running {
        Running::start(self.command(options, program))
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, options: &[&str], program: &[S]) -> Ended {
        self.start(options, program).wait()
    }

    /// A job of `sh -c script`.
    pub(crate) fn sh(&self, options: &[&str], script: &str) -> Ended {
        self.run(options, &["sh", "-c", script])
    }
}

impl Running {
    /// Starts the command in a process group of its own.
    pub(crate) fn start(mut command: Command) -> Self {
        let what = format!("{command:?}");
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.process_group(0).spawn().unwrap();
        let (sender, pieces) = channel();
        forward(child.stdout.take().unwrap(), Stream::Stdout, sender.clone());
        forward(child.stderr.take().unwrap(), Stream::Stderr, sender);
        let stdin = child.stdin.take();
        Self { what, child, stdin, pieces, stdout: Vec::new(), stderr: Vec::new() }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Feeds standard input from a thread, and ends it.
    pub(crate) fn feed(&mut self, bytes: Vec<u8>) {
        let mut stdin = self.stdin.take().unwrap();
        // The job may end before it has read everything.
        thread::spawn(move || {
            let _ = stdin.write_all(&bytes);
        });
    }

    /// Leaves standard input open and empty until the returned pipe is dropped.
    pub(crate) fn hold_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    /// Waits until standard output has these many lines that hold `text`; gives them.
    pub(crate) fn await_stdout(&mut self, text: &str, count: usize) -> Vec<String> {
        self.await_lines(text, count, |running| &running.stdout)
    }

    /// The same for standard error.
    pub(crate) fn await_stderr(&mut self, text: &str, count: usize) -> Vec<String> {
        self.await_lines(text, count, |running| &running.stderr)
    }

    fn await_lines(
        &mut self,
        text: &str,
        count: usize,
        stream: fn(&Self) -> &Vec<u8>,
    ) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let lines = String::from_utf8_lossy(stream(self));
            let whole = lines.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let found: Vec<_> =
                whole.filter(|line| line.contains(text)).map(str::to_owned).collect();
            if found.len() >= count {
                return found;
            }
            if !self.collect(deadline) {
                let (what, rest) = (self.what.clone(), self.describe());
                panic!("waited for {count} lines with {text:?} of {what}\n{rest}");
            }
        }
    }

    /// Takes the next piece of output; false if there is none in time, or none at all.
    fn collect(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.pieces.recv_timeout(left) {
            Ok((Stream::Stdout, bytes)) => self.stdout.extend(bytes),
            Ok((Stream::Stderr, bytes)) => self.stderr.extend(bytes),
            Err(_) => return false,
        }
        true
    }

    /// Waits for the end of the job and of its output.
    pub(crate) fn wait(self) -> Ended {
        self.end_within(DEADLINE).unwrap_or_else(|hung| panic!("{hung}"))
    }

    /// The same, but a job that does not end in time is killed, and is told of.
    pub(crate) fn end_within(mut self, limit: Duration) -> Result<Ended, String> {
        let began_at = Instant::now();
        drop(self.stdin.take());
        while self.collect(began_at + limit) {}
        let watched = Watched::new(Pid::from_child(&self.child));
        if !watched.is_gone_within(limit.saturating_sub(began_at.elapsed())) {
            let _ = self.child.kill();
            return Err(format!("{} does not end\n{}", self.what, self.describe()));
        }
        let status = self.child.wait().unwrap();
        let took = began_at.elapsed();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&self.stdout), text(&self.stderr));
        Ok(Ended { what: self.what.clone(), status, stdout, stderr, took })
    }

    fn describe(&self) -> String {
        let text = |bytes: &[u8]| shorten(&String::from_utf8_lossy(bytes));
        format!("--- stdout:\n{}\n--- stderr:\n{}", text(&self.stdout), text(&self.stderr))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has usually ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// Standard error has a line with all these words in this order.
    #[track_caller]
    pub(crate) fn assert_stderr(&self, words: &[&str]) -> &Self {
        let holds = |line: &str| {
            let mut rest = line;
            words.iter().all(|word| match rest.split_once(word) {
                Some((_, behind)) => {
                    rest = behind;
                    true
                }
                None => false,
            })
        };
        assert!(self.stderr.lines().any(holds), "no line with {words:?}: {self}");
        self
    }

    /// The lines of standard output, sorted.
    pub(crate) fn lines(&self) -> Vec<&str> {
        let mut lines: Vec<_> = self.stdout.lines().collect();
        lines.sort_unstable();
        lines
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, status, stdout, stderr, took } = self;
        let signal =
            status.signal().map(|signal| format!(" (signal {signal})")).unwrap_or_default();
        let (stdout, stderr) = (shorten(stdout), shorten(stderr));
        write!(
            f,
            "{what}: {status}{signal} after {took:?}\n--- stdout:\n{stdout}\n--- stderr:\n{stderr}"
        )
    }
}

impl Watched {
    pub(crate) fn new(pid: Pid) -> Self {
        Self { pid, exit: pidfd_open(pid, PidfdFlags::empty()).unwrap() }
    }

    /// The processes whose numbers end these lines.
    pub(crate) fn last_words(lines: &[String]) -> Vec<Self> {
        let pid = |line: &String| line.split_whitespace().next_back().unwrap().parse().unwrap();
        lines.iter().map(|line| Self::new(Pid::from_raw(pid(line)).unwrap())).collect()
    }

    /// The processes that were started in this directory and have not left it.
    pub(crate) fn all_in(dir: &Path) -> Vec<Self> {
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            // Whoever has ended meanwhile is nowhere.
            (fs::read_link(entry.path().join("cwd")).ok()? == dir).then_some(pid)
        });
        let watch = |pid| Some(Self { pid, exit: pidfd_open(pid, PidfdFlags::empty()).ok()? });
        pids.filter_map(watch).collect()
    }

    pub(crate) fn kill(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    pub(crate) fn is_gone_within(&self, time: Duration) -> bool {
        let timeout = Timespec::try_from(time).unwrap();
        poll(&mut [PollFd::new(&self.exit, PollFlags::IN)], Some(&timeout)).unwrap() == 1
    }

    /// All are gone before this time from now.
    #[track_caller]
    pub(crate) fn assert_gone_within(all: &[Self], time: Duration) {
        Self::end_within(all, time).unwrap_or_else(|there| panic!("{there}"));
    }

    /// Waits for their end, and kills all if one is there after this time.
    pub(crate) fn end_within(all: &[Self], time: Duration) -> Result<(), String> {
        let deadline = Instant::now() + time;
        for watched in all {
            let left = deadline.saturating_duration_since(Instant::now());
            if !watched.is_gone_within(left) {
                let stat = fs::read_to_string(format!("/proc/{}/stat", watched.pid));
                for watched in all {
                    let _ = kill_process(watched.pid, Signal::KILL);
                }
                return Err(format!("pid {} is there after {time:?}: {stat:?}", watched.pid));
            }
        }
        Ok(())
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn forward(mut from: impl Read + Send + 'static, stream: Stream, to: Sender<(Stream, Vec<u8>)>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.send((stream, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(4000) {
        Some((end, _)) => format!("{}\n... {} bytes in all", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

/// Nothing here takes a tenth of it on an idle machine.
const DEADLINE: Duration = Duration::from_secs(60);
