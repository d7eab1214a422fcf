//! lu: a square matrix as the product of a lower and an upper triangular one (no pivoting), block by block.
//!
//! ```text
//! dsmexec machine_file lu-rs [SIZE] [BLOCK]
//! ```
//! Blocks of BLOCK x BLOCK elements are dealt out to the ranks like cards on a grid of ranks. In step k the owner of
//! block (k, k) factors it; then the owners of the rest of row and column k divide by it; then every owner updates its
//! blocks right of and below it.
//!
//! Worth a look: where a block is in memory. `Parts` gives each rank one part, so a rank's blocks are stored side by
//! side, wherever in the matrix they belong, and a page has one writer. The C version shows with `lu --rows` what it
//! costs if a page holds pieces of several ranks' blocks.
//!
//! Rank 0 then computes the same alone, by the three loops of the textbook, which round at the same places: the results
//! must be equal. Exit code 0; 1 if the job cannot be joined or the result is wrong; 64 for wrong arguments.
#![forbid(unsafe_code)]

mod common;

use common::{Arguments, Run, below};
use dsm::{CallError, Node, Parts};
use std::error::Error;
use std::ops::Range;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = Arguments::new("lu", "A matrix as the product of two triangular ones.");
    let size = arguments.number("SIZE", "rows and columns", 1..=16_384, 384);
    let side = arguments.number("BLOCK", "rows and columns of a block", 1..=1024, 32);
    arguments.check(size.is_multiple_of(side), || {
        format!("SIZE {size} is not a multiple of BLOCK {side}")
    });
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = Node::join()?;
    let deal = Deal::new(&node, size / side, side);
    let (units, unit) = (usize::from(node.nodes()) * deal.blocks_of_a_rank(), side * side);
    let mut matrix = node.named_parts::<f64>("matrix", units, unit)?;
    let blocks = || (0..deal.blocks).flat_map(|i| (0..deal.blocks).map(move |j| (i, j)));
    for (i, j) in blocks() {
        if let Some(place) = deal.mine(i, j) {
            fill(&mut matrix.mine()[place], side, size, (i * side, j * side));
        }
    }

    let mut run = Run::begin("lu", &node)?;
    decompose(&node, &deal, &mut matrix)?;
    run.end()?;

    if node.rank() == 0 {
        let mut expected = vec![0.0; size * size];
        fill(&mut expected, size, size, (0, 0));
        run.alone(|| factor(&mut expected, size)); // a matrix of one block: the textbook's loops
        for (i, j) in blocks() {
            let at = |row: usize| (i * side + row) * size + j * side;
            let rows = (0..side).map(|row| &expected[at(row)..at(row) + side]);
            let expected: Vec<f64> = rows.flatten().copied().collect();
            let place = |at| format!("row {} column {} of block ({i}, {j})", at / side, at % side);
            run.compare(&deal.read(&matrix, i, j), &expected, place);
        }
    }
    let code = run.report(format_args!("{size} x {size} in blocks of {side}"));
    node.finalize()?;
    Ok(code)
}

fn decompose(node: &Node, deal: &Deal, matrix: &mut Parts<f64>) -> Result<(), CallError> {
    let side = deal.side;
    for k in 0..deal.blocks {
        if let Some(place) = deal.mine(k, k) {
            factor(&mut matrix.mine()[place], side);
        }
        node.barrier()?;
        let rest = k + 1..deal.blocks;
        for place in rest.clone().filter_map(|j| deal.mine(k, j)) {
            divide_row(&deal.read(matrix, k, k), &mut matrix.mine()[place], side);
        }
        for place in rest.clone().filter_map(|i| deal.mine(i, k)) {
            divide_column(&deal.read(matrix, k, k), &mut matrix.mine()[place], side);
        }
        node.barrier()?;
        for (i, j) in rest.clone().flat_map(|i| rest.clone().map(move |j| (i, j))) {
            if let Some(place) = deal.mine(i, j) {
                let (left, above) = (deal.read(matrix, i, k), deal.read(matrix, k, j));
                update(&left, &above, &mut matrix.mine()[place], side);
            }
        }
    }
    Ok(())
}

