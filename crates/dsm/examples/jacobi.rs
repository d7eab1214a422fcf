//! jacobi: heat spreads over a square plate whose upper edge is kept at 1 and whose other edges at 0.
//!
//! ```text
//! dsmexec machine_file jacobi-rs [SIZE [SWEEPS]]        (default 512 100)
//! ```
//! SIZE x SIZE cells, in shared memory, twice: a sweep reads one plate and writes the other. Each rank
//! computes a block of rows and needs one row of each neighbour; those pages, and only those, move at
//! every sweep. Rank 0 then computes the same alone, in private memory, and compares bit by bit.
//!
//! Exit code 0; 1 if the job cannot be joined or the result differs; 64 for wrong arguments.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what an example does")]

use std::env;
use std::error::Error;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Some((size, sweeps)) = arguments() else {
        eprintln!(
            "usage: jacobi [SIZE [SWEEPS]]   (SIZE 3 to {MAX_SIZE}, SWEEPS 1 to {MAX_SWEEPS})"
        );
        return Ok(ExitCode::from(EXIT_USAGE));
    };

    let node = dsm::Node::join()?;
    let cells = size * size;
    let both = node.words::<AtomicU64>(0, 2 * cells)?;
    let plates = [&both[..cells], &both[cells..]];
    let (rank, nodes) = (usize::from(node.rank()), usize::from(node.nodes()));

    // The rows that are not edge, in one block per rank.
    let rows = size - 2;
    let mine = 1 + rows * rank / nodes..1 + rows * (rank + 1) / nodes;
    if rank == 0 {
        heat(plates, size);
    }
    node.barrier()?;
    let began = Instant::now();
    for i in 0..sweeps {
        sweep(plates[i % 2], plates[1 - i % 2], size, mine.clone());
        node.barrier()?; // nobody reads the new plate, or overwrites the old one, before all are done
    }
    if rank == 0 {
        println!(
            "{nodes} ranks: {size} x {size} cells, {sweeps} sweeps in {:.3?}",
            began.elapsed()
        );
    }
    println!("rank {rank}: {:?}", node.stats());

    let right = rank != 0 || is_right(plates[sweeps % 2], size, sweeps);
    node.finalize()?;
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn arguments() -> Option<(usize, usize)> {
    let mut args = env::args().skip(1);
    let mut next = |default, max| match args.next() {
        None => Some(default),
        Some(text) => text.parse().ok().filter(|number| *number <= max),
    };
    let (size, sweeps) = (next(512, MAX_SIZE)?, next(100, MAX_SWEEPS)?);
    (size >= 3 && sweeps >= 1 && args.next().is_none()).then_some((size, sweeps))
}

/// Computes some rows of one plate from the other; the plate's edge stays as it is.
///
/// Barriers order the sweeps, so the cells need no order of their own: `Relaxed` is a plain load or store.
fn sweep(from: &[AtomicU64], to: &[AtomicU64], size: usize, rows: Range<usize>) {
    let cell = |at: usize| f64::from_bits(from[at].load(Relaxed));
    for row in rows {
        let inner = row * size + 1..(row + 1) * size - 1;
        for (at, target) in inner.clone().zip(&to[inner]) {
            let sum = cell(at - 1) + cell(at + 1) + cell(at - size) + cell(at + size);
            target.store((0.25 * sum).to_bits(), Relaxed);
        }
    }
}

/// Both plates begin with a hot upper edge; everything else is 0 already.
fn heat(plates: [&[AtomicU64]; 2], size: usize) {
    for plate in plates {
        plate[..size].iter().for_each(|cell| cell.store(1.0_f64.to_bits(), Relaxed));
    }
}

/// Whether `result` is, bit by bit, what one process alone computes.
fn is_right(result: &[AtomicU64], size: usize, sweeps: usize) -> bool {
    let began = Instant::now();
    let plate = || (0..size * size).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
    let (even, odd) = (plate(), plate());
    let plates = [&even[..], &odd[..]];
    heat(plates, size);
    for i in 0..sweeps {
        sweep(plates[i % 2], plates[1 - i % 2], size, 1..size - 1);
    }
    let mut pairs = result.iter().zip(plates[sweeps % 2]);
    let same = pairs.all(|(ours, theirs)| ours.load(Relaxed) == theirs.load(Relaxed));
    let verdict = if same { "equal bit by bit" } else { "DIFFERENT" };
    println!("sequential: {:.3?}; the results are {verdict}", began.elapsed());
    same
}

const MAX_SIZE: usize = 32_768;
const MAX_SWEEPS: usize = 1_000_000;
const EXIT_USAGE: u8 = 64;
