//! Scans of remote memory in turns with a plain TCP stream, and accesses at random.

use super::super::line::Line;
use super::super::reading::{Count, Reading, Spec, quantile};
use super::ground::{Ground, RANDOM_PAGES, SCAN_PAGES, let_others_run, scramble};
use super::latency::prepare;
use super::link::Link;
use super::operation::timed;
use super::settled::Settled;
use super::{Outcome, progress, tell};
use std::env;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Rank 1 writes all pages that rank 0 is to read.
pub(super) fn assist(ground: &Ground<'_>, line: Line, sample: u32) {
    let words = match line {
        Line::Scan => ground.scan(),
        Line::Random => ground.random(),
        _ => return,
    };
    if ground.node.rank() == 1 {
        for page in words.chunks(ground.words_per_page()) {
            page[0].store(u64::from(sample) + 1, Relaxed);
        }
    }
}

/// Measures on rank 0.
pub(super) fn measure(ground: &Ground<'_>, spec: &Spec, links: &mut [Link]) -> Outcome {
    let bytes = SCAN_PAGES * ground.node.page_bytes();
    let kib = u32::try_from(bytes / 1024)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let [mut streams, mut scans] = [const { Vec::new() }; 2];
    let [mut messages, mut sent] = [const { Vec::new() }; 2];
    let mut random = Randoms::default();
    let is_random = spec.lines.iter().any(|line| RANDOM_LINES.contains(line));
    for round in 0..spec.rounds {
        if is_random {
            random.measure(ground, round, links)?;
        }
        if spec.lines.iter().all(|line| RANDOM_LINES.contains(line)) {
            progress(round, spec.rounds)?;
            continue;
        }
        prepare(ground, Line::Scan, round, links)?;
        let_others_run();
        let link = links.first_mut().ok_or("no other rank")?;
        streams.push(megabytes_per_s(bytes, link.stream(kib, &mut buffer)?));
        let before = Settled::reach(ground, links)?;
        scans.push(megabytes_per_s(bytes, timed(|| scan(ground, round))?));
        let after = Settled::reach(ground, links)?;
        if let Some([messages_sent, bytes_sent]) = Settled::between(before, after) {
            messages.push(messages_sent / SCAN_PAGES as f64);
            sent.push(bytes_sent / SCAN_PAGES as f64);
        }
        progress(round, spec.rounds)?;
    }
    let stream = quantile(&mut streams, 50);
    tell(Reading::of(Line::Tcp, &mut streams).map(without_tail))?;
    tell(Reading::of(Line::Scan, &mut scans).map(|reading| Reading {
        reference: stream,
        messages: Count::of(&messages),
        bytes: Count::of(&sent),
        ..without_tail(reading)
    }))?;
    random.tell()
}

/// Accesses at random, with prefetching and without in turns.
#[derive(Default)]
struct Randoms {
    with: Vec<f64>,
    without: Vec<f64>,
    trips: Vec<f64>,
}

impl Randoms {
    fn measure(&mut self, ground: &Ground<'_>, round: u32, links: &mut [Link]) -> Outcome {
        let configured = env::var("DSM_PREFETCH").ok().and_then(|pages| pages.parse().ok());
        let limit = configured.unwrap_or(u16::MAX);
        prepare(ground, Line::Random, round, links)?;
        let pages = shuffled(round);
        for (block, pages) in (round..).zip(pages.chunks(BLOCK)) {
            // Both are the first of a round equally often.
            let prefetches = block % 2 == 0;
            ground.node.limit_prefetch(if prefetches { limit } else { 0 });
            let_others_run();
            self.trips.push(links.first_mut().ok_or("no other rank")?.trip()?);
            let times = if prefetches { &mut self.with } else { &mut self.without };
            for page in pages {
                let word = &ground.random()[page * ground.words_per_page()];
                times.push(timed(|| expect(word, round))?);
            }
        }
        ground.node.limit_prefetch(limit);
        Ok(())
    }

    fn tell(mut self) -> Outcome {
        let round_trip = quantile(&mut self.trips, 50);
        for (line, times) in RANDOM_LINES.into_iter().zip([&mut self.with, &mut self.without]) {
            let reading = Reading::of(line, times);
            tell(reading.map(|reading| Reading { reference: round_trip, round_trip, ..reading }))?;
        }
        Ok(())
    }
}

/// Reads every word of the stretch.
fn scan(ground: &Ground<'_>, round: u32) -> Outcome {
    let mut sum = 0_u64;
    for page in ground.scan().chunks(ground.words_per_page()) {
        sum = page.iter().fold(sum, |sum, word| sum.wrapping_add(word.load(Relaxed)));
    }
    let expected = (u64::from(round) + 1) * SCAN_PAGES as u64;
    if sum == expected { Ok(()) } else { Err(format!("a scan has {sum}, not {expected}").into()) }
}

fn expect(word: &AtomicU64, round: u32) -> Result<(), Box<dyn Error>> {
    let (found, expected) = (word.load(Relaxed), u64::from(round) + 1);
    if found == expected { Ok(()) } else { Err(format!("found {found}, not {expected}").into()) }
}

/// All pages of the stretch, in another order in each round.
fn shuffled(round: u32) -> Vec<usize> {
    let mut pages: Vec<usize> = (0..RANDOM_PAGES).collect();
    for (last, seed) in (1..RANDOM_PAGES).rev().zip(round * SEEDS..) {
        pages.swap(last, scramble(seed) % (last + 1));
    }
    pages
}

/// The slow percentile of a throughput is the fast end of its figures, which nobody asks for.
fn without_tail(reading: Reading) -> Reading {
    Reading { p99: None, ..reading }
}

fn megabytes_per_s(bytes: usize, us: f64) -> f64 {
    bytes as f64 / us
}

const BUFFER_BYTES: usize = 1 << 20;
const RANDOM_LINES: [Line; 2] = [Line::Random, Line::RandomWithoutPrefetch];
/// Accesses after each round trip.
const BLOCK: usize = 16;
const SEEDS: u32 = 1 << 12;
