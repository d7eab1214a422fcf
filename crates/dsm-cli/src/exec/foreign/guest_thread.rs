use super::desk::Desk;
use crate::exec::event::{Event, Gone, How};
use crate::exec::link::{Orders, Setup, Task, Wish};
use crate::exec::preamble::last_line;
use crate::nonblocking::{Arrival, Wanted, read, wait};
use crate::words;
use crate::wrap::{Input, Taken};
use dsm_net::launch::{Ending, Order, Report, Stream};
use rustix::event::PollFlags;
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Leads one foreign wrapper, and the program it becomes, from its start to its end. The wrapper tells no
/// more than where its rank listens, so output, exit and signals are those of the local process: of the
/// program itself, or of ssh.
#[derive(Debug)]
pub(crate) struct GuestThread {
    setup: Setup,
    orders: Orders,
    child: Child,
    by: By,
    desk: Desk,
    input: Input,
    /// Readable when the child has ended; none where there is no pidfd.
    exit: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    has_room: bool,
    /// The end of what came on standard error, for who wants to know why.
    last_said: Vec<u8>,
    /// As announced, or the child's.
    pid: Option<u32>,
    phase: Phase,
    started_at: Instant,
    exited_at: Option<Instant>,
    kill_at: Option<Instant>,
    verdict: Option<How>,
}

/// What the local process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Itself,
    Ssh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Until the block: what the program does is not told, because other ranks may not be there yet.
    Gathering,
    /// The program knows the ranks, and is a rank of the job.
    Running,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Waker,
    Desk,
    Stdin,
    Output(Stream),
    Exit,
}

impl GuestThread {
    pub(crate) fn new(
        setup: Setup,
        mut child: Child,
        by: By,
        desk: Desk,
        orders: Orders,
    ) -> io::Result<Self> {
        let nonblocking = |pipe: Option<OwnedFd>| {
            pipe.iter().try_for_each(|pipe| ioctl_fionbio(pipe, true))?;
            io::Result::Ok(pipe)
        };
        Ok(Self {
            orders,
            by,
            desk,
            input: Input::new(nonblocking(child.stdin.take().map(Into::into))?),
            exit: pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok(),
            stdout: nonblocking(child.stdout.take().map(Into::into))?,
            stderr: nonblocking(child.stderr.take().map(Into::into))?,
            has_room: true,
            last_said: Vec::new(),
            pid: (by == By::Itself).then(|| child.id()),
            child,
            phase: Phase::Gathering,
            started_at: Instant::now(),
            exited_at: None,
            kill_at: None,
            verdict: None,
            setup,
        })
    }

    pub(crate) fn run(mut self) {
        while !self.is_over() {
            self.has_room = self.setup.printer.has_room(self.orders.waker());
            match wait(&self.wanted(), self.deadline()) {
                Ok(ready) => ready.into_iter().for_each(|source| self.on_ready(source)),
                Err(error) => self.give_up(How::Garbled(words::of_error(&error))),
            }
            self.on_time(Instant::now());
        }
        self.finish();
    }

    /// The process has ended and what it wrote is read, or others hold its pipes for too long.
    fn is_over(&self) -> bool {
        let now = Instant::now();
        let drained = self.is_drained() || self.drained_by().is_some_and(|by| by <= now);
        drained && self.is_settled(now)
    }

    /// The process has ended and is waited for no more. A program that ended before the other ranks were
    /// there is kept for the moment when they are.
    fn is_settled(&self, now: Instant) -> bool {
        match self.exited_at {
            None => false,
            Some(_) if self.kill_at.is_some() || self.phase == Phase::Running => true,
            Some(at) => !self.desk.has_announced() && at + LAST_WORD <= now,
        }
    }

