use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A started program whose output is kept, line by line, and shown when something goes wrong. Killed on drop.
#[derive(Debug)]
pub struct Process {
    words: String,
    pid: Pid,
    pidfd: OwnedFd,
    stdin: Option<ChildStdin>,
    began: Instant,
    events: Receiver<Event>,
    open_streams: u8,
    status: Option<ExitStatus>,
    lines: Vec<Line>,
}

/// One line a program wrote.
#[derive(Clone, Debug)]
pub struct Line {
    /// Since the program was started.
    pub at: Duration,
    /// Where it was written.
    pub stream: Stream,
    /// Without its end.
    pub text: String,
}

/// Which output of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A program that has ended and closed its output.
#[derive(Debug)]
pub struct Ended {
    /// Exit code, or 128 and the number of the signal.
    pub code: i32,
    /// All its output, in the order in which it was read.
    pub lines: Vec<Line>,
    /// Its command line, for people.
    pub words: String,
    /// From its start to its end.
    pub took: Duration,
}

enum Event {
    Line(Line),
    StreamEnd,
    Exit(ExitStatus),
}

impl Process {
    /// Starts a program with all three streams piped.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(mut command: Command) -> Self {
        let words = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {words}: {e}"));
        let pid = Pid::from_child(&child);
        let pidfd =
            pidfd_open(pid, PidfdFlags::empty()).expect("a child that is not reaped has a pidfd");
        let (sender, events) = channel();
        let stdin = child.stdin.take();
        read_lines(child.stdout.take().unwrap(), Stream::Stdout, began, sender.clone());
        read_lines(child.stderr.take().unwrap(), Stream::Stderr, began, sender.clone());
        await_exit(child, sender);
        Self {
            words,
            pid,
            pidfd,
            stdin,
            began,
            events,
            open_streams: 2,
            status: None,
            lines: Vec::new(),
        }
    }

    /// Its process id, valid until this is dropped or finished.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Since it was started.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Gives the program input; it sees the end of file when `None` follows.
    pub fn input(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.stdin.as_mut().expect("stdin is open").write_all(bytes).unwrap(),
            None => self.stdin = None,
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // A process that has just ended is as good as signalled.
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }

    /// Waits for the first line, also an earlier one, that `wanted` accepts.
    ///
    /// # Panics
    /// With all output, if there is none in time.
    pub fn wait_for(
        &mut self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Line) -> bool,
    ) -> Line {
        match self.seek(within, wanted) {
            Some(line) => line,
            None => panic!("no {what} within {within:?}\n{}", self.report()),
        }
    }

    /// The first line, also an earlier one, that `wanted` accepts; `None` if there is none in time.
    pub fn seek(&mut self, within: Duration, wanted: impl Fn(&Line) -> bool) -> Option<Line> {
        let deadline = Instant::now() + within;
        let mut looked_at = 0;
        loop {
            if let Some(line) = self.lines[looked_at..].iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            looked_at = self.lines.len();
            if self.is_over() || !self.take_event(deadline) {
                return None;
            }
        }
    }

    /// Lets the program run for this long, or until it and its output have ended: then it says true.
    pub fn run_for(&mut self, how_long: Duration) -> bool {
        let deadline = Instant::now() + how_long;
        while !self.is_over() {
            if !self.take_event(deadline) {
                return false;
            }
        }
        true
    }

    /// What it has written and was taken notice of.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Waits for the end of the program and of its output.
    pub fn finish(mut self, within: Duration) -> Ended {
        self.stdin = None;
        let deadline = Instant::now() + within;
        while !self.is_over() {
            assert!(self.take_event(deadline), "no end within {within:?}\n{}", self.report());
        }
        let status = self.status.expect("it is over");
        let code =
            status.code().or_else(|| status.signal().map(|n| 128 + n)).expect("one of the two");
        let (lines, words) = (std::mem::take(&mut self.lines), self.words.clone());
        Ended { code, lines, words, took: self.began.elapsed() }
    }

    fn is_over(&self) -> bool {
        self.open_streams == 0 && self.status.is_some()
    }

    /// False once the deadline has passed.
    fn take_event(&mut self, deadline: Instant) -> bool {
        match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Line(line)) => self.lines.push(line),
            Ok(Event::StreamEnd) => self.open_streams -= 1,
            Ok(Event::Exit(status)) => self.status = Some(status),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => unreachable!("three ends were announced"),
        }
        true
    }

    /// Everything known of the program, for people.
    pub fn report(&mut self) -> String {
        while let Ok(event) = self.events.try_recv() {
            if let Event::Line(line) = event {
                self.lines.push(line);
            }
        }
        report(&self.words, &self.lines)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.signal(Signal::KILL);
            await_pidfd(&self.pidfd, Instant::now() + Duration::from_secs(5));
        }
    }
}

