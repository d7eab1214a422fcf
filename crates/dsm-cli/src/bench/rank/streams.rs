//! Scans of remote memory in turns with a plain TCP stream, and accesses at random.

use super::super::line::Line;
use super::super::reading::{Count, Reading, Spec, quantile};
use super::ground::{Ground, RANDOM_PAGES, SCAN_PAGES, let_others_run, scramble};
use super::latency::prepare;
use super::link::Link;
use super::operation::timed;
use super::settled::Settled;
use super::{Outcome, progress, tell};
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
    let per_page = ground.words_per_page();
    let bytes = SCAN_PAGES * ground.node.page_bytes();
    let kib = u32::try_from(bytes / 1024)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let [mut streams, mut scans, mut randoms, mut trips] = [const { Vec::new() }; 4];
    let [mut messages, mut sent] = [const { Vec::new() }; 2];
    for round in 0..spec.rounds {
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
        prepare(ground, Line::Random, round, links)?;
        for (at, page) in shuffled(round).into_iter().enumerate() {
            if at % BETWEEN_TRIPS == 0 {
                let_others_run();
                trips.push(links.first_mut().ok_or("no other rank")?.trip()?);
            }
            let word = &ground.random()[page * per_page];
            randoms.push(timed(|| expect(word, round))?);
        }
        progress(round, spec.rounds)?;
    }
    let (stream, round_trip) = (quantile(&mut streams, 50), quantile(&mut trips, 50));
    tell(Reading::of(Line::Tcp, &mut streams).map(without_tail))?;
    tell(Reading::of(Line::Scan, &mut scans).map(|reading| Reading {
        reference: stream,
        messages: Count::of(&messages),
        bytes: Count::of(&sent),
        ..without_tail(reading)
    }))?;
    let random = Reading::of(Line::Random, &mut randoms);
    tell(random.map(|reading| Reading { reference: round_trip, round_trip, ..reading }))
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
const BETWEEN_TRIPS: usize = 16;
const SEEDS: u32 = 1 << 12;
