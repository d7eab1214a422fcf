//! sor: the temperature of a plate at rest, by successive over-relaxation, until no cell changes much any more.
//!
//! ```text
//! dsmexec machine_file sor-rs [SIZE] [SWEEPS]
//! ```
//! One plate, computed in place. Its cells are coloured like a chessboard: a red cell has only black neighbours, so all
//! red cells can be computed at once, and then all black ones. Each rank computes a block of rows. The plate's upper
//! edge is kept at 1, its other edges at 0.
//!
//! Worth a look: how the ranks agree on the largest change of a sweep, under a mutex, to stop together.
//!
//! Rank 0 then computes the same alone, and compares bit by bit. Exit code 0; 1 if the job cannot be joined or the
//! result is wrong; 64 for wrong arguments.
#![forbid(unsafe_code)]

mod common;

use common::{Arguments, Run, neighbours};
use dsm::{Mutex, Node};
use std::error::Error;
use std::process::ExitCode;

#[derive(Clone, Copy)]
enum Colour {
    Red,
    Black,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let purpose = "The temperature of a plate at rest, by red-black over-relaxation.";
    let mut arguments = Arguments::new("sor", purpose);
    let size = arguments.number("SIZE", "rows and columns", 3..=32_768, 256);
    let limit = arguments.number("SWEEPS", "stop after so many", 1..=1_000_000, 1000);
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = Node::join()?;
    let mut plate = node.named_parts::<f64>("plate", size, size)?;
    // Sweep s uses changes[s % 2]; the other one is set back meanwhile.
    let changes = node.named::<[Mutex<f64>; 2]>("changes")?;
    let first_row = plate.range(node.rank()).start / size;
    if node.rank() == 0 {
        plate.mine()[..size].fill(1.0);
    }

    let mut run = Run::begin("sor", &node)?;
    let mut sweeps = 0;
    loop {
        let (mine, others) = plate.split();
        let red = relax(mine, neighbours(others, size), size, first_row, Colour::Red);
        node.barrier()?; // the black cells need the red ones of the neighbours
        if node.rank() == 0 {
            *changes[1 - sweeps % 2].lock() = 0.0; // everyone has read what the last sweep left there
        }
        let black = relax(mine, neighbours(others, size), size, first_row, Colour::Black);
        let largest = agree(&node, &changes[sweeps % 2], red.max(black))?;
        sweeps += 1;
        if sweeps == limit || largest <= ENOUGH {
            break;
        }
    }
    run.end()?;

    if node.rank() == 0 {
        let mut result = vec![0.0; size * size];
        plate.read_into(0, &mut result);
        let (expected, needed) = run.alone(|| alone(size, limit));
        if sweeps != needed {
            run.wrong(format_args!("{sweeps} sweeps, not {needed}"));
        }
        run.compare(&result, &expected, |at| format!("row {} column {}", at / size, at % size));
    }
    let code = run.report(format_args!("{size} x {size} cells, {sweeps} sweeps"));
    node.finalize()?;
    Ok(code)
}

/// Adds this rank's largest change to those of the others; gives the largest of all. Every rank calls it.
fn agree(node: &Node, change: &Mutex<f64>, mine: f64) -> Result<f64, dsm::CallError> {
    let mut largest = change.lock();
    *largest = largest.max(mine);
    drop(largest); // unlocks, before this rank waits for the others
    node.barrier()?;
    Ok(*change.lock())
}

/// Computes the cells of one colour; gives the largest change. Rows with nothing above or below are the plate's edge.
fn relax(
    rows: &mut [f64],
    [above, below]: [Option<Vec<f64>>; 2],
    size: usize,
    first_row: usize,
    colour: Colour,
) -> f64 {
    let mut largest = 0.0_f64;
    for number in 0..rows.len() / size {
        let (upper, rest) = rows.split_at_mut(number * size);
        let (row, lower) = rest.split_at_mut(size);
        let Some(up) = upper.rchunks(size).next().or(above.as_deref()) else { continue };
        let Some(down) = lower.chunks(size).next().or(below.as_deref()) else { continue };
        let first = 1 + (first_row + number + colour as usize) % 2;
        for at in (first..size - 1).step_by(2) {
            let average = 0.25 * (row[at - 1] + row[at + 1] + up[at] + down[at]);
            let change = OMEGA * (average - row[at]);
            row[at] += change;
            largest = largest.max(change.abs());
        }
    }
    largest
}

/// What one process alone computes, and how many sweeps that takes.
fn alone(size: usize, limit: usize) -> (Vec<f64>, usize) {
    let mut plate = vec![0.0; size * size];
    plate[..size].fill(1.0);
    for sweeps in 1.. {
        let red = relax(&mut plate, [None, None], size, 0, Colour::Red);
        let black = relax(&mut plate, [None, None], size, 0, Colour::Black);
        if sweeps == limit || red.max(black) <= ENOUGH {
            return (plate, sweeps);
        }
    }
    unreachable!("the sweeps are limited")
}

/// How far a cell goes beyond the average of its neighbours.
const OMEGA: f64 = 1.9;
/// A sweep is the last if no cell changes by more than this.
const ENOUGH: f64 = 1e-3;