impl Ended {
    /// # Panics
    /// With all output, if the exit code is another.
    pub fn expect_code(&self, code: i32) -> &Self {
        assert!(self.code == code, "exit code {}, not {code}\n{}", self.code, self.report());
        self
    }

    /// What it wrote to one stream.
    pub fn texts(&self, stream: Stream) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |line| line.stream == stream).map(|line| line.text.as_str())
    }

    /// What a rank wrote to stdout, without dsmexec's tag.
    pub fn rank(&self, rank: usize) -> Vec<&str> {
        let tag = format!("[Proc {rank} : ");
        self.texts(Stream::Stdout)
            .filter_map(|text| {
                text.strip_prefix(&tag)?.split_once(" : stdout] ").map(|(_, text)| text)
            })
            .collect()
    }

    /// The first line of stderr that holds all of `words`.
    ///
    /// # Panics
    /// With all output, if there is none.
    pub fn expect_error(&self, words: &[&str]) -> &Line {
        self.lines
            .iter()
            .find(|line| {
                line.stream == Stream::Stderr && words.iter().all(|word| line.text.contains(word))
            })
            .unwrap_or_else(|| panic!("no line with {words:?} on stderr\n{}", self.report()))
    }

    /// Everything known of its run, for people.
    pub fn report(&self) -> String {
        format!(
            "{}  = {} after {:.3} s\n",
            report(&self.words, &self.lines),
            self.code,
            self.took.as_secs_f64()
        )
    }
}

/// Runs a program that must succeed, and gives its output.
pub(crate) fn run(command: Command) -> Ended {
    let ended = Process::start(command).finish(Duration::from_secs(30));
    ended.expect_code(0);
    ended
}

/// Waits for a process to end; false if it has not by then.
pub(crate) fn await_pidfd(pidfd: &OwnedFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).expect("a test's deadline fits");
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => panic!("cannot wait for a process: {e}"),
        }
    }
}

fn read_lines(
    stream: impl Read + Send + 'static,
    from: Stream,
    began: Instant,
    sender: Sender<Event>,
) {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut bytes = Vec::new();
        while stream.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let text =
                String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned();
            // Nobody listens any more once the process has been dropped.
            let _ = sender.send(Event::Line(Line { at: began.elapsed(), stream: from, text }));
            bytes.clear();
        }
        let _ = sender.send(Event::StreamEnd);
    });
}

fn await_exit(mut child: Child, sender: Sender<Event>) {
    thread::spawn(move || {
        let status = child.wait().expect("a child can be waited for");
        let _ = sender.send(Event::Exit(status));
    });
}

fn report(words: &str, lines: &[Line]) -> String {
    let mut text = format!("  $ {words}\n");
    let skip = lines.len().saturating_sub(MAX_SHOWN_LINES);
    if skip > 0 {
        let _ = writeln!(text, "  ({skip} lines before)");
    }
    for line in &lines[skip..] {
        let stream = if line.stream == Stream::Stdout { '|' } else { '!' };
        let _ = writeln!(text, "  {:7.3} {stream} {}", line.at.as_secs_f64(), line.text);
    }
    text
}

const MAX_SHOWN_LINES: usize = 400;
