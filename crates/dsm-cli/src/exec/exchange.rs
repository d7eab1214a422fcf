//! The launcher's part in `launch/ete7`: programs connect to dsmexec, each says what all shall know, and each
//! is told what all have said. It knows nothing of the job but the number of ranks: a program that never
//! connects is none of its business.

use super::knocks::Knocks;
use super::printer::Printer;
use super::waker::Waker;
use crate::nonblocking::{Arrival, Wanted, read, wait};
use crate::words;
use dsm_net::pr204::{Contribution, ContributionReader, FormatError};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Exchange {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Worker {
    /// Closed when every rank has said something: nobody else is expected.
    listener: Option<TcpListener>,
    /// Until then there are no descriptors for more.
    full_until: Option<Instant>,
    knocks: Knocks,
    nodes: u16,
    guests: BTreeMap<u64, Guest>,
    /// Numbers of guests given out.
    arrivals: u64,
    blobs: BTreeMap<u16, Vec<u8>>,
    /// What everybody is told, once everybody has said something.
    answer: Option<Vec<u8>>,
    /// When it is told for whom the others wait, if they do; told once.
    remind_at: Option<Instant>,
    printer: Printer,
}

/// One connection.
#[derive(Debug)]
struct Guest {
    stream: TcpStream,
    from: SocketAddr,
    since: Instant,
    reader: ContributionReader,
    /// It has said what it had to say.
    contributed: bool,
    /// Bytes of the answer that were sent.
    told: usize,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Waker,
    Listener,
    Guest(u64),
}

/// Whether a connection is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stay,
    Go,
}

