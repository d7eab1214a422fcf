use crate::conditions::Conditions;
use crate::frame;
use crate::wire::{Arrival, Counts, Wire};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tappers::{Interface, Tap};

/// A user-space Ethernet switch. Each host's `eth0` is a TAP device whose other end is here; a thread carries frames
/// between them, and each direction of each pair of hosts is a [`Wire`] with [`Conditions`] of its own. The kernels that
/// matter here have no netem.
///
/// Dropping it pulls all plugs.
pub(crate) struct Switch {
    board: Arc<Mutex<Board>>,
    began: Instant,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

/// What the switch's thread and those who set conditions share.
struct Board {
    seed: u64,
    ports: BTreeMap<usize, Arc<Tap>>,
    wires: BTreeMap<(usize, usize), Wire>,
}

impl Switch {
    pub(crate) fn start(seed: u64) -> Self {
        let board = Board { seed, ports: BTreeMap::new(), wires: BTreeMap::new() };
        let board = Arc::new(Mutex::new(board));
        let (wake, woken) = UnixStream::pair().unwrap();
        woken.set_nonblocking(true).unwrap();
        let began = Instant::now();
        let carrier = Carrier {
            board: Arc::clone(&board),
            began,
            woken,
            waiting: BinaryHeap::new(),
            taken: 0,
        };
        let thread = thread::spawn(move || carrier.run());
        Self { board, began, wake, thread: Some(thread) }
    }

    /// Makes `eth0` in the network namespace of a process, and plugs it in as this host.
    pub(crate) fn plug(&self, host: usize, pid: &str) {
        let namespace = File::open(format!("/proc/{pid}/ns/net")).unwrap();
        // A namespace is entered by a thread. This one ends there.
        let made = thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            let mut tap = Tap::new_named(Interface::new("eth0")?)?;
            tap.set_nonblocking(true)?;
            Ok::<Tap, std::io::Error>(tap)
        });
        let tap = made.join().unwrap().unwrap_or_else(|e| panic!("cannot make a TAP device: {e}"));
        let mut board = lock(&self.board);
        let seed = board.seed;
        let others: Vec<usize> = board.ports.keys().copied().collect();
        for other in others {
            for pair in [(host, other), (other, host)] {
                board.wires.insert(pair, Wire::new(seed_of(seed, pair)));
            }
        }
        board.ports.insert(host, Arc::new(tap));
        drop(board);
        self.notice();
    }

    /// Pulls the plug of a host: its `eth0` is gone.
    pub(crate) fn unplug(&self, host: usize) {
        lock(&self.board).ports.remove(&host);
        self.notice();
    }

    /// What the line from one host to another does from now on.
    pub(crate) fn set(&self, from: usize, to: usize, conditions: &Conditions) {
        let mut board = lock(&self.board);
        let wire = board.wires.get_mut(&(from, to)).expect("both hosts are plugged in");
        wire.conditions = conditions.clone();
    }

    /// Lets nothing arrive from one host at another for this long.
    pub(crate) fn darken(&self, from: usize, to: usize, how_long: Duration) {
        let until = self.began.elapsed() + how_long;
        let mut board = lock(&self.board);
        board.wires.get_mut(&(from, to)).expect("both hosts are plugged in").darken(until);
    }

    pub(crate) fn reseed(&self, seed: u64) {
        for (pair, wire) in &mut lock(&self.board).wires {
            wire.reseed(seed_of(seed, *pair));
        }
    }

    pub(crate) fn counts(&self, from: usize, to: usize) -> Counts {
        lock(&self.board).wires[&(from, to)].counts
    }

    fn notice(&self) {
        (&self.wake).write_all(&[0]).expect("the switch's thread listens as long as this lives");
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.wake.shutdown(std::net::Shutdown::Both);
        // A panic of the thread has been printed; one while dropping would abort.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch").field("began", &self.began).finish_non_exhaustive()
    }
}

