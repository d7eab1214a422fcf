//! Measures locks, barriers and operations beside a plain TCP round trip of the same run.
//!
//! ```text
//! dsmexec machine_file lock_latency [SAMPLES [ADDRESS]]      (two ranks)
//! ```
//! Rank 0 alternates between a round trip *R* (as `fault_latency` has it, to rank 1 at ADDRESS, 127.0.0.1
//! without) and what is measured, so that whatever disturbs the machine disturbs both. It lets rank 1 get
//! back to its wait before each, which is no part of any of them.
//!
//! A round trip costs a third where both ends share a processor, because no idle one must be woken: a figure
//! means something only next to the *R* of the same pinning. So all of it is measured three times: with each
//! rank on a processor of its own, with both on one, and wherever the kernel puts them, which may be otherwise
//! for *R* than for what stands next to it.
//!
//! - *remote lock*: a lock that nobody ever took, at the other rank.
//! - *lock and its data*: a free lock that the other rank had last, until the page that is written under it
//!   is here to write.
//! - *hand-over*: the same of a lock that the other rank has and this rank waits for, from its unlock on. It
//!   needs one clock for both ranks: with ADDRESS on another machine it means nothing.
//! - *contended hand-over*: both ranks lock and unlock as fast as they can.

use dsm::Node;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let samples: usize = arguments.next().as_deref().unwrap_or("1000").parse()?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1".to_owned());
    let node = Node::join()?;
    if node.nodes() != 2 || (4 * Pinning::ALL.len() * samples + 8) * node.page_bytes() > node.size()
    {
        return Err("needs two ranks, and twelve pages a sample (see --size)".into());
    }
    let benches = || {
        let numbered = Pinning::ALL.into_iter().enumerate();
        numbered.map(|(run, pinning)| Bench { node: &node, samples, run, pinning })
    };
    match node.rank() {
        0 => {
            let port = u16::try_from(wait_for(word(&node, 0)))?;
            let mut peer = TcpStream::connect((address.as_str(), port))?;
            peer.set_nodelay(true)?;
            benches().try_for_each(|bench| bench.measure(&mut peer))?;
        }
        _ => {
            let listener = TcpListener::bind((address.as_str(), 0))?;
            word(&node, 0).store(listener.local_addr()?.port().into(), SeqCst);
            let mut peer = listener.accept()?.0;
            peer.set_nodelay(true)?;
            benches().try_for_each(|bench| bench.answer(&mut peer))?;
        }
    }
    node.finalize()?;
    Ok(())
}

/// Which processors the ranks may use.
#[derive(Clone, Copy)]
enum Pinning {
    OneEach,
    Shared,
    Free,
}

impl Pinning {
    const ALL: [Self; 3] = [Self::OneEach, Self::Shared, Self::Free];

    /// Pins every thread of this rank, or says why that cannot be.
    fn apply(self, rank: usize, allowed: &CpuSet) -> Result<&'static str, Box<dyn Error>> {
        let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let (cpu, name) = match self {
            Self::OneEach => (cpus.nth(rank), "each rank on a processor of its own"),
            Self::Shared => (cpus.next(), "both ranks on one processor"),
            Self::Free => (None, "where the kernel puts them"),
        };
        let mut set = *allowed;
        if let Some(cpu) = cpu {
            set = CpuSet::new();
            set.set(cpu);
        } else if matches!(self, Self::OneEach) {
            return Ok("there is no processor for each rank");
        }
        for thread in fs::read_dir("/proc/self/task")? {
            let id = thread?.file_name();
            let id = id.to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
            sched_setaffinity(id, &set)?;
        }
        Ok(name)
    }
}

/// Two ranks, of which rank 0 measures.
struct Bench<'a> {
    node: &'a Node,
    samples: usize,
    run: usize,
    pinning: Pinning,
}

fn word(node: &Node, page: usize) -> &AtomicU64 {
    &node.words::<AtomicU64>(page * node.page_bytes(), 1).expect("pages are in the area")[0]
}

