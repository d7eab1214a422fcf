//! A program that shares nothing: the same computation in shared memory of one rank and in plain memory, in turns.

use super::super::line::Line;
use super::super::reading::{Reading, Spec, quantile};
use super::link::us;
use super::{Outcome, progress, tell};
use dsm::Node;
use std::hint::black_box;
use std::time::Duration;

/// A computation on matrices of one size, `cells` of them in all.
#[derive(Clone, Copy)]
struct Kernel {
    line: Line,
    cells: usize,
    compute: fn(&mut [f64]),
}

pub(super) fn measure(node: &Node, spec: &Spec) -> Outcome {
    let kernels: Vec<Kernel> =
        KERNELS.into_iter().filter(|kernel| spec.lines.contains(&kernel.line)).collect();
    for (done, kernel) in (0..).zip(&kernels) {
        progress(done, u32::try_from(kernels.len())?)?;
        compare(node, *kernel, spec.rounds)?;
    }
    Ok(())
}

fn compare(node: &Node, Kernel { line, cells, compute }: Kernel, rounds: u32) -> Outcome {
    let mut shared = node.named_parts::<f64>(line.about().name, cells, 1)?;
    let shared = shared.mine();
    // Both begin at a page, so that the same instructions meet the same alignment.
    let mut plain = vec![0.0; cells + node.page_bytes() / size_of::<f64>()];
    let first = plain.as_ptr().align_offset(node.page_bytes());
    let plain = &mut plain[first..first + cells];
    let [mut with, mut without] = [const { Vec::new() }; 2];
    let run = |memory: &mut [f64]| {
        for (cell, place) in memory.iter_mut().zip(0_u32..) {
            *cell = f64::from(place % 1000) / 8.0;
        }
        let before = processor_time();
        compute(black_box(memory));
        us(processor_time().saturating_sub(before))
    };
    // The first round touches the memory, and does not count.
    for round in 0..=rounds {
        let (shared, plain) = (run(shared), run(plain));
        if round > 0 {
            with.push(shared / US_PER_MS);
            without.push(plain / US_PER_MS);
        }
    }
    if shared != plain {
        return Err(format!("{line:?}: the results differ").into());
    }
    let reference = quantile(&mut without, 50);
    tell(Reading::of(line, &mut with).map(|reading| Reading { reference, ..reading }))
}

/// Of this thread: what others on the machine take is not in it. Without other ranks nobody else works for it.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("this clock does not run backwards")
}

/// Sweeps over a plate: each cell becomes the mean of its neighbours.
fn jacobi(plates: &mut [f64]) {
    let (mut old, mut new) = plates.split_at_mut(PLATE * PLATE);
    for _ in 0..SWEEPS {
        for row in 1..PLATE - 1 {
            let [above, here, below] = [row - 1, row, row + 1].map(|row| &old[row * PLATE..]);
            let new = &mut new[row * PLATE..(row + 1) * PLATE];
            for at in 1..PLATE - 1 {
                new[at] = 0.25 * (here[at - 1] + here[at + 1] + above[at] + below[at]);
            }
        }
        (old, new) = (new, old);
    }
}

/// C = C + A B.
fn matmul(matrices: &mut [f64]) {
    let (a, others) = matrices.split_at_mut(ORDER * ORDER);
    let (b, c) = others.split_at_mut(ORDER * ORDER);
    for (a, c) in a.chunks(ORDER).zip(c.chunks_mut(ORDER)) {
        for (factor, b) in a.iter().zip(b.chunks(ORDER)) {
            for (sum, element) in c.iter_mut().zip(b) {
                *sum += factor * element;
            }
        }
    }
}

const KERNELS: [Kernel; 2] = [
    Kernel { line: Line::OneRankJacobi, cells: 2 * PLATE * PLATE, compute: jacobi },
    Kernel { line: Line::OneRankMatmul, cells: 3 * ORDER * ORDER, compute: matmul },
];
/// Rows are no whole number of pages: caches and store buffers would confuse them with each other.
const PLATE: usize = 500;
const SWEEPS: usize = 20;
const ORDER: usize = 250;
const US_PER_MS: f64 = 1000.0;
