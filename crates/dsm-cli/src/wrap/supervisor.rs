use super::find::{Surroundings, failure};
use super::input::Taken;
use super::launch_pipe::Launch;
use super::program::{Part, Program, Room};
use crate::nonblocking::{Arrival, Outbox, Wanted, read, wait};
use dsm_net::frame::{self, Decoder};
use dsm_net::launch::{
    Hello, Lookup, Order, PREAMBLE, Question, Report, Start, StartFailure, StartStep, VERSION,
};
use dsm_net::wipe;
use rustix::event::PollFlags;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// One rank's supervisor: a loop that serves dsmexec on one side and the program on the other, and
/// is never stuck on either.
#[derive(Debug)]
pub(super) struct Supervisor {
    decoder: Decoder,
    outbox: Outbox,
    listener: Option<TcpListener>,
    program: Option<Program>,
    phase: Phase,
    /// Without a word from dsmexec for so long, it is gone.
    lease: Duration,
    /// From SIGTERM to SIGKILL when dsmexec is gone.
    grace: Duration,
    heard_at: Instant,
    beat_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Orders are obeyed.
    Serving,
    /// All is done but for reports not yet sent.
    Leaving,
    /// dsmexec is gone: nobody reads reports.
    Orphaned,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Orders,
    Reports,
    Program(Part),
}

impl Supervisor {
    /// Greets dsmexec.
    ///
    /// # Errors
    /// If standard input or output is no stream.
    pub(super) fn new() -> io::Result<Self> {
        rustix::io::ioctl_fionbio(io::stdin(), true)?;
        rustix::io::ioctl_fionbio(io::stdout(), true)?;
        let now = Instant::now();
        let mut outbox = Outbox::default();
        outbox.push(PREAMBLE.to_vec());
        outbox.push(frame::encode(&Report::Hello(hello())));
        Ok(Self {
            decoder: Decoder::default(),
            outbox,
            listener: None,
            program: None,
            phase: Phase::Serving,
            lease: LEASE,
            grace: GRACE,
            heard_at: now,
            beat_at: now + BEAT,
        })
    }

    /// Serves until the program has ended and is reported, or dsmexec is gone and so is the program.
    ///
    /// # Errors
    /// If the kernel refuses what it never refuses: waiting for descriptors or for a child.
    pub(super) fn run(mut self) -> io::Result<()> {
        while !self.is_done() {
            for source in wait(&self.wanted(), self.deadline())? {
                self.on_ready(source);
            }
            self.on_time(Instant::now())?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        match self.phase {
            Phase::Serving => false,
            Phase::Leaving => self.outbox.is_empty(),
            Phase::Orphaned => self.program.is_none(),
        }
    }

    fn wanted(&self) -> Vec<Wanted<'_, Source>> {
        let mut wanted = Vec::new();
        if self.phase != Phase::Orphaned {
            wanted.push(Wanted(Source::Orders, STDIN, PollFlags::IN));
            if !self.outbox.is_empty() {
                wanted.push(Wanted(Source::Reports, STDOUT, PollFlags::OUT));
            }
        }
        let room = if self.outbox.bytes() < OUTBOX_BYTES { Room::Some } else { Room::None };
        let parts = self.program.iter().flat_map(|program| program.wanted(room));
        wanted
            .extend(parts.map(|Wanted(part, fd, flags)| Wanted(Source::Program(part), fd, flags)));
        wanted
    }

    fn deadline(&self) -> Instant {
        let own = match self.phase {
            Phase::Serving => Some(self.beat_at.min(self.heard_at + self.lease)),
            Phase::Leaving => Some(self.heard_at + self.lease),
            Phase::Orphaned => None,
        };
        let program = self.program.as_ref().and_then(Program::deadline);
        let dues = own.into_iter().chain(program);
        dues.min().unwrap_or_else(|| Instant::now() + self.lease)
    }

    fn on_ready(&mut self, source: Source) {
        match source {
            Source::Orders => self.on_orders(),
            Source::Reports => self.flush(),
            Source::Program(part) => self.on_program(part),
        }
    }