/// Page 2 is the first of the samples' pages; those with odd numbers have their home at rank 1.
impl Bench<'_> {
    /// The first of the pages of this run's samples.
    fn of_sample(&self, sample: usize) -> usize {
        4 * (self.run * self.samples + sample)
    }

    fn address(&self, page: usize) -> usize {
        self.node.base() + page * self.node.page_bytes()
    }

    /// A lock at rank 1 that nobody ever took.
    fn fresh_lock(&self, sample: usize) -> usize {
        self.address(self.of_sample(sample) + 3)
    }

    /// A lock that both use in turns, and the page that they write under it.
    fn used_lock(&self, sample: usize) -> (usize, &AtomicU64) {
        let page = self.of_sample(sample) + 5;
        (self.address(page), word(self.node, page))
    }

    /// Takes a lock and counts under it.
    fn count(&self, sample: usize) -> Outcome {
        let (lock, data) = self.used_lock(sample % LOCKS);
        self.node.mutex_lock(lock)?;
        data.store(data.load(SeqCst) + 1, SeqCst);
        Ok(self.node.mutex_unlock(lock)?)
    }

    fn measure(&self, peer: &mut TcpStream) -> Outcome {
        let node = self.node;
        let allowed = sched_getaffinity(None)?;
        let pinned = self.pinning.apply(0, &allowed)?;
        let mut page = vec![0; node.page_bytes()];
        let (mut trips, mut locks, mut handoffs) = (Vec::new(), Vec::new(), Vec::new());
        let (mut adds, mut passes) = (Vec::new(), Vec::new());
        let mut messages = [0; 3];
        for sample in 0..self.samples {
            let_others_run();
            trips.push(timed(|| {
                peer.write_all(&[TRIP; REQUEST_BYTES])?;
                Ok(peer.read_exact(&mut page)?)
            })?);
            let sent = || node.stats().messages_sent;
            let before = sent();
            let_others_run();
            locks.push(timed(|| Ok(node.mutex_lock(self.fresh_lock(sample))?))?);
            messages[0] += sent() - before;
            let before = sent();
            peer.write_all(&[COUNT; REQUEST_BYTES])?;
            peer.read_exact(&mut page)?;
            let_others_run();
            handoffs.push(timed(|| self.count(sample))?);
            messages[1] += sent() - before;
            let before = sent();
            let_others_run();
            adds.push(timed(|| {
                // Rank 1 is home and owner of what nobody uses.
                node.fetch_add(self.address(self.of_sample(sample) + 3) + 64, 1)?;
                Ok(())
            })?);
            messages[2] += sent() - before;
            passes.push(self.hand_over(peer, &mut page, sample)?);
        }
        let cached = self.cached()?;
        let (barriers, contended) = self.together(peer)?;
        let mut out = io::stdout().lock();
        writeln!(out, "{}{pinned}:", if self.run == 0 { "" } else { "\n" })?;
        let r = quantile(&mut trips, 50);
        let per = |count: u64| format!("{:.2} messages sent", count as f64 / self.samples as f64);
        line(&mut out, "round trip R", &mut trips, r, "")?;
        line(&mut out, "remote lock", &mut locks, r, &per(messages[0]))?;
        line(&mut out, "lock and its data", &mut handoffs, r, &per(messages[1]))?;
        line(&mut out, "hand-over", &mut passes, r, "from unlock to data")?;
        line(&mut out, "fetch_add at owner", &mut adds, r, &per(messages[2]))?;
        line(&mut out, "barrier of two", &mut [barriers], r, "")?;
        line(&mut out, "contended hand-over", &mut [contended], r, "with its data")?;
        writeln!(out, "{cached}")?;
        Pinning::Free.apply(0, &allowed)?;
        Ok(())
    }

    /// How long a lock and its data take from the unlock there to here, where it is waited for.
    fn hand_over(
        &self,
        peer: &mut TcpStream,
        page: &mut [u8],
        sample: usize,
    ) -> Result<Duration, Box<dyn Error>> {
        peer.write_all(&[HOLD; REQUEST_BYTES])?;
        peer.read_exact(page)?;
        self.count(sample)?;
        let here = now()?;
        let mut unlocked = [0; size_of::<u64>()];
        peer.read_exact(&mut unlocked)?;
        let there = Duration::from_nanos(u64::from_ne_bytes(unlocked));
        here.checked_sub(there).ok_or_else(|| "the ranks have different clocks".into())
    }

    /// The other side of it: has the lock until the other rank waits for it, long since.
    fn hold(&self, peer: &mut TcpStream, page: &[u8], sample: usize) -> Outcome {
        let (lock, data) = self.used_lock(sample % LOCKS);
        self.node.mutex_lock(lock)?;
        data.store(data.load(SeqCst) + 1, SeqCst);
        peer.write_all(page)?;
        let begun = Instant::now();
        while begun.elapsed() < HELD {
            std::thread::yield_now();
        }
        let unlocked = u64::try_from(now()?.as_nanos())?;
        self.node.mutex_unlock(lock)?;
        Ok(peer.write_all(&unlocked.to_ne_bytes())?)
    }

    /// Locks that are here already, and how many messages they cost.
    fn cached(&self) -> Result<String, Box<dyn Error>> {
        let lock = self.fresh_lock(0);
        self.node.mutex_unlock(lock)?;
        let sent = self.node.stats().messages_sent;
        let took = timed(|| {
            for _ in 0..CACHED {
                self.node.mutex_lock(lock)?;
                self.node.mutex_unlock(lock)?;
            }
            Ok(())
        })?;
        let ns = took.as_nanos() as f64 / f64::from(CACHED);
        let sent = self.node.stats().messages_sent - sent;
        Ok(format!("cached lock and unlock {ns:.0} ns, {sent} messages in {CACHED}"))
    }

    /// Both ranks at once: barriers, then one lock that they take in turns, with a word under it.
    fn together(&self, peer: &mut TcpStream) -> Result<(Duration, Duration), Box<dyn Error>> {
        peer.write_all(&[TOGETHER; REQUEST_BYTES])?;
        self.both()
    }

    fn both(&self) -> Result<(Duration, Duration), Box<dyn Error>> {
        let node = self.node;
        let (lock, data) = (self.address(1), word(self.node, 1));
        let rounds = u32::try_from(self.samples)?;
        node.barrier()?;
        let barriers = timed(|| {
            for _ in 0..rounds {
                node.barrier()?;
            }
            Ok(())
        })?;
        let contended = timed(|| {
            for _ in 0..rounds {
                node.mutex_lock(lock)?;
                data.store(data.load(SeqCst) + 1, SeqCst);
                node.mutex_unlock(lock)?;
            }
            Ok(())
        })?;
        node.barrier()?;
        let counted = 2 * u64::from(rounds) * (self.run as u64 + 1);
        assert_eq!(data.load(SeqCst), counted, "no addition is lost");
        Ok((barriers / rounds, contended / (2 * rounds)))
    }

    fn answer(&self, peer: &mut TcpStream) -> Outcome {
        let page = vec![0; self.node.page_bytes()];
        let mut request = [0; REQUEST_BYTES];
        let (mut counted, mut held) = (0, 0);
        let allowed = sched_getaffinity(None)?;
        self.pinning.apply(1, &allowed)?;
        // Until rank 0 has measured enough.
        loop {
            peer.read_exact(&mut request)?;
            match request[0] {
                TOGETHER => {
                    self.both()?;
                    return Pinning::Free.apply(1, &allowed).map(drop);
                }
                COUNT => {
                    self.count(counted)?;
                    counted += 1;
                }
                HOLD => {
                    self.hold(peer, &page, held)?;
                    held += 1;
                    continue;
                }
                _ => (),
            }
            peer.write_all(&page)?;
        }
    }
}

