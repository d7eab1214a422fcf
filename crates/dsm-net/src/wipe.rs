//! Takes secrets out of memory that is given back, so that no core file has them.
//!
//! Safe code cannot promise it: the compiler may keep copies. A test searches the core file of a rank.

use std::hint::black_box;

/// Overwrites bytes that may hold a key.
pub fn bytes(secret: &mut [u8]) {
    secret.fill(0);
    black_box(secret);
}

/// Overwrites the stack below the caller, where calls that have returned kept copies of a key.
#[inline(never)]
pub fn stack() {
    let mut unused = [0_u8; STACK_BYTES];
    black_box(&mut unused);
}

/// More than joining a job uses, and less than the smallest stacks have left.
const STACK_BYTES: usize = 24 << 10;
