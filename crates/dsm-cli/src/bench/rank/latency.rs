//! Operations in turns with round trips, and how many messages each takes.

use super::super::line::Line;
use super::super::reading::{Count, Reading, Spec, quantile};
use super::ground::{Ground, let_others_run};
use super::link::{Link, Order};
use super::settled::Settled;
use super::{Outcome, operation, progress, tell};
use std::error::Error;

/// Measures on rank 0.
pub(super) fn measure(ground: &Ground<'_>, spec: &Spec, links: &mut [Link]) -> Outcome {
    let node = ground.node;
    let one_clock = node.address(0) == node.address(1);
    let wanted = |line: &&Line| **line != Line::HandOver || one_clock;
    let lines: Vec<Line> = spec.lines.iter().filter(wanted).copied().collect();
    let mut times = vec![Vec::new(); lines.len()];
    let mut trips = Vec::new();
    // The first rounds make what is there once and for all: connections, books, memory.
    for sample in 0..WARM_UP + spec.rounds {
        for (line, times) in lines.iter().zip(&mut times) {
            prepare(ground, *line, sample, links)?;
            let_others_run();
            let trip = links.first_mut().ok_or("no other rank")?.trip()?;
            let_others_run();
            let took = operation::run(ground, *line, sample, links)?;
            if sample >= WARM_UP {
                trips.push(trip);
                times.extend(took);
            }
        }
        progress(sample, WARM_UP + spec.rounds)?;
    }
    let round_trip = quantile(&mut trips, 50);
    tell(Reading::of(Line::RoundTrip, &mut trips))?;
    for (line, times) in lines.iter().zip(&mut times) {
        let counts = count(ground, *line, WARM_UP + spec.rounds, links)?;
        tell(Reading::of(*line, times).map(|reading| Reading {
            reference: round_trip,
            round_trip,
            messages: counts[0],
            bytes: counts[1],
            ..reading
        }))?;
    }
    Ok(())
}

/// Lets every rank do its part before a sample, in rank order.
pub(super) fn prepare(ground: &Ground<'_>, line: Line, sample: u32, links: &mut [Link]) -> Outcome {
    for link in &mut *links {
        link.ask(Order::Assist { line, sample })?;
    }
    operation::prepare(ground, line, sample, links)
}

/// Messages and bytes that all ranks send for one operation, counted several times, one at a time.
fn count(
    ground: &Ground<'_>,
    line: Line,
    first: u32,
    links: &mut [Link],
) -> Result<[Option<Count>; 2], Box<dyn Error>> {
    let [mut messages, mut bytes] = [const { Vec::new() }; 2];
    for sample in first..first + COUNTED {
        prepare(ground, line, sample, links)?;
        let before = Settled::reach(ground, links)?;
        operation::run(ground, line, sample, links)?;
        let after = Settled::reach(ground, links)?;
        let Some([messages_sent, bytes_sent]) = Settled::between(before, after) else {
            return Ok([None; 2]);
        };
        messages.push(messages_sent);
        bytes.push(bytes_sent);
    }
    Ok([messages, bytes].map(|mut counts| {
        counts.iter_mut().for_each(|count| *count /= operation::operations(line));
        Count::of(&counts)
    }))
}

const WARM_UP: u32 = 5;
const COUNTED: u32 = 8;