impl Exchange {
    /// Listens at this address of this machine for the programs of so many ranks.
    ///
    /// # Errors
    /// If the kernel has no socket or thread, or not this address.
    pub(crate) fn start(address: IpAddr, nodes: u16, printer: Printer) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0))?;
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (over, waker) = (Arc::<AtomicBool>::default(), Waker::new()?);
        let worker = Worker {
            listener: Some(listener),
            full_until: None,
            knocks: Knocks::default(),
            nodes,
            guests: BTreeMap::new(),
            arrivals: 0,
            blobs: BTreeMap::new(),
            answer: None,
            remind_at: None,
            printer,
        };
        let (is_over, woken) = (Arc::clone(&over), waker.clone());
        let builder = thread::Builder::new().name("exchange".into());
        let thread = Some(builder.spawn(move || worker.run(&is_over, &woken))?);
        Ok(Self { address, over, waker, thread })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic there was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn run(mut self, over: &AtomicBool, waker: &Waker) {
        while !over.load(Ordering::Acquire) {
            let ready = match wait(&self.wanted(waker), self.deadline()) {
                Ok(ready) => ready,
                Err(error) => return self.complain(&words::of_error(&error)),
            };
            for source in ready {
                match source {
                    Source::Waker => waker.clear(),
                    Source::Listener => self.accept(),
                    Source::Guest(number) => self.on_guest(number),
                }
            }
            let now = Instant::now();
            if self.remind_at.is_some_and(|at| at <= now) {
                self.remind();
            }
            while let Some(number) = self.silent().filter(|(_, until)| *until <= now) {
                self.send_away(number.0);
            }
            self.full_until.take_if(|until| *until <= now);
            self.knocks.due(now).into_iter().for_each(|line| self.complain(&line));
        }
        self.knocks.rest().into_iter().for_each(|line| self.complain(&line));
    }

    /// Who has said nothing complete for longest, and how long it may.
    fn silent(&self) -> Option<(u64, Instant)> {
        let silent = self.guests.iter().find(|(_, guest)| !guest.contributed);
        silent.map(|(number, guest)| (*number, guest.since + SILENCE))
    }

    fn send_away(&mut self, number: u64) {
        if let Some(guest) = self.guests.remove(&number) {
            self.knocks.on_turned_away(guest.from, None, Instant::now());
        }
    }

    fn wanted<'a>(&'a self, waker: &'a Waker) -> Vec<Wanted<'a, Source>> {
        let mut wanted = vec![Wanted(Source::Waker, waker.as_fd(), PollFlags::IN)];
        if let (Some(listener), None) = (&self.listener, self.full_until) {
            wanted.push(Wanted(Source::Listener, listener.as_fd(), PollFlags::IN));
        }
        let out = if self.answer.is_some() { PollFlags::OUT } else { PollFlags::empty() };
        wanted.extend(self.guests.iter().map(|(number, guest)| {
            let flags = if guest.contributed { PollFlags::IN | out } else { PollFlags::IN };
            Wanted(Source::Guest(*number), guest.stream.as_fd(), flags)
        }));
        wanted
    }

    fn deadline(&self) -> Instant {
        let silent = self.silent().map(|(_, until)| until);
        let dues = [silent, self.remind_at, self.full_until, self.knocks.tell_at()];
        dues.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + IDLE)
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        let (stream, from) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if is_lack(&error) => return self.on_lack(),
            // Who knocked is gone again.
            Err(_) => return,
        };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let silent = self.guests.values().filter(|guest| !guest.contributed).count();
        if silent >= MAX_STRANGERS + usize::from(self.nodes)
            && let Some((number, _)) = self.silent()
        {
            self.send_away(number);
        }
        let reader = ContributionReader::new(self.nodes);
        let since = Instant::now();
        let guest = Guest { stream, from, since, reader, contributed: false, told: 0 };
        self.guests.insert(self.arrivals, guest);
        self.arrivals += 1;
    }

    /// Somebody waits for whom there is no descriptor.
    fn on_lack(&mut self) {
        match self.silent() {
            Some((number, _)) => self.send_away(number),
            None => self.full_until = Some(Instant::now() + REST),
        }
    }

    fn on_guest(&mut self, number: u64) {
        let Some(mut guest) = self.guests.remove(&number) else { return };
        let fate = if guest.contributed { self.serve(&mut guest) } else { self.hear(&mut guest) };
        if fate == Fate::Stay {
            self.guests.insert(number, guest);
        }
    }

    fn hear(&mut self, guest: &mut Guest) -> Fate {
        let mut buffer = vec![0; 16 << 10];
        let room = guest.reader.wanted().min(buffer.len());
        match read(&guest.stream, &mut buffer[..room]) {
            Arrival::NotYet => Fate::Stay,
            Arrival::End => match guest.reader.short() {
                // Somebody looked what port this is.
                FormatError::Short { got: 0, .. } => Fate::Go,
                short => self.dismiss(guest, &short.to_string()),
            },
            Arrival::Bytes(bytes) => match guest.reader.push(bytes) {
                Ok(None) => Fate::Stay,
                Ok(Some(contribution)) => self.on_contribution(guest, contribution),
                Err(error) => self.dismiss(guest, &error.to_string()),
            },
        }
    }

    fn on_contribution(&mut self, guest: &mut Guest, contribution: Contribution) -> Fate {
        let Contribution { rank, blob } = contribution;
        if self.blobs.contains_key(&rank) {
            return self.dismiss(guest, &format!("rank {rank} a second time"));
        }
        if self.blobs.is_empty() {
            self.remind_at = Some(Instant::now() + PATIENCE);
        }
        self.blobs.insert(rank, blob);
        guest.contributed = true;
        if self.blobs.len() == usize::from(self.nodes) {
            (self.remind_at, self.listener) = (None, None);
            // Later nobody may be there to tell.
            self.knocks.rest().into_iter().for_each(|line| self.complain(&line));
            self.answer = Some(self.blobs.values().flatten().copied().collect());
        }
        self.serve(guest)
    }

    /// Tells as much of the answer as the connection takes; what the program says now is for nobody.
    fn serve(&self, guest: &mut Guest) -> Fate {
        if read(&guest.stream, &mut [0; 4096]) == Arrival::End {
            return Fate::Go;
        }
        let Some(answer) = &self.answer else { return Fate::Stay };
        while guest.told < answer.len() {
            match rustix::io::write(&guest.stream, &answer[guest.told..]) {
                Ok(count) => guest.told += count,
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => return Fate::Stay,
                Err(_) => return Fate::Go,
            }
        }
        Fate::Go
    }

    fn remind(&mut self) {
        self.remind_at = None;
        let missing = (0..self.nodes).filter(|rank| !self.blobs.contains_key(rank));
        let missing: Vec<_> = missing.map(|rank| rank.to_string()).collect();
        let (seconds, come) = (PATIENCE.as_secs(), self.blobs.len());
        self.complain(&format!(
            "{come} of {} ranks have waited {seconds} s to hear of rank {}",
            self.nodes,
            missing.join(", ")
        ));
    }

    fn dismiss(&mut self, guest: &Guest, said: &str) -> Fate {
        self.knocks.on_turned_away(guest.from, Some(said.to_owned()), Instant::now());
        Fate::Go
    }

    fn complain(&self, what: &str) {
        self.printer.note(format!("warning: launch=ete7: {what}"));
    }
}

/// Whether it is this process, or the system, that has not enough of something.
pub(super) fn is_lack(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}

/// Programs that wait to be accepted: all may come at once.
const BACKLOG: i32 = 512;
/// Connections beside one for each rank that have said nothing complete; one more, and the oldest goes.
const MAX_STRANGERS: usize = 64;
/// Who has connected and said nothing complete for so long is sent away.
const SILENCE: Duration = Duration::from_secs(3);
/// For descriptors to be had again.
const REST: Duration = Duration::from_millis(100);
/// After this it is told for whom the others wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// When nothing is due, nothing is due in this time.
const IDLE: Duration = Duration::from_secs(3600);
