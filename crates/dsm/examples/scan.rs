//! Measures scans of memory that another rank has, beside the throughput of plain TCP of the same run.
//!
//! ```text
//! dsmexec machine_file scan [PAGES [ROUNDS [ADDRESS]]]      (two ranks)
//! ```
//! Rank 1 writes PAGES pages, rank 0 walks through them with one thread: one word of each page or all of them, up,
//! down, every third page, in an order made up at random, and storing one word a page. Each walk is done without
//! prefetch (`off`), with what dsm finds out by itself (`on`), and for those in order after a call that asks for all pages
//! (`asked`), in turns with a plain transfer of as many bytes over a TCP connection of their own, so that whatever
//! disturbs the machine disturbs all of them. ADDRESS is where rank 1 listens for that; 127.0.0.1 if both run on one machine.
//!
//! Told are medians over the rounds: megabytes (10^6 bytes) per second, the ratio to TCP, and how often the thread stopped
//! and how many messages the ranks sent per page.

use dsm::{Access, Node, Stats};
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let pages: usize = arguments.next().as_deref().unwrap_or("4096").parse()?;
    let rounds: usize = arguments.next().as_deref().unwrap_or("7").parse()?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1".to_owned());
    let node = Node::join()?;
    if node.nodes() != 2 || rounds == 0 || (pages + FIRST) * node.page_bytes() > node.size() {
        return Err("needs two ranks, a round, and memory for the pages (see --size)".into());
    }
    let bench = Bench { node: &node, pages };
    match node.rank() {
        0 => {
            let port = u16::try_from(wait_for(bench.word(0)))?;
            bench.measure(TcpStream::connect((address.as_str(), port))?, rounds)?;
        }
        _ => {
            let listener = TcpListener::bind((address.as_str(), 0))?;
            bench.word(0).store(listener.local_addr()?.port().into(), SeqCst);
            bench.supply(listener.accept()?.0)?;
        }
    }
    node.finalize()?;
    Ok(())
}

/// Two ranks, of which rank 0 walks through what rank 1 has written.
struct Bench<'a> {
    node: &'a Node,
    pages: usize,
}

/// In which order, and what is done with each page.
#[derive(Clone, Copy)]
struct Walk {
    name: &'static str,
    order: Order,
    work: Work,
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    Up,
    Down,
    /// In three passes, each over every third page.
    Thirds,
    Random,
}

#[derive(Clone, Copy)]
enum Work {
    /// Load one word.
    Touch,
    /// Load all of them.
    Sum,
    /// Store one word.
    Store,
}

/// Who asks for pages before they are touched.
#[derive(Clone, Copy, PartialEq)]
enum Prefetch {
    Off,
    On,
    Asked,
}

/// One walk's figures.
#[derive(Default)]
struct Measured {
    took: Vec<Duration>,
    faults: u64,
    messages: u64,
}

