use super::event::{Event, Gone, How};
use super::link::{Orders, Setup, Task, Wish};
use super::preamble::{Preamble, Sight, last_line};
use crate::nonblocking::{Arrival, Outbox, Wanted, read, wait};
use crate::words;
use dsm_net::frame::{self, Decoder};
use dsm_net::launch::{Order, Report};
use dsm_net::wipe;
use rustix::event::PollFlags;
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};

/// Talks to one dsmwrap until it is gone: sends orders and heartbeats, passes output to the printer
/// and everything else to the job, and judges silence.
#[derive(Debug)]
pub(super) struct LinkThread {
    setup: Setup,
    orders: Orders,
    child: Child,
    /// Readable when the child has ended; none where there is no pidfd: Linux before 5.3, valgrind.
    exit: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    outbox: Outbox,
    wish: Wish,
    room: Room,
    speech: Speech,
    /// Begun line of standard error; before the greeting, all of it.
    complaint: Vec<u8>,
    last_complaint: String,
    started_at: Instant,
    heard_at: Instant,
    beat_at: Instant,
    exited_at: Option<Instant>,
    verdict: Option<How>,
}

#[derive(Debug)]
enum Speech {
    /// The greeting has not come.
    Before(Preamble),
    Frames(Decoder),
}

/// Whether the printer takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Some,
    None,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Waker,
    Stdin,
    Stdout,
    Stderr,
    Exit,
}

impl LinkThread {
    pub(super) fn new(setup: Setup, mut child: Child, orders: Orders) -> io::Result<Self> {
        let nonblocking = |pipe: Option<OwnedFd>| {
            let pipe = pipe.expect("the child was given pipes");
            ioctl_fionbio(&pipe, true)?;
            io::Result::Ok(Some(pipe))
        };
        let now = Instant::now();
        Ok(Self {
            orders,
            exit: pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok(),
            stdin: nonblocking(child.stdin.take().map(Into::into))?,
            stdout: nonblocking(child.stdout.take().map(Into::into))?,
            stderr: nonblocking(child.stderr.take().map(Into::into))?,
            child,
            outbox: Outbox::default(),
            wish: Wish::Stay,
            room: Room::Some,
            speech: Speech::Before(Preamble::default()),
            complaint: Vec::new(),
            last_complaint: String::new(),
            started_at: now,
            heard_at: now,
            beat_at: now,
            exited_at: None,
            verdict: None,
            setup,
        })
    }

    pub(super) fn run(mut self) {
        while !self.is_over() {
            self.find_room();
            match wait(&self.wanted(), self.deadline()) {
                Ok(ready) => ready.into_iter().for_each(|source| self.on_ready(source)),
                Err(error) => self.give_up(How::Garbled(words::of_error(&error))),
            }
            self.on_time(Instant::now());
        }
        self.finish();
    }

    /// Killed or not, the process has ended, and what it wrote is read. Others may hold its pipes:
    /// ssh leaves a master process behind when it is told to.
    fn is_over(&self) -> bool {
        let grace = |at: Instant| self.stdout.is_none() || at + LAST_WORDS <= Instant::now();
        self.exited_at.is_some_and(grace)
    }

