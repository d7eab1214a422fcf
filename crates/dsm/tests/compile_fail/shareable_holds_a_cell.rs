//! Cells are for one thread, and the locks of `std` for one process.

use dsm::Shareable;

#[derive(Shareable)]
struct Counter(std::cell::Cell<u64>);

#[derive(Shareable)]
struct Table(std::cell::RefCell<[u64; 8]>);

#[derive(Shareable)]
struct Locked(std::sync::Mutex<u64>);

fn main() {}
