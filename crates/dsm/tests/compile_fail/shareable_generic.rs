//! A generic type is shareable with shareable arguments.

use dsm::Shareable;

#[derive(Shareable)]
struct Pair<T> {
    first: T,
    second: T,
}

fn need<T: Shareable>() {}

fn main() {
    need::<Pair<u64>>();
    need::<Pair<String>>();
}