    fn on_orders(&mut self) {
        let mut buffer = [0; 64 << 10];
        match read(STDIN, &mut buffer) {
            Arrival::NotYet => return,
            Arrival::End => return self.on_orphaned(),
            Arrival::Bytes(bytes) => self.decoder.push(bytes),
        }
        wipe::bytes(&mut buffer);
        self.heard_at = Instant::now();
        loop {
            match self.decoder.next_message() {
                Ok(Some(order)) => self.obey(order),
                Ok(None) => return,
                // Whoever sends this is not the dsmexec that was greeted.
                Err(_) => return self.on_orphaned(),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Bind(address) => self.bind(address),
            Order::Check(lookup) => self.check(&lookup),
            Order::Start(start) => {
                self.start(&start);
                drop(start);
                // The key was there.
                wipe::stack();
            }
            Order::Input(bytes) => {
                let taken = self.program.as_mut().map(|program| program.input.push(bytes));
                self.report_taken(taken.unwrap_or(Taken::Closed));
            }
            Order::InputEnd => {
                if let Some(program) = &mut self.program {
                    program.input.end();
                }
            }
            Order::End { grace_ms } => self.end(Duration::from_millis(grace_ms.into())),
            Order::Ask(question) => self.ask(&question),
            Order::Heartbeat => (),
        }
    }

    fn bind(&mut self, address: IpAddr) {
        let listener = TcpListener::bind((address, 0)).and_then(|listener| {
            rustix::net::listen(&listener, BACKLOG)?;
            Ok((listener.local_addr()?, listener))
        });
        match listener {
            Ok((address, listener)) => {
                self.listener = Some(listener);
                self.report(&Report::Bound(address));
            }
            Err(error) => {
                let subject = address.to_string();
                let failed = failure(StartStep::Listen, Path::new(&subject), &error);
                self.report(&Report::StartFailed(failed));
            }
        }
    }

    fn check(&mut self, lookup: &Lookup) {
        let around = Surroundings::new(&lookup.directory, &lookup.environment);
        match around.find(&lookup.program) {
            Ok(_) => self.report(&Report::Found),
            Err(failure) => self.report(&Report::StartFailed(failure)),
        }
    }

    fn start(&mut self, start: &Start) {
        let Some(listener) = &self.listener else {
            return self.report(&Report::StartFailed(out_of_order("Start before Bind")));
        };
        if self.program.is_some() {
            return self.report(&Report::StartFailed(out_of_order("Start twice")));
        }
        self.lease = Duration::from_millis(start.lease_ms.into());
        self.grace = Duration::from_millis(start.grace_ms.into());
        match Program::spawn(start, listener) {
            Ok(program) => self.program = Some(program),
            Err(failure) => self.report(&Report::StartFailed(failure)),
        }
    }

    fn ask(&mut self, question: &Question) {
        // Before Start nothing can wait, and dsmexec does not ask.
        let Some(program) = &mut self.program else { return };
        let process = program.ask(question);
        if *question == Question::Waits {
            self.report(&Report::Process(process));
        }
    }

    fn end(&mut self, grace: Duration) {
        match &mut self.program {
            Some(program) => program.end(grace, Instant::now()),
            None => self.phase = Phase::Leaving,
        }
    }

    fn on_orphaned(&mut self) {
        self.phase = Phase::Orphaned;
        self.outbox.clear();
        self.end_orphan();
    }

    fn end_orphan(&mut self) {
        if let Some(program) = &mut self.program {
            program.end(self.grace, Instant::now());
        }
    }

    fn on_program(&mut self, part: Part) {
        let Some(program) = &mut self.program else { return };
        match part {
            Part::Launch => self.on_launch(),
            Part::Socket => {
                for status in program.on_socket() {
                    self.report(&Report::Status(status));
                }
            }
            Part::Block => program.on_block(),
            Part::Output(stream) => {
                if let Some(bytes) = program.on_output(stream) {
                    self.report(&Report::Output { stream, bytes });
                }
            }
            Part::Input => {
                let taken = program.input.on_ready();
                self.report_taken(taken);
            }
            Part::Exit => {
                program.on_exit(Instant::now());
                self.on_launch();
            }
        }
    }

    fn on_launch(&mut self) {
        let Some(program) = &mut self.program else { return };
        let pid = program.pid();
        match program.on_launch() {
            Launch::Pending => (),
            Launch::Running => self.report(&Report::Started { pid }),
            Launch::Refused(failure) => {
                program.end(Duration::ZERO, Instant::now());
                self.report(&Report::StartFailed(failure));
                self.phase = match self.phase {
                    Phase::Serving => Phase::Leaving,
                    other => other,
                };
            }
        }
    }

    fn on_time(&mut self, now: Instant) -> io::Result<()> {
        if self.phase != Phase::Orphaned && now >= self.heard_at + self.lease {
            self.on_orphaned();
        }
        if self.phase == Phase::Serving && now >= self.beat_at {
            self.beat_at = now + BEAT;
            if let Some(changed) = self.program.as_mut().and_then(Program::on_look) {
                self.report(&Report::Stopped(changed));
            }
            if self.outbox.bytes() < OUTBOX_BYTES {
                self.report(&Report::Heartbeat);
            }
        }
        if let Some(program) = &mut self.program {
            program.on_time(now);
        }
        match self.program.take_if(|program| program.is_over(now)) {
            Some(program) => self.on_over(program),
            None => Ok(()),
        }
    }

    fn on_over(&mut self, program: Program) -> io::Result<()> {
        // From here on a peer that connects is refused, as if the rank had listened itself.
        self.listener = None;
        let (said, ending) = program.finish(|stream, bytes| {
            self.report(&Report::Output { stream, bytes });
        })?;
        said.into_iter().for_each(|status| self.report(&Report::Status(status)));
        if self.phase == Phase::Serving {
            self.report(&Report::Exited(ending));
            self.phase = Phase::Leaving;
        }
        Ok(())
    }

    fn report_taken(&mut self, taken: Taken) {
        match taken {
            Taken::Bytes(0) => (),
            Taken::Bytes(count) => {
                let bytes = u32::try_from(count).expect("the input window fits");
                self.report(&Report::InputTaken { bytes });
            }
            Taken::Closed => self.report(&Report::InputClosed),
        }
    }

    fn report(&mut self, report: &Report) {
        if self.phase != Phase::Orphaned {
            self.outbox.push(frame::encode(report));
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.outbox.flush(STDOUT).is_err() {
            self.on_orphaned();
        }
    }
}

fn hello() -> Hello {
    let (reached_from, reached_at) = connection(std::env::var("SSH_CONNECTION").ok());
    Hello {
        version: VERSION,
        package: env!("CARGO_PKG_VERSION").into(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        pid: std::process::id(),
        reached_at,
        reached_from,
    }
}

/// `SSH_CONNECTION` is `client port server port`.
fn connection(variable: Option<String>) -> (Option<IpAddr>, Option<IpAddr>) {
    let words: Vec<_> = variable.iter().flat_map(|text| text.split_whitespace()).collect();
    let address = |index: usize| words.get(index).and_then(|word: &&str| word.parse().ok());
    (address(0), address(2))
}

fn out_of_order(what: &str) -> StartFailure {
    StartFailure {
        step: StartStep::Resources,
        subject: "order".into(),
        cause: format!("{what}: dsmexec broke the protocol"),
        errno: None,
    }
}

const STDIN: BorrowedFd<'static> = rustix::stdio::stdin();
const STDOUT: BorrowedFd<'static> = rustix::stdio::stdout();
/// Heartbeats to dsmexec, which gives a host up after twenty of them. A network that was down for two seconds
/// delays them by three, because TCP tries again after twice as long each time: that is no silence of four.
const BEAT: Duration = Duration::from_millis(200);
/// The lease until dsmexec sets one.
const LEASE: Duration = Duration::from_secs(7);
/// From SIGTERM to SIGKILL when dsmexec is gone, until dsmexec sets it.
const GRACE: Duration = Duration::from_secs(2);
/// With more reports than this waiting, the program's output is left in its pipes.
const OUTBOX_BYTES: usize = 1 << 20;
/// Connections that wait for the rank to accept them: every other rank may connect at once.
const BACKLOG: i32 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ssh_connection_tells_both_addresses() {
        let check = |text: &str, from: Option<&str>, at: Option<&str>| {
            let parse = |text: Option<&str>| text.map(|text| text.parse::<IpAddr>().unwrap());
            assert_eq!(connection(Some(text.into())), (parse(from), parse(at)), "{text:?}");
        };
        check("10.0.0.1 4242 10.0.0.2 22", Some("10.0.0.1"), Some("10.0.0.2"));
        check("fd00::1 4242 fd00::2 22", Some("fd00::1"), Some("fd00::2"));
        check("UNKNOWN 65535 UNKNOWN 65535", None, None);
        check("", None, None);
        assert_eq!(connection(None), (None, None));
    }
}