/// Long enough for what the last exchange left to do; whoever waits for the next one spins or sleeps.
fn let_others_run() {
    let begun = Instant::now();
    while begun.elapsed() < QUIET {
        std::thread::yield_now();
    }
}

fn now() -> Result<Duration, Box<dyn Error>> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

fn timed(body: impl FnOnce() -> Outcome) -> Result<Duration, Box<dyn Error>> {
    let begun = Instant::now();
    body()?;
    Ok(begun.elapsed())
}

fn line(
    out: &mut impl Write,
    name: &str,
    times: &mut [Duration],
    r: Duration,
    note: &str,
) -> io::Result<()> {
    let (p50, p99) = (quantile(times, 50), quantile(times, 99));
    let (ratio50, ratio99) = (p50.div_duration_f64(r), p99.div_duration_f64(r));
    writeln!(
        out,
        "{name:<20} p50 {p50:>9.1?} ({ratio50:.2} R)  p99 {p99:>9.1?} ({ratio99:.2} R)  {note}"
    )
}

/// Waits for another rank to store something into a word: a plain spin, as on one machine.
fn wait_for(word: &AtomicU64) -> u64 {
    loop {
        match word.load(SeqCst) {
            0 => std::hint::spin_loop(),
            value => return value,
        }
    }
}

fn quantile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

const REQUEST_BYTES: usize = 16;
const TRIP: u8 = 1;
const TOGETHER: u8 = 2;
const COUNT: u8 = 3;
const HOLD: u8 = 4;
/// How long a lock is held that the other rank waits for.
const HELD: Duration = Duration::from_micros(100);
const QUIET: Duration = Duration::from_micros(20);
/// So many locks are used again and again.
const LOCKS: usize = 16;
const CACHED: u32 = 1_000_000;