    fn wanted(&self) -> Vec<Wanted<'_, Source>> {
        let mut wanted = vec![Wanted(Source::Waker, self.orders.waker().as_fd(), PollFlags::IN)];
        if let (Some(stdin), false) = (&self.stdin, self.outbox.is_empty()) {
            wanted.push(Wanted(Source::Stdin, stdin.as_fd(), PollFlags::OUT));
        }
        if let (Some(stdout), Room::Some) = (&self.stdout, self.room) {
            wanted.push(Wanted(Source::Stdout, stdout.as_fd(), PollFlags::IN));
        }
        if let Some(stderr) = &self.stderr {
            wanted.push(Wanted(Source::Stderr, stderr.as_fd(), PollFlags::IN));
        }
        if let (Some(exit), None) = (&self.exit, self.exited_at) {
            wanted.push(Wanted(Source::Exit, exit.as_fd(), PollFlags::IN));
        }
        wanted
    }

    /// While what was read before is not printed, the other end is not heard for no fault of its own.
    fn find_room(&mut self) {
        self.room = Room::Some;
        if !self.setup.printer.has_room(self.orders.waker()) {
            let now = Instant::now();
            self.room = Room::None;
            self.heard_at = now;
            self.exited_at = self.exited_at.map(|_| now);
        }
    }

    fn deadline(&self) -> Instant {
        let due = self.due();
        if self.exit.is_none() && self.exited_at.is_none() && self.stdout.is_none() {
            return due.min(Instant::now() + LOOK);
        }
        due
    }

    fn due(&self) -> Instant {
        match (self.exited_at, &self.speech) {
            (Some(exited_at), _) => exited_at + LAST_WORDS,
            (None, Speech::Before(_)) => self.started_at + self.setup.patience,
            (None, Speech::Frames(_)) => self.beat_at.min(self.heard_at + self.setup.dead_after),
        }
    }

    fn on_ready(&mut self, source: Source) {
        match source {
            Source::Waker => self.on_orders(),
            Source::Stdin => self.flush(),
            Source::Stdout => self.on_stdout(),
            Source::Stderr => self.on_stderr(),
            Source::Exit => self.exited_at = Some(Instant::now()),
        }
    }

    fn on_orders(&mut self) {
        let (orders, wish) = self.orders.take();
        for task in orders {
            match task {
                Task::Obey(order) => self.outbox.push(frame::encode(&order)),
                Task::Tell(_) => unreachable!("dsm's own dsmwrap is told by orders"),
            }
        }
        // A key may have been there.
        wipe::stack();
        self.wish = self.wish.max(wish);
        if self.wish == Wish::Kill {
            self.kill();
        }
        self.flush();
    }

    fn flush(&mut self) {
        let Some(stdin) = &self.stdin else { return self.outbox.clear() };
        let sent = self.outbox.flush(stdin);
        let done = self.outbox.is_empty() && self.wish >= Wish::Close;
        if sent.is_err() || done {
            self.outbox.clear();
            self.stdin = None;
        }
    }

    fn on_stdout(&mut self) {
        let mut buffer = [0; 64 << 10];
        let Some(stdout) = &self.stdout else { return };
        let bytes = match read(stdout, &mut buffer) {
            Arrival::Bytes(bytes) => bytes,
            Arrival::NotYet => return,
            Arrival::End => return self.stdout = None,
        };
        self.heard_at = Instant::now();
        match &mut self.speech {
            Speech::Frames(decoder) => decoder.push(bytes),
            Speech::Before(preamble) => match preamble.push(bytes) {
                Sight::NotYet => return,
                Sight::Found(rest) => self.on_greeting(&rest),
                Sight::TooMuchNoise => {
                    return self.give_up(How::Noise);
                }
            },
        }
        self.on_frames();
    }

    fn on_greeting(&mut self, rest: &[u8]) {
        // What ssh said before, a banner or a warning, was no failure.
        self.read_complaints();
        self.complaint.clear();
        let mut decoder = Decoder::default();
        decoder.push(rest);
        self.speech = Speech::Frames(decoder);
        self.beat_at = Instant::now();
    }

    fn on_frames(&mut self) {
        loop {
            let Speech::Frames(decoder) = &mut self.speech else { return };
            match decoder.next_message() {
                Ok(Some(report)) => self.on_report(report),
                Ok(None) => return,
                Err(error) => return self.give_up(How::Garbled(error.to_string())),
            }
        }
    }

    fn on_report(&mut self, report: Report) {
        let rank = self.setup.rank;
        match report {
            Report::Output { stream, bytes } => self.setup.printer.output(rank, stream, bytes),
            Report::Heartbeat => (),
            report => {
                if let Report::Exited(_) = report {
                    self.setup.printer.end_of_rank(rank);
                    self.wish = self.wish.max(Wish::Close);
                    self.flush();
                }
                self.tell(Event::Report { rank, report });
            }
        }
    }

    fn on_stderr(&mut self) {
        let mut buffer = [0; COMPLAINT_BYTES];
        let Some(stderr) = &self.stderr else { return };
        match read(stderr, &mut buffer) {
            Arrival::Bytes(bytes) => self.complaint.extend_from_slice(bytes),
            Arrival::NotYet => return,
            Arrival::End => return self.stderr = None,
        }
        if let Speech::Frames(_) = self.speech {
            while let Some(end) = self.complaint.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.complaint.drain(..=end).collect();
                self.on_complaint(&line);
            }
        }
        let excess = self.complaint.len().saturating_sub(MAX_COMPLAINT_BYTES);
        self.complaint.drain(..excess);
    }

    /// Takes what is in the pipe. Others may hold it for ever.
    fn read_complaints(&mut self) {
        for _ in 0..MAX_COMPLAINT_BYTES / COMPLAINT_BYTES {
            self.on_stderr();
        }
    }

    fn on_complaint(&mut self, line: &[u8]) {
        let line = words::of_stranger(line);
        if !line.is_empty() {
            self.setup.printer.note(format!("{}: {line}", self.setup.name));
            self.last_complaint = line;
        }
    }

    fn on_time(&mut self, now: Instant) {
        if self.exit.is_none() && self.exited_at.is_none() {
            let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            self.exited_at = ended.then_some(now);
        }
        if self.exited_at.is_some() {
            return;
        }
        match &self.speech {
            Speech::Before(_) if now >= self.started_at + self.setup.patience => {
                self.give_up(How::NoGreeting(self.setup.patience));
            }
            Speech::Before(_) => (),
            Speech::Frames(_) if now >= self.heard_at + self.setup.dead_after => {
                self.give_up(How::Silent(self.setup.dead_after));
            }
            Speech::Frames(_) => self.beat(now),
        }
    }

    fn beat(&mut self, now: Instant) {
        if now >= self.beat_at {
            self.beat_at = now + BEAT;
            // Orders that wait to be sent say as much.
            if self.outbox.is_empty() && self.stdin.is_some() {
                self.outbox.push(frame::encode(&Order::Heartbeat));
                self.flush();
            }
        }
    }

    fn give_up(&mut self, how: How) {
        if self.verdict.is_none() {
            self.verdict = Some(how);
            self.kill();
        }
        self.stdout = None;
        // Not to be judged again before the process is reaped.
        self.heard_at = Instant::now();
        self.started_at = Instant::now();
    }

    fn kill(&self) {
        if self.exited_at.is_none() {
            // Not reaped yet, so the group is the child's; it may have no other member.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
    }

    fn finish(mut self) {
        self.read_complaints();
        self.setup.printer.end_of_rank(self.setup.rank);
        let ended = self.child.wait();
        let how = self.verdict.take().unwrap_or_else(|| match ended {
            Ok(status) => How::Ended(status),
            Err(error) => How::Garbled(words::of_error(&error)),
        });
        let said = self.last_words();
        let rank = self.setup.rank;
        self.tell(Event::Gone { rank, gone: Gone { how, said } });
    }

    fn last_words(&self) -> String {
        let complaint = last_line(&self.complaint);
        match &self.speech {
            _ if !complaint.is_empty() => complaint,
            Speech::Before(preamble) if self.last_complaint.is_empty() => preamble.last_line(),
            _ => self.last_complaint.clone(),
        }
    }

    fn tell(&self, event: Event) {
        // Who no longer listens has ended the job.
        let _ = self.setup.events.send(event);
    }
}

/// dsmwrap gives dsmexec up after fourteen of these. After a cut one more can arrive, with which its lease begins, and
/// who does not heed SIGTERM has two seconds more: ten in all.
const BEAT: Duration = Duration::from_millis(500);
/// How long pipes are read that somebody holds after the process has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Read from standard error at once.
const COMPLAINT_BYTES: usize = 4096;
/// Without a pidfd, how often a process is asked for whose output has ended.
const LOOK: Duration = Duration::from_millis(20);
const MAX_COMPLAINT_BYTES: usize = 16 << 10;