impl Bench<'_> {
    fn word(&self, page: usize) -> &AtomicU64 {
        &self.words(page)[0]
    }

    fn words(&self, page: usize) -> &[AtomicU64] {
        let bytes = self.node.page_bytes();
        self.node.words(page * bytes, bytes / 8).expect("pages are in the area")
    }

    fn bytes(&self) -> usize {
        self.pages * self.node.page_bytes()
    }

    fn measure(&self, mut peer: TcpStream, rounds: usize) -> Outcome {
        let runs = WALKS.iter().flat_map(|walk| {
            let asked = (walk.order == Order::Up).then_some(Prefetch::Asked);
            [Some(Prefetch::Off), Some(Prefetch::On), asked].map(|how| how.map(|how| (walk, how)))
        });
        let mut runs: Vec<_> =
            runs.flatten().map(|(walk, how)| (walk, how, Measured::default())).collect();
        let mut transfers = Vec::new();
        for _ in 0..rounds {
            for (walk, how, measured) in &mut runs {
                transfers.push(self.transfer(&mut peer)?);
                self.run(**walk, *how, &mut peer, measured)?;
            }
        }
        let tcp = self.rate(&mut transfers);
        let mut out = io::stdout().lock();
        writeln!(out, "{:<34} {tcp:>7.0} MB/s", "TCP")?;
        for (walk, how, mut measured) in runs {
            let rate = self.rate(&mut measured.took);
            let per_page = |count: u64| count as f64 / (self.pages * rounds) as f64;
            let (faults, messages) = (per_page(measured.faults), per_page(measured.messages));
            writeln!(
                out,
                "{:<28} {:<5} {rate:>7.0} MB/s  {:.2} of TCP  {faults:.3} faults  {messages:.3} messages",
                walk.name,
                how.name(),
                rate / tcp
            )?;
        }
        Ok(())
    }

    /// A plain transfer of as many bytes as a walk moves.
    fn transfer(&self, peer: &mut TcpStream) -> io::Result<Duration> {
        let mut buffer = vec![0; CHUNK];
        peer.write_all(&[TRANSFER])?;
        let mut left = self.bytes();
        let begun = Instant::now();
        while left > 0 {
            let most = left.min(CHUNK);
            left -= peer.read(&mut buffer[..most])?;
        }
        Ok(begun.elapsed())
    }

    fn run(
        &self,
        walk: Walk,
        how: Prefetch,
        peer: &mut TcpStream,
        measured: &mut Measured,
    ) -> Outcome {
        peer.write_all(&[WRITE])?;
        let there = self.other_rank(peer)?;
        let here = self.node.stats();
        self.node.limit_prefetch(if how == Prefetch::On { 64 } else { 0 });
        let begun = Instant::now();
        if how == Prefetch::Asked {
            let access = if let Work::Store = walk.work { Access::Write } else { Access::Read };
            let first = self.node.base() + FIRST * self.node.page_bytes();
            self.node.prefetch(first, self.bytes(), access)?;
        }
        let sum = self.walk(walk);
        measured.took.push(begun.elapsed());
        let expected: u64 = match walk.work {
            Work::Touch | Work::Store => (1..=self.pages as u64).sum(),
            Work::Sum => (1..=self.pages as u64).sum::<u64>() + self.pages as u64 * FILLED,
        };
        assert_eq!(sum, expected, "pages are as their writer left them");
        let here = difference(&self.node.stats(), &here);
        peer.write_all(&[COUNT])?;
        let there = self.other_rank(peer)? - there;
        measured.faults += here.read_faults + here.write_faults + here.upgrades;
        measured.messages += here.messages_sent + there;
        Ok(())
    }

    /// How many messages rank 1 has sent, once it has done what it was told.
    fn other_rank(&self, peer: &mut TcpStream) -> io::Result<u64> {
        let mut count = [0; 8];
        peer.read_exact(&mut count)?;
        Ok(u64::from_ne_bytes(count))
    }

    fn walk(&self, walk: Walk) -> u64 {
        let last = self.pages - 1;
        let visit = |at: usize| self.visit(at, walk.work);
        match walk.order {
            Order::Up => (0..=last).map(visit).sum(),
            Order::Down => (0..=last).rev().map(visit).sum(),
            Order::Thirds => (0..3).flat_map(|pass| (pass..=last).step_by(3)).map(visit).sum(),
            Order::Random => shuffled(self.pages).into_iter().map(visit).sum(),
        }
    }

    fn visit(&self, at: usize, work: Work) -> u64 {
        let words = self.words(FIRST + at);
        match work {
            Work::Touch => words[0].load(Relaxed),
            Work::Sum => words.iter().map(|word| word.load(Relaxed)).sum(),
            Work::Store => {
                words[1].store(0, Relaxed);
                words[0].load(Relaxed)
            }
        }
    }

    /// Does what rank 0 says until it closes the connection.
    fn supply(&self, mut peer: TcpStream) -> Outcome {
        let chunk = vec![0; CHUNK];
        let mut order = [0];
        while peer.read_exact(&mut order).is_ok() {
            match order[0] {
                TRANSFER => {
                    let mut left = self.bytes();
                    while left > 0 {
                        left -= peer.write(&chunk[..left.min(CHUNK)])?;
                    }
                    continue;
                }
                WRITE => (0..self.pages).for_each(|at| {
                    let words = self.words(FIRST + at);
                    words[0].store(at as u64 + 1, Relaxed);
                    words[words.len() - 1].store(FILLED, Relaxed);
                }),
                _ => (),
            }
            peer.write_all(&self.node.stats().messages_sent.to_ne_bytes())?;
        }
        Ok(())
    }

    /// Of the median, in megabytes per second.
    fn rate(&self, times: &mut [Duration]) -> f64 {
        times.sort_unstable();
        self.bytes() as f64 / times[times.len() / 2].as_secs_f64() / 1e6
    }
}

impl Prefetch {
    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Asked => "asked",
        }
    }
}

fn difference(now: &Stats, before: &Stats) -> Stats {
    Stats {
        read_faults: now.read_faults - before.read_faults,
        write_faults: now.write_faults - before.write_faults,
        upgrades: now.upgrades - before.upgrades,
        messages_sent: now.messages_sent - before.messages_sent,
        ..Stats::default()
    }
}

/// All numbers below `count` in an order that is the same in every run.
fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut drawn = 1_u64;
    for at in (1..count).rev() {
        drawn =
            drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other =
            usize::try_from((drawn >> 33) % (at as u64 + 1)).expect("less than a usize is one");
        order.swap(at, other);
    }
    order
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

const WALKS: [Walk; 6] = [
    Walk { name: "up, one word a page", order: Order::Up, work: Work::Touch },
    Walk { name: "up, all words", order: Order::Up, work: Work::Sum },
    Walk { name: "down, one word a page", order: Order::Down, work: Work::Touch },
    Walk { name: "every third page", order: Order::Thirds, work: Work::Touch },
    Walk { name: "random, one word a page", order: Order::Random, work: Work::Touch },
    Walk { name: "up, one store a page", order: Order::Up, work: Work::Store },
];
/// The first page of the walks.
const FIRST: usize = 1;
/// What is in the last word of each page.
const FILLED: u64 = 7;
const CHUNK: usize = 256 << 10;
/// What rank 0 tells rank 1.
const TRANSFER: u8 = 0;
const WRITE: u8 = 1;
const COUNT: u8 = 2;
