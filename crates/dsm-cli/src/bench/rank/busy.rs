//! Read faults while the owner's program computes.

use super::super::line::Line;
use super::super::reading::{Reading, Spec, quantile};
use super::ground::{Ground, let_others_run};
use super::latency::prepare;
use super::link::{Link, Order};
use super::operation::{expect_mark, timed};
use super::{Outcome, progress, tell};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle, available_parallelism};

/// Threads that compute until this is dropped.
#[derive(Debug)]
pub(super) struct Computing {
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Computing {
    /// Returns when all of them compute.
    pub(super) fn start(threads: u32) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let count = usize::try_from(threads).unwrap_or(usize::MAX).min(cpus());
        let begin = Arc::new(Barrier::new(count + 1));
        let compute = |_| {
            let (ends, begin) = (Arc::clone(&ends), Arc::clone(&begin));
            thread::spawn(move || {
                begin.wait();
                let mut number = 1_u64;
                while !ends.load(Relaxed) {
                    number = black_box(number.wrapping_mul(6_364_136_223_846_793_005) + 1);
                }
            })
        };
        let threads = (0..count).map(compute).collect();
        begin.wait();
        Self { ends, threads }
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        self.ends.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            // It only computes.
            let _ = thread.join();
        }
    }
}

/// What was measured while so many of the owner's threads computed.
struct State {
    line: Line,
    threads: u32,
    times: Vec<f64>,
    trips: Vec<f64>,
}

/// Measures on rank 0; blocks of samples with and without load take turns.
pub(super) fn measure(ground: &Ground<'_>, spec: &Spec, links: &mut [Link]) -> Outcome {
    let all = u32::try_from(cpus())?;
    let state = |line, threads| State { line, threads, times: Vec::new(), trips: Vec::new() };
    let mut states = [
        state(Line::ReadFaultIdle, 0),
        state(Line::ReadFaultBusyButOne, all.saturating_sub(1)),
        state(Line::ReadFaultBusy, all),
    ];
    let blocks = spec.rounds.div_ceil(BLOCK);
    for block in 0..blocks {
        for state in &mut states {
            first(links)?.ask(Order::Compute { threads: state.threads })?;
            for sample in block * BLOCK..(block + 1) * BLOCK {
                // The same pages and the same work as the line that it is compared with.
                prepare(ground, Line::ReadFault, sample, links)?;
                let_others_run();
                state.trips.push(first(links)?.trip()?);
                let_others_run();
                let page = ground.page(Line::ReadFault, sample, 1);
                state.times.push(timed(|| expect_mark(ground, page, sample))?);
            }
        }
        progress(block, blocks)?;
    }
    first(links)?.ask(Order::Compute { threads: 0 })?;
    let idle = quantile(&mut states[0].times, 50);
    for State { line, mut times, mut trips, .. } in states {
        let round_trip = quantile(&mut trips, 50);
        let reference = if line == Line::ReadFaultIdle { round_trip } else { idle };
        let reading = Reading::of(line, &mut times);
        tell(reading.map(|reading| Reading { reference, round_trip, ..reading }))?;
    }
    Ok(())
}

fn first(links: &mut [Link]) -> Result<&mut Link, &'static str> {
    links.first_mut().ok_or("no other rank")
}

fn cpus() -> usize {
    available_parallelism().map_or(1, usize::from)
}

const BLOCK: u32 = 20;
