//! What the example programs share: arguments, numbers made up by a rule, and the line at the end.
//!
//! A program that uses dsm needs nothing of this; it keeps the examples short. Read a program first.
#![allow(dead_code, reason = "each example uses some of it")]

mod arguments;
mod run;

pub(crate) use arguments::Arguments;
pub(crate) use run::Run;

use dsm::{Others, View};

/// Looks random but depends on `x` alone (splitmix64's finaliser), so that every rank can make up the same data.
pub(crate) fn scramble(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// The same, from 0 to `limit` - 1.
pub(crate) fn below(limit: usize, x: u64) -> usize {
    usize::try_from(scramble(x) % limit as u64).expect("less than a usize is one")
}

/// Copies of the row above this rank's rows of a plate, and of the one below, if there are any.
pub(crate) fn neighbours(others: Others<f64>, size: usize) -> [Option<Vec<f64>>; 2] {
    let copy = |row: View<f64>| (!row.is_empty()).then(|| row.iter().collect());
    let (before, after) = (others.before(), others.after());
    let above = before.slice(before.len().saturating_sub(size)..);
    let below = after.slice(..size.min(after.len()));
    [copy(above), copy(below)]
}