/// The switch's thread.
struct Carrier {
    board: Arc<Mutex<Board>>,
    began: Instant,
    woken: UnixStream,
    waiting: BinaryHeap<Reverse<Waiting>>,
    taken: u64,
}

/// An arrival whose time has not come. Those of the same time are in the order in which they were sent.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: Duration,
    number: u64,
    from: usize,
    to: usize,
    bytes: Vec<u8>,
}

impl Carrier {
    fn run(mut self) {
        let mut frame = vec![0; FRAME_BYTES];
        loop {
            let wait = self.deliver();
            let ports: Vec<(usize, Arc<Tap>)> = lock(&self.board)
                .ports
                .iter()
                .map(|(host, tap)| (*host, Arc::clone(tap)))
                .collect();
            let mut fds = vec![PollFd::new(&self.woken, PollFlags::IN)];
            fds.extend(ports.iter().map(|(_, tap)| PollFd::new(&**tap, PollFlags::IN)));
            let timeout = wait.map(|wait| Timespec::try_from(wait).expect("arrivals are soon"));
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => panic!("the switch cannot wait for frames: {e}"),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready[0] && matches!(self.woken.read(&mut [0; 64]), Ok(0)) {
                return;
            }
            for ((from, tap), _) in ports.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
                self.take(*from, tap, &mut frame);
            }
        }
    }

    /// Delivers what is due, and says how long nothing more will be.
    fn deliver(&mut self) -> Option<Duration> {
        let mut board = lock(&self.board);
        loop {
            let now = self.began.elapsed();
            let due = self.waiting.peek()?.0.due;
            if due > now {
                return Some(due - now);
            }
            let Reverse(frame) = self.waiting.pop()?;
            board.deliver(frame.from, frame.to, &frame.bytes, now);
        }
    }

    /// Takes the frames a host has sent.
    fn take(&mut self, from: usize, tap: &Tap, frame: &mut [u8]) {
        let mut board = lock(&self.board);
        for _ in 0..FRAMES_AT_ONCE {
            // Nothing is left, or the host is gone; then its plug is pulled soon.
            let Ok(bytes) = tap.recv(frame) else { return };
            let frame = &frame[..bytes];
            let now = self.began.elapsed();
            for to in board.recipients(from, frame) {
                let Some(wire) = board.wires.get_mut(&(from, to)) else { continue };
                for Arrival { due, bytes } in wire.carry(frame, now).into_iter().flatten() {
                    if due <= now {
                        board.deliver(from, to, &bytes, now);
                        continue;
                    }
                    self.taken += 1;
                    let waiting = Waiting { due, number: self.taken, from, to, bytes };
                    self.waiting.push(Reverse(waiting));
                }
            }
        }
    }
}

impl Board {
    fn recipients(&self, from: usize, frame: &[u8]) -> Vec<usize> {
        match frame::recipient(frame) {
            Some(to) => vec![to],
            None => self.ports.keys().copied().filter(|to| *to != from).collect(),
        }
    }

    fn deliver(&mut self, from: usize, to: usize, bytes: &[u8], now: Duration) {
        let wire = self.wires.get_mut(&(from, to)).expect("it was carried on this wire");
        if !wire.arrives(now) {
            return;
        }
        // A host whose plug was pulled takes no frames, nor does one whose device is still down.
        match self.ports.get(&to).map(|tap| tap.send(bytes)) {
            Some(Ok(_)) => wire.counts.delivered += 1,
            _ => wire.counts.overflowed += 1,
        }
    }
}

/// Each wire draws its chances by itself.
fn seed_of(seed: u64, pair: (usize, usize)) -> u64 {
    seed.wrapping_mul(0x1_0001).wrapping_add((pair.0 * 256 + pair.1) as u64)
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().expect("the switch's thread has not panicked")
}

/// More than any Ethernet frame here has.
const FRAME_BYTES: usize = 16 * 1024;
/// Between two looks at the clock for what is due.
const FRAMES_AT_ONCE: usize = 64;
