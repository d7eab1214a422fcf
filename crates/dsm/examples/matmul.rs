//! matmul: the product of two square matrices.
//!
//! ```text
//! dsmexec machine_file matmul-rs [SIZE]
//! ```
//! Each rank computes a block of rows of C = A B. It needs the same rows of A, which it filled in itself and so has
//! already, and all of B, of which it filled in a part: the rest comes over the network, once, and stays.
//!
//! Worth a look: B is used from a private copy of some rows at a time. The elements of others are loaded one by one,
//! as they might change at any time; a private row is a slice, which the compiler can vectorise, and each is used
//! for all rows of this rank.
//!
//! Rank 0 then computes the same alone. An element's products are added in the same order, so the results must be
//! equal. Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for wrong arguments.
#![forbid(unsafe_code)]

mod common;

use common::{Arguments, Run, below};
use std::error::Error;
use std::ops::Range;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = Arguments::new("matmul", "The product of two square matrices.");
    let size = arguments.number("SIZE", "rows and columns", 1..=16_384, 384);
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = dsm::Node::join()?;
    let matrix = |name| node.named_parts::<f64>(name, size, size);
    let (mut a, mut b, mut c) = (matrix("a")?, matrix("b")?, matrix("c")?);
    // Everyone fills in the rows that it will compute with: they are where they are needed.
    let mine = c.range(node.rank());
    fill(a.mine(), 0, mine.clone());
    fill(b.mine(), 1, mine);

    let mut run = Run::begin("matmul", &node)?;
    let mut rows_of_b = vec![0.0; ROWS * size];
    for first in (0..size).step_by(ROWS) {
        let rows_of_b = &mut rows_of_b[..ROWS.min(size - first) * size];
        b.read_into(first * size, rows_of_b);
        multiply_add(a.mine(), rows_of_b, c.mine(), size, first);
    }
    run.end()?;

    if node.rank() == 0 {
        let mut result = vec![0.0; size * size];
        c.read_into(0, &mut result);
        let expected = alone(&mut run, size);
        run.compare(&result, &expected, |at| format!("row {} column {}", at / size, at % size));
    }
    let code = run.report(format_args!("{size} x {size}"));
    node.finalize()?;
    Ok(code)
}

/// Small whole numbers over 8: exact, and not the same everywhere.
fn fill(elements: &mut [f64], matrix: u64, places: Range<usize>) {
    for (element, at) in elements.iter_mut().zip(places) {
        *element = below(1000, matrix << 32 | at as u64) as f64 / 8.0 - 60.0;
    }
}

/// Adds to rows of C what some rows of B contribute, the first of which is number `first`. The terms of an element are
/// added in the order of the definition.
fn multiply_add(a: &[f64], b: &[f64], c: &mut [f64], size: usize, first: usize) {
    for (a, c) in a.chunks(size).zip(c.chunks_mut(size)) {
        for (factor, b) in a[first..].iter().zip(b.chunks(size)) {
            for (sum, element) in c.iter_mut().zip(b) {
                *sum += factor * element;
            }
        }
    }
}

/// What one process alone computes.
fn alone(run: &mut Run, size: usize) -> Vec<f64> {
    let cells = size * size;
    let (mut a, mut b, mut c) = (vec![0.0; cells], vec![0.0; cells], vec![0.0; cells]);
    fill(&mut a, 0, 0..cells);
    fill(&mut b, 1, 0..cells);
    run.alone(|| {
        for first in (0..size).step_by(ROWS) {
            let rows_of_b = &b[first * size..cells.min((first + ROWS) * size)];
            multiply_add(&a, rows_of_b, &mut c, size, first);
        }
    });
    c
}

/// Rows of B at a time: few enough to stay in the processor's cache.
const ROWS: usize = 32;