/// Which rank has which block, and where: the ranks form a grid, as square as their number allows, which is laid
/// over the blocks again and again.
struct Deal {
    rank: usize,
    high: usize,
    wide: usize,
    /// In a row or a column of the matrix.
    blocks: usize,
    side: usize,
}

impl Deal {
    fn new(node: &Node, blocks: usize, side: usize) -> Self {
        let (rank, ranks) = (usize::from(node.rank()), usize::from(node.nodes()));
        let divides = |wide: &usize| ranks.is_multiple_of(*wide) && wide * wide <= ranks;
        let wide = (1..=ranks).rev().find(divides).unwrap_or(1);
        Self { rank, high: ranks / wide, wide, blocks, side }
    }

    /// The most that any has; for all ranks alike, so that the parts are.
    fn blocks_of_a_rank(&self) -> usize {
        self.blocks.div_ceil(self.high) * self.blocks.div_ceil(self.wide)
    }

    fn owner(&self, i: usize, j: usize) -> usize {
        i % self.high * self.wide + j % self.wide
    }

    /// Where the block in row i and column j of blocks is in its owner's part.
    fn place(&self, i: usize, j: usize) -> Range<usize> {
        let number = i / self.high * self.blocks.div_ceil(self.wide) + j / self.wide;
        let elements = self.side * self.side;
        number * elements..(number + 1) * elements
    }

    /// Where the block is in this rank's part, if it is there.
    fn mine(&self, i: usize, j: usize) -> Option<Range<usize>> {
        (self.owner(i, j) == self.rank).then(|| self.place(i, j))
    }

    /// A private copy of any rank's block.
    fn read(&self, matrix: &Parts<f64>, i: usize, j: usize) -> Vec<f64> {
        let part = self.blocks_of_a_rank() * self.side * self.side;
        let mut block = vec![0.0; self.side * self.side];
        matrix.read_into(self.owner(i, j) * part + self.place(i, j).start, &mut block);
        block
    }
}

/// Made-up elements, from (row, column) of the matrix on. The diagonal outweighs its row: no pivot is near 0.
fn fill(block: &mut [f64], side: usize, size: usize, (row, column): (usize, usize)) {
    for (at, element) in block.iter_mut().enumerate() {
        let (i, j) = (row + at / side, column + at % side);
        let diagonal = if i == j { size as f64 } else { 0.0 };
        *element = below(1000, (i << 32 | j) as u64) as f64 / 1000.0 + diagonal;
    }
}

/// d = L U in place; the ones on L's diagonal are not stored.
fn factor(d: &mut [f64], side: usize) {
    for k in 0..side {
        let (upper, lower) = d.split_at_mut((k + 1) * side);
        let pivots = &upper[k * side..];
        for row in lower.chunks_mut(side) {
            row[k] /= pivots[k];
            let factor = row[k];
            subtract(&mut row[k + 1..], factor, &pivots[k + 1..]);
        }
    }
}

/// b = L^-1 b, for a block of the row right of d = L U.
fn divide_row(d: &[f64], b: &mut [f64], side: usize) {
    for k in 0..side {
        let (upper, lower) = b.split_at_mut((k + 1) * side);
        let factors = d.chunks(side).skip(k + 1).map(|row| row[k]);
        for (row, factor) in lower.chunks_mut(side).zip(factors) {
            subtract(row, factor, &upper[k * side..]);
        }
    }
}

/// b = b U^-1, for a block of the column below d = L U.
fn divide_column(d: &[f64], b: &mut [f64], side: usize) {
    for row in b.chunks_mut(side) {
        for (k, pivots) in d.chunks(side).enumerate() {
            row[k] /= pivots[k];
            let factor = row[k];
            subtract(&mut row[k + 1..], factor, &pivots[k + 1..]);
        }
    }
}

/// c -= a b
fn update(a: &[f64], b: &[f64], c: &mut [f64], side: usize) {
    for (a, c) in a.chunks(side).zip(c.chunks_mut(side)) {
        for (factor, b) in a.iter().zip(b.chunks(side)) {
            subtract(c, *factor, b);
        }
    }
}

fn subtract(row: &mut [f64], factor: f64, other: &[f64]) {
    for (element, other) in row.iter_mut().zip(other) {
        *element -= factor * other;
    }
}