    fn is_drained(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// While what was read before is not printed, the rest waits in its pipes, and is not lost.
    fn drained_by(&self) -> Option<Instant> {
        let exited_at = self.exited_at?;
        Some(if self.has_room { exited_at + DRAIN } else { Instant::now() + DRAIN })
    }

    fn wanted(&self) -> Vec<Wanted<'_, Source>> {
        let mut wanted = vec![Wanted(Source::Waker, self.orders.waker().as_fd(), PollFlags::IN)];
        wanted.extend(self.desk.wanted(Source::Desk));
        wanted.extend(self.input.wanted(Source::Stdin));
        if self.has_room {
            for (stream, pipe) in [(Stream::Stdout, &self.stdout), (Stream::Stderr, &self.stderr)] {
                let pipe = pipe.iter();
                wanted.extend(
                    pipe.map(|it| Wanted(Source::Output(stream), it.as_fd(), PollFlags::IN)),
                );
            }
        }
        if let (Some(exit), None) = (&self.exit, self.exited_at) {
            wanted.push(Wanted(Source::Exit, exit.as_fd(), PollFlags::IN));
        }
        wanted
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let announced_by = self.announced_by();
        // Without a pidfd the end of a process is no event.
        let look = (self.exit.is_none() && self.exited_at.is_none()).then_some(now + LOOK);
        let settled = self.is_settled(now);
        let drained_by = self.drained_by().filter(|_| settled);
        let expected = self.exited_at.filter(|_| !settled && !self.desk.has_announced());
        let last_word = expected.map(|at| at + LAST_WORD);
        let dues = [announced_by, look, drained_by, last_word, self.kill_at];
        dues.into_iter().flatten().min().unwrap_or(now + IDLE)
    }

    /// A wrapper that has ended is judged by its end.
    fn announced_by(&self) -> Option<Instant> {
        let due = self.started_at + self.setup.patience;
        let expected = !self.desk.has_announced() && self.exited_at.is_none();
        (expected && self.verdict.is_none()).then_some(due)
    }

    fn on_ready(&mut self, source: Source) {
        match source {
            Source::Waker => self.on_orders(),
            Source::Desk => self.on_desk(),
            Source::Stdin => {
                let taken = self.input.on_ready();
                self.report_taken(taken);
            }
            Source::Output(stream) => self.on_output(stream),
            Source::Exit => self.exited_at = Some(Instant::now()),
        }
    }

    fn on_orders(&mut self) {
        let (tasks, wish) = self.orders.take();
        tasks.into_iter().for_each(|task| self.obey(task));
        match wish {
            Wish::Stay => (),
            Wish::Close if self.phase == Phase::Running => (),
            Wish::Close => self.end(DISMISSAL),
            Wish::Kill => self.end(Duration::ZERO),
        }
    }

    fn obey(&mut self, task: Task) {
        match task {
            Task::Tell(block) => {
                self.desk.tell(&block);
                self.phase = Phase::Running;
                let pid = self.pid.unwrap_or_default();
                self.report(Report::Started { pid });
            }
            Task::Obey(Order::Input(bytes)) => {
                let taken = self.input.push(bytes);
                self.report_taken(taken);
            }
            Task::Obey(Order::InputEnd) => self.input.end(),
            Task::Obey(Order::End { grace_ms }) => self.end(Duration::from_millis(grace_ms.into())),
            // A foreign wrapper is asked nothing.
            Task::Obey(_) => (),
        }
    }

    fn on_desk(&mut self) {
        match self.desk.on_ready() {
            Ok(None) => (),
            Ok(Some(announcement)) => {
                let told = announcement.pid.and_then(|pid| u32::try_from(pid).ok());
                self.pid = told.or(self.pid);
                self.tell_strangers();
                let rank = self.setup.rank;
                self.tell(Event::Announced { rank, announcement });
            }
            Err(error) => self.give_up(How::Garbled(error.to_string())),
        }
    }

    fn tell_strangers(&mut self) {
        if let Some(strangers) = self.desk.strangers() {
            let name = &self.setup.name;
            self.setup
                .printer
                .note(format!("warning: {name}: before its dsmwrap came: {strangers}"));
        }
    }

    fn on_output(&mut self, stream: Stream) {
        let pipe = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let mut buffer = vec![0; PIECE_BYTES];
        let count = match pipe.as_ref().map(|pipe| read(pipe, &mut buffer)) {
            Some(Arrival::Bytes(bytes)) => bytes.len(),
            None | Some(Arrival::NotYet) => return,
            Some(Arrival::End) => return *pipe = None,
        };
        buffer.truncate(count);
        if stream == Stream::Stderr {
            self.last_said.extend_from_slice(&buffer);
            let excess = self.last_said.len().saturating_sub(LAST_SAID_BYTES);
            self.last_said.drain(..excess);
        }
        self.setup.printer.output(self.setup.rank, stream, buffer);
    }

