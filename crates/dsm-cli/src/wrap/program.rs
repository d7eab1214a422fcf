use super::block_socket::{BlockSocket, Reader};
use super::family;
use super::find::{Surroundings, failure};
use super::input::Input;
use super::launch_pipe::{Launch, LaunchPipe};
use super::memory::MemoryGroup;
use super::rank_socket::{Line, RankSocket};
use super::stage;
use super::told::{Family, Told};
use crate::exit_code::ExitCode;
use crate::nonblocking::{Arrival, Wanted, read};
use dsm_net::launch::{
    Ending, JOB_FD, LISTEN_FD, Process, Question, Start, StartFailure, StartStep, Status, Stream,
};
use dsm_net::pr204::{ETE7, LAUNCHER_FD, LISTENER_FD};
use rustix::event::PollFlags;
use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, Resource, Signal, WaitId, WaitIdOptions, getrlimit};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A started program and what dsmwrap holds of it. Its process is reaped last, so that until then
/// its process id and its group are nobody else's.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    child: Child,
    exit: OwnedFd,
    launch: Option<LaunchPipe>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    pub(super) input: Input,
    socket: Option<RankSocket>,
    /// What the process executed when it joined the job; none before, and none after it left.
    joined_as: Option<PathBuf>,
    /// The questions that its runtime knows.
    knows: Questions,
    /// After how long a wait is to be told unasked; 0 is never.
    explain_after_ms: u32,
    block: Option<BlockSocket>,
    memory: Option<MemoryGroup>,
    /// The signal that has stopped it.
    stopped_by: Option<i32>,
    exited_at: Option<Instant>,
    kill_at: Option<Instant>,
    killed: bool,
}

/// The questions that a runtime knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Questions {
    None,
    /// What its threads wait for.
    Waits,
    All,
}

/// The part of a program that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Launch,
    Socket,
    Block,
    Output(Stream),
    Input,
    Exit,
}

/// Whether there is room for what the program says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Some,
    None,
}

