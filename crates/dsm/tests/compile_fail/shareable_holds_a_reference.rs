//! A reference points into the memory of one process.

use dsm::Shareable;

#[derive(Shareable)]
struct Entry {
    key: u64,
    name: &'static str,
}

#[derive(Shareable)]
struct Borrowing<'a> {
    words: &'a [u64],
}

fn main() {}