    fn report_taken(&self, taken: Taken) {
        match taken {
            // Nobody has been asked for input yet, and who is will hear it again.
            _ if self.phase == Phase::Gathering => (),
            Taken::Bytes(0) => (),
            Taken::Bytes(count) => {
                let bytes = u32::try_from(count).expect("the input window fits");
                self.report(Report::InputTaken { bytes });
            }
            Taken::Closed => self.report(Report::InputClosed),
        }
    }

    fn on_time(&mut self, now: Instant) {
        if self.exit.is_none() && self.exited_at.is_none() {
            let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            self.exited_at = ended.then_some(now);
        }
        if self.announced_by().is_some_and(|due| due <= now) {
            self.give_up(How::NoGreeting(self.setup.patience));
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            // Once: nothing survives it.
            self.kill_at = Some(now + IDLE);
            self.signal(Signal::KILL);
        }
    }

    fn give_up(&mut self, how: How) {
        self.verdict.get_or_insert(how);
        self.end(Duration::ZERO);
    }

    /// SIGTERM to the local process group, and SIGKILL after `grace`.
    fn end(&mut self, grace: Duration) {
        let now = Instant::now();
        if self.kill_at.is_none() && !grace.is_zero() {
            self.signal(Signal::TERM);
            // A stopped process would not see the SIGTERM.
            self.signal(Signal::CONT);
        }
        let at = now + grace;
        self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn signal(&self, signal: Signal) {
        if self.exit.is_none() && self.exited_at.is_some() {
            // Reaped: its number may be another's.
            return;
        }
        // The group may be empty.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }

    fn finish(mut self) {
        // What it left behind in its group ends with it, as under a dsmwrap of dsm.
        self.signal(Signal::KILL);
        let ended = self.child.wait();
        self.setup.printer.end_of_rank(self.setup.rank);
        let ending = ended.as_ref().ok().and_then(|status| self.ending(*status));
        if let (Phase::Running, Some(ending)) = (self.phase, ending) {
            self.report(Report::Exited(ending));
        }
        let how = self.misunderstanding().or_else(|| self.verdict.take());
        let how = how.unwrap_or_else(|| match ended {
            Ok(status) => How::Ended(status),
            Err(error) => How::Garbled(words::of_error(&error)),
        });
        // What a program says on standard error is no reason of ssh's.
        let said = match self.phase {
            Phase::Gathering => last_line(&self.last_said),
            Phase::Running => String::new(),
        };
        let rank = self.setup.rank;
        self.tell(Event::Gone { rank, gone: Gone { how, said } });
    }

    /// What somebody said whom nobody understood, if the wrapper did not announce itself and was not told to end:
    /// it will have been the wrapper.
    fn misunderstanding(&self) -> Option<How> {
        let is_dismissed = self.verdict.is_none() && self.kill_at.is_some();
        let said = self.desk.complaint().filter(|_| !is_dismissed)?;
        Some(How::Garbled(said.to_string()))
    }

    /// How the program ended, if the local process can tell: ssh's own failures are not the program's.
    fn ending(&self, status: ExitStatus) -> Option<Ending> {
        match (self.by, status.signal(), status.code()) {
            (By::Itself, Some(signal), _) => Some(Ending::Signal(signal)),
            (By::Ssh, Some(_), _) | (By::Ssh, _, Some(SSH_FAILED)) => None,
            (_, None, code) => code.map(Ending::Code),
        }
    }

    fn report(&self, report: Report) {
        self.tell(Event::Report { rank: self.setup.rank, report });
    }

    fn tell(&self, event: Event) {
        // Who no longer listens has ended the job.
        let _ = self.setup.events.send(event);
    }
}

/// How long the output of a process that has ended is waited for: its own children may hold the pipes.
const DRAIN: Duration = Duration::from_secs(1);
/// For an announcement that is on another way than the news of the process's end.
const LAST_WORD: Duration = Duration::from_millis(200);
/// From SIGTERM to SIGKILL for a wrapper whose job is not to be.
const DISMISSAL: Duration = Duration::from_millis(300);
/// Without a pidfd, how often a process is asked for.
const LOOK: Duration = Duration::from_millis(20);
/// When nothing is due, nothing is due in this time.
const IDLE: Duration = Duration::from_secs(3600);
/// Read from a pipe at once.
const PIECE_BYTES: usize = 64 << 10;
const LAST_SAID_BYTES: usize = 4096;
/// ssh's own exit code.
const SSH_FAILED: i32 = 255;
