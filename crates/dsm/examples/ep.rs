//! ep: pairs of random numbers with a bell-shaped distribution, as the kernel EP of the NAS benchmarks makes them.
//!
//! ```text
//! dsmexec machine_file ep-rs [PAIRS]
//! ```
//! PAIRS points are strewn over a square. Each that is inside the circle gives a pair of numbers by Marsaglia's polar
//! method. They are added up, and counted by the size of the larger one. "EP" is for embarrassingly parallel: ranks
//! have nothing to tell each other but the sums at the end.
//!
//! Worth a look: each rank computes in private memory and stores what it has once.
//!
//! A sum of floating point numbers depends on their order. So each block of points has sums of its own, whoever
//! computes it, and these are added in the order of blocks. Rank 0 then computes the same alone: the results must be
//! equal. Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for wrong arguments.
#![forbid(unsafe_code)]

mod common;

use common::{Arguments, Run, scramble};
use std::error::Error;
use std::ops::Range;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let purpose = "Pairs of random numbers with a bell-shaped distribution.";
    let mut arguments = Arguments::new("ep", purpose);
    let points = arguments.number("PAIRS", "points in the square", 1..=1_000_000_000_000, 1 << 20);
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = dsm::Node::join()?;
    let blocks = points.div_ceil(BLOCK);
    let mut tallies = node.named_parts::<f64>("tallies", blocks, NUMBERS)?;
    let mine = tallies.range(node.rank());

    let mut run = Run::begin("ep", &node)?;
    let own = tally_blocks(points, mine.start / NUMBERS..mine.end / NUMBERS);
    tallies.mine().copy_from_slice(&own);
    node.barrier()?;
    let mut total = [0.0; NUMBERS];
    if node.rank() == 0 {
        let mut all = vec![0.0; blocks * NUMBERS];
        tallies.read_into(0, &mut all);
        total = sum(&all);
    }
    run.end()?;

    if node.rank() == 0 {
        let expected = run.alone(|| sum(&tally_blocks(points, 0..blocks)));
        run.compare(&total, &expected, |at| format!("number {at} of the sums"));
    }
    let [x, y, ref pairs @ ..] = total;
    let pairs: f64 = pairs.iter().sum();
    let code =
        run.report(format_args!("{points} points, {pairs} pairs with sums {x:.6} and {y:.6}"));
    node.finalize()?;
    Ok(code)
}

/// The sums of some blocks, [`NUMBERS`] for each.
fn tally_blocks(points: usize, blocks: Range<usize>) -> Vec<f64> {
    let of_block = |block| tally(block * BLOCK..points.min((block + 1) * BLOCK));
    blocks.flat_map(of_block).collect()
}

/// The sum of the first numbers of the pairs, that of the second, and how many pairs have a larger number from i to
/// i + 1: whole numbers, far from where a float cannot tell one from the next.
fn tally(points: Range<usize>) -> [f64; NUMBERS] {
    let mut tally = [0.0; NUMBERS];
    for at in points {
        let (x, y) = (made_up(2 * at), made_up(2 * at + 1));
        let square = x * x + y * y;
        if square > 1.0 || square == 0.0 {
            continue;
        }
        let stretch = (-2.0 * square.ln() / square).sqrt();
        let (x, y) = (x * stretch, y * stretch);
        tally[0] += x;
        tally[1] += y;
        let larger = x.abs().max(y.abs());
        let ring = (1..RINGS).take_while(|ring| larger >= *ring as f64).count();
        tally[2 + ring] += 1.0;
    }
    tally
}

fn sum(tallies: &[f64]) -> [f64; NUMBERS] {
    let mut sum = [0.0; NUMBERS];
    for tally in tallies.chunks(NUMBERS) {
        for (sum, number) in sum.iter_mut().zip(tally) {
            *sum += number;
        }
    }
    sum
}

/// From -1 to 1.
fn made_up(at: usize) -> f64 {
    (scramble(at as u64) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Points whose sums are added by themselves.
const BLOCK: usize = 1 << 14;
const RINGS: usize = 10;
const NUMBERS: usize = 2 + RINGS;
