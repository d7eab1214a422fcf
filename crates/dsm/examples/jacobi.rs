//! jacobi: heat spreads over a square plate. Its upper and left edges are kept at 1, the other two at 0.
//!
//! ```text
//! dsmexec machine_file jacobi-rs [SIZE] [SWEEPS]
//! ```
//! SIZE x SIZE cells, in shared memory, twice: a sweep reads one plate and writes the other. Each rank computes a
//! block of rows and needs one row of each neighbour; those pages, and only those, move at every sweep.
//!
//! Worth a look: `Parts`, which gives each rank its rows as a plain `&mut [f64]`. What is the rank's own the compiler
//! can vectorise, and no other rank can store there.
//!
//! Rank 0 then computes the same alone, in private memory, and compares bit by bit. Exit code 0; 1 if the job
//! cannot be joined or the result is wrong; 64 for wrong arguments.
#![forbid(unsafe_code)]

mod common;

use common::{Arguments, Run, neighbours};
use std::error::Error;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = Arguments::new("jacobi", "Heat spreads over a plate.");
    let size = arguments.number("SIZE", "rows and columns", 3..=32_768, 512);
    let sweeps = arguments.number("SWEEPS", "times to compute every cell", 1..=1_000_000, 100);
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = dsm::Node::join()?;
    let plate = |name| node.named_parts::<f64>(name, size, size);
    let (mut old, mut new) = (plate("a plate")?, plate("another plate")?);
    let is_first = node.rank() == 0;
    heat(old.mine(), size, is_first);
    heat(new.mine(), size, is_first);

    let mut run = Run::begin("jacobi", &node)?;
    for _ in 0..sweeps {
        let (mine, others) = old.split();
        let [above, below] = neighbours(others, size);
        sweep(above.as_deref(), mine, below.as_deref(), new.mine(), size);
        node.barrier()?; // nobody reads the new plate, or overwrites the old one, before all are done
        (old, new) = (new, old);
    }
    run.end()?;

    if node.rank() == 0 {
        let mut result = vec![0.0; size * size];
        old.read_into(0, &mut result);
        let expected = run.alone(|| alone(size, sweeps));
        let place = |at| format!("row {} column {}", at / size, at % size);
        run.compare(&result, &expected, place);
    }
    let code = run.report(format_args!("{size} x {size} cells, {sweeps} sweeps"));
    node.finalize()?;
    Ok(code)
}

/// A plate begins with two hot edges; everything else is 0 already.
fn heat(rows: &mut [f64], size: usize, has_upper_edge: bool) {
    rows.iter_mut().step_by(size).for_each(|cell| *cell = 1.0);
    if has_upper_edge {
        rows[..size].fill(1.0);
    }
}

/// Computes new rows from old ones, and from those above and below. Where there is nothing above or below, the row is
/// the plate's edge, which stays as it is.
fn sweep(above: Option<&[f64]>, old: &[f64], below: Option<&[f64]>, new: &mut [f64], size: usize) {
    let skipped = usize::from(above.is_none());
    let rows: Vec<&[f64]> = above.into_iter().chain(old.chunks(size)).chain(below).collect();
    for (three, new) in rows.windows(3).zip(new.chunks_mut(size).skip(skipped)) {
        let (above, old, below) = (three[0], &three[1][..size], three[2]);
        for at in 1..size - 1 {
            new[at] = 0.25 * (old[at - 1] + old[at + 1] + above[at] + below[at]);
        }
    }
}

/// What one process alone computes.
fn alone(size: usize, sweeps: usize) -> Vec<f64> {
    let (mut old, mut new) = (vec![0.0; size * size], vec![0.0; size * size]);
    heat(&mut old, size, true);
    heat(&mut new, size, true);
    for _ in 0..sweeps {
        sweep(None, &old, None, &mut new, size);
        (old, new) = (new, old);
    }
    old
}