impl Program {
    /// Starts the stage that becomes the program; the program inherits `listener`.
    ///
    /// # Errors
    /// Names the step that failed; nothing runs then.
    pub(super) fn spawn(start: &Start, listener: &impl AsFd) -> Result<Self, StartFailure> {
        let around = Surroundings::new(&start.directory, &start.environment);
        let path = around.find(&start.program)?;
        let spawned = spawn_stage(start, &around, &path, listener.as_fd());
        spawned.map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::TOOBIG) => failure(StartStep::Execute, &path, &error),
            Some(Errno::AGAIN) => {
                let mut failure = failure(StartStep::Resources, &path, &error);
                if let Some(limit) = getrlimit(Resource::Nproc).current {
                    let room =
                        format!("; the user may have {limit} processes and threads (ulimit -u)");
                    failure.cause.push_str(&room);
                }
                failure
            }
            _ => failure(StartStep::Resources, &path, &error),
        })
    }

    fn adopt(
        path: &Path,
        mut child: Child,
        launch: LaunchPipe,
        socket: RankSocket,
        block: Option<BlockSocket>,
        explain_after_ms: u32,
    ) -> io::Result<Self> {
        let mut watch = || {
            let exit = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
            let stdout = nonblocking(child.stdout.take().map(OwnedFd::from))?;
            let stderr = nonblocking(child.stderr.take().map(OwnedFd::from))?;
            let stdin = nonblocking(child.stdin.take().map(OwnedFd::from))?;
            io::Result::Ok((exit, stdout, stderr, Input::new(stdin)))
        };
        let (exit, stdout, stderr, input) = match watch() {
            Ok(watch) => watch,
            Err(error) => {
                // Nobody could supervise it, so it must not run.
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        let pid = child.id();
        Ok(Self {
            path: path.to_path_buf(),
            child,
            exit,
            launch: Some(launch),
            stdout,
            stderr,
            input,
            socket: Some(socket),
            joined_as: None,
            knows: Questions::None,
            explain_after_ms,
            block,
            memory: MemoryGroup::of(pid),
            stopped_by: None,
            exited_at: None,
            kill_at: None,
            killed: false,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What to wait for, in the order in which it is to be served.
    pub(super) fn wanted(&self, room: Room) -> Vec<Wanted<'_, Part>> {
        let mut wanted = Vec::new();
        if let Some(launch) = &self.launch {
            wanted.push(Wanted(Part::Launch, launch.as_fd(), PollFlags::IN));
        }
        if let Some(block) = &self.block {
            wanted.push(Wanted(Part::Block, block.as_fd(), block.interest()));
        }
        if room == Room::Some {
            let socket = self.socket.iter();
            wanted.extend(
                socket.map(|socket| Wanted(Part::Socket, socket.as_fd(), socket.interest())),
            );
            for (stream, pipe) in [(Stream::Stdout, &self.stdout), (Stream::Stderr, &self.stderr)] {
                let pipe = pipe.iter();
                wanted
                    .extend(pipe.map(|it| Wanted(Part::Output(stream), it.as_fd(), PollFlags::IN)));
            }
        }
        wanted.extend(self.input.wanted(Part::Input));
        if self.exited_at.is_none() {
            wanted.push(Wanted(Part::Exit, self.exit.as_fd(), PollFlags::IN));
        }
        wanted
    }

    /// How executing the program went, once it is known.
    pub(super) fn on_launch(&mut self) -> Launch {
        let Some(pipe) = &mut self.launch else { return Launch::Pending };
        let launched = match self.exited_at {
            None => pipe.serve(&self.path),
            Some(_) => pipe.settle(&self.path),
        };
        if !matches!(launched, Launch::Pending) {
            self.launch = None;
        }
        launched
    }

    /// What the rank's runtime said.
    pub(super) fn on_socket(&mut self) -> Vec<Status> {
        let Some(socket) = &mut self.socket else { return Vec::new() };
        let (mut said, line) = socket.serve();
        if said.contains(&Status::Explains) && self.explain_after_ms > 0 {
            socket.ask(&Question::TellLong { after_ms: self.explain_after_ms });
        }
        for status in &said {
            match status {
                Status::Explains => self.knows = Questions::All,
                Status::Joined { .. } => {
                    self.joined_as = self.executable();
                    self.memory = MemoryGroup::follow(self.memory.take(), self.pid());
                }
                Status::Finalized
                | Status::Failed { .. }
                | Status::ContactLost { .. }
                | Status::Unresumed { .. } => {
                    self.joined_as = None;
                }
                Status::Joining => {
                    self.knows = self.knows.max(Questions::Waits);
                    // Before it touches memory: what is killed there from now on counts.
                    self.memory = MemoryGroup::follow(self.memory.take(), self.pid());
                }
                Status::Stats(_)
                | Status::Waits(_)
                | Status::Held { .. }
                | Status::Inquire(_)
                | Status::Pages(_)
                | Status::Resumed { .. }
                | Status::Unheard(_)
                | Status::Unmet { .. } => (),
            }
        }
        if line == Line::Closed {
            self.socket = None;
            said.extend(self.desertion());
        }
        said
    }

    /// What a process has done that is in the job and has closed its socket, unless it is ending: then its
    /// memory goes before its descriptors, nothing is executed any more, and its end says why.
    fn desertion(&mut self) -> Option<Status> {
        let (before, after) = (self.joined_as.take()?, self.executable()?);
        let how = if before == after {
            "closed the descriptors of dsm, or executed itself again".to_owned()
        } else {
            format!("executed {}", after.display())
        };
        let (code, reason) = (ExitCode::PROTOCOL.into(), format!("{how} without dsm_finalize"));
        Some(Status::Failed { code, reason })
    }

    /// Asks the runtime something, if it has joined and knows the question; tells what is known without it.
    pub(super) fn ask(&mut self, question: &Question) -> Process {
        // Before it is disturbed.
        let state = self.state();
        let least = match question {
            Question::Waits => Questions::Waits,
            Question::Pages(_) | Question::TellLong { .. } | Question::Unheard => Questions::All,
        };
        let is_able = self.knows >= least && self.joined_as.is_some();
        let socket = self.socket.as_mut().filter(|_| is_able);
        let is_asked = socket.is_some_and(|socket| socket.ask(question));
        Process { state, stopped_by: self.stopped_by, is_asked }
    }

    /// Whether it was stopped or continued since the last time, and how it is now.
    pub(super) fn on_look(&mut self) -> Option<Option<i32>> {
        if self.exited_at.is_some() {
            return None;
        }
        self.memory = MemoryGroup::follow(self.memory.take(), self.pid());
        let options = WaitIdOptions::STOPPED | WaitIdOptions::CONTINUED | WaitIdOptions::NOHANG;
        let pid = Pid::from_child(&self.child);
        // The kernel keeps the last change alone.
        let changed = rustix::process::waitid(WaitId::Pid(pid), options).ok()??;
        let stopped_by = changed.stopping_signal();
        let is_new = stopped_by != self.stopped_by;
        self.stopped_by = stopped_by;
        is_new.then_some(stopped_by)
    }

    /// `R` if a thread of the program runs, other than those of dsm, else that of the first.
    fn state(&self) -> Option<char> {
        let process = PathBuf::from(format!("/proc/{}", self.pid()));
        let (_, first) = thread_in(&process)?;
        let threads = fs::read_dir(process.join("task")).ok().into_iter().flatten().flatten();
        let runs = |thread: fs::DirEntry| {
            thread_in(&thread.path())
                .is_some_and(|(name, state)| state == 'R' && !name.starts_with("dsm-"))
        };
        let runs = threads.take(MAX_THREADS).any(runs);
        Some(if runs { 'R' } else { first })
    }

    fn executable(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/exe", self.pid())).ok()
    }

    /// The program reads its launch block, or has closed it.
    pub(super) fn on_block(&mut self) {
        self.block.take_if(|block| block.serve() == Reader::Gone);
    }

    /// What the program wrote, if anything; closes the pipe at its end.
    pub(super) fn on_output(&mut self, stream: Stream) -> Option<Vec<u8>> {
        let pipe = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let mut buffer = vec![0; PIECE_BYTES];
        let count = match read(pipe.as_ref()?, &mut buffer) {
            Arrival::Bytes(bytes) => bytes.len(),
            Arrival::NotYet => return None,
            Arrival::End => {
                *pipe = None;
                return None;
            }
        };
        buffer.truncate(count);
        Some(buffer)
    }

    /// The process has ended; what it wrote may still be in its pipes.
    pub(super) fn on_exit(&mut self, now: Instant) {
        self.exited_at.get_or_insert(now);
    }

    /// SIGTERM to the process group, and SIGKILL after `grace`.
    pub(super) fn end(&mut self, grace: Duration, now: Instant) {
        if !grace.is_zero() && self.kill_at.is_none() {
            self.signal(Signal::TERM);
            // A stopped process would not see the SIGTERM.
            self.signal(Signal::CONT);
        }
        let at = now + grace;
        self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// When [`Self::on_time`] or [`Self::is_over`] must be asked again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let kill_at = self.kill_at.filter(|_| !self.killed);
        kill_at.into_iter().chain(self.drained_by()).min()
    }

    pub(super) fn on_time(&mut self, now: Instant) {
        if !self.killed && self.kill_at.is_some_and(|at| at <= now) {
            self.killed = true;
            self.signal(Signal::KILL);
        }
    }

    /// Whether the process has ended and its output is complete, or was waited for long enough: its
    /// own children may hold the pipes for ever.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let complete = self.stdout.is_none() && self.stderr.is_none();
        self.drained_by().is_some_and(|by| complete || by <= now)
    }

    fn drained_by(&self) -> Option<Instant> {
        let exited_at = self.exited_at?;
        Some(match self.kill_at {
            None => exited_at + DRAIN,
            Some(kill_at) => exited_at.max(kill_at) + DRAIN_ENDING,
        })
    }

    /// Kills what is left of the group, takes what is left in the pipes, and reaps the process.
    /// Only after [`Self::is_over`].
    ///
    /// # Errors
    /// If the kernel does not know the child.
    pub(super) fn finish(
        mut self,
        mut output: impl FnMut(Stream, Vec<u8>),
    ) -> io::Result<(Vec<Status>, Ending)> {
        let was_killed = self.killed;
        self.signal(Signal::KILL);
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut left = PIPE_BYTES;
            while let Some(bytes) = self.on_output(stream).filter(|_| left > 0) {
                left = left.saturating_sub(bytes.len());
                output(stream, bytes);
            }
        }
        let mut said = Vec::new();
        let had_no_memory = self.memory.as_ref().and_then(MemoryGroup::told);
        loop {
            let more = self.on_socket();
            if more.is_empty() {
                break;
            }
            said.extend(more);
        }
        let ending = ending(self.child.wait()?);
        if let (Some(why), Ending::Signal(SIGKILL), false) = (had_no_memory, ending, was_killed) {
            let reason = format!("was killed by signal 9 (SIGKILL), {why}");
            said.push(Status::Failed { code: 128 + SIGKILL, reason });
        }
        Ok((said, ending))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        // The group may be empty.
        let _ = rustix::process::kill_process_group(pid, signal);
        let has_left = rustix::process::getpgid(Some(pid)).is_ok_and(|group| group != pid);
        if has_left {
            let _ = rustix::process::pidfd_send_signal(&self.exit, signal);
        }
    }
}

fn spawn_stage(
    start: &Start,
    around: &Surroundings,
    path: &Path,
    listener: BorrowedFd<'_>,
) -> io::Result<Program> {
    let launch = LaunchPipe::new()?;
    let (socket, theirs) = RankSocket::new(&start.job)?;
    let told = Told::new(start, listener)?;
    let theirs = if told.family.is_some() { family::aside(&theirs)? } else { theirs };
    let pairs = start.environment.iter();
    let program = OsStr::from_bytes(&start.program);
    let mut command = stage::command(launch.number(), told.numbers(), path, program);
    for name in [LAUNCHER_FD, LISTENER_FD].iter().chain(&ETE7) {
        // Of a job that dsmexec itself may be a part of.
        command.env_remove(name);
    }
    command
        .args(start.args.iter().map(|argument| OsStr::from_bytes(argument)))
        .envs(pairs.map(|(name, value)| (OsStr::from_bytes(name), OsStr::from_bytes(value))))
        .env("DSM_NODE_ID", start.job.rank.to_string())
        .env("DSM_NODE_NUM", start.job.nodes.len().to_string())
        .env(JOB_FD, theirs.as_raw_fd().to_string())
        .env(LISTEN_FD, listener.as_raw_fd().to_string())
        .envs(told.variables.iter().map(|(name, value)| (name, value)))
        .envs(around.path().map(|search| ("PATH", search)))
        .current_dir(around.directory())
        .stdin(if start.input { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let own = [theirs.as_fd(), listener];
    let inherited = match &told.family {
        None => own.to_vec(),
        Some(Family { launcher, listener, .. }) => {
            vec![theirs.as_fd(), launcher.as_fd(), listener.as_fd()]
        }
    };
    let child = spawn_inheriting(&mut command, &inherited)?;
    let block = told.family.map(|family| family.block);
    Program::adopt(path, child, launch, socket, block, start.explain_after_ms)
}

/// dsmwrap has one thread, so nothing else is started while these descriptors can be inherited.
fn spawn_inheriting(command: &mut Command, inherited: &[BorrowedFd<'_>]) -> io::Result<Child> {
    for descriptor in inherited {
        fcntl_setfd(descriptor, FdFlags::empty())?;
    }
    let spawned = command.spawn();
    for descriptor in inherited {
        fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    }
    spawned
}

fn nonblocking(pipe: Option<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    if let Some(pipe) = &pipe {
        ioctl_fionbio(pipe, true)?;
    }
    Ok(pipe)
}

/// The name and the state of the thread with this directory of /proc.
fn thread_in(directory: &Path) -> Option<(String, char)> {
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    // The name may hold anything.
    let (start, rest) = stat.rsplit_once(')')?;
    let (_, name) = start.split_once('(')?;
    Some((name.to_owned(), rest.trim_start().chars().next()?))
}

fn ending(status: ExitStatus) -> Ending {
    match status.signal() {
        Some(signal) => Ending::Signal(signal),
        None => Ending::Code(status.code().unwrap_or_default()),
    }
}

const SIGKILL: i32 = Signal::KILL.as_raw();
/// Of more threads nobody asks whether they run.
const MAX_THREADS: usize = 256;
/// Read from a pipe at once.
const PIECE_BYTES: usize = 64 << 10;
/// More than a pipe holds, unless its owner made it larger: what a stranger who still writes may add.
const PIPE_BYTES: usize = 1 << 20;
/// How long the output of a process that has ended is waited for.
const DRAIN: Duration = Duration::from_secs(1);
/// The same after SIGKILL: who still holds the pipes has left the group.
const DRAIN_ENDING: Duration = Duration::from_millis(300);
