//! A box has one owner in the job.

use dsm::{Box, Mutex};

fn main() {
    let node = dsm::Node::join().unwrap();
    let slot = node.named::<Mutex<Option<Box<u64>>>>("slot").unwrap();
    let mut number = Box::new(1_u64);
    *slot.lock() = Some(number);
    *number += 1;
    let borrowed: &Option<Box<u64>> = &slot.lock();
    let moved = borrowed.unwrap();
    let leaked = Box::leak(moved);
    *moved = 1;
    assert_eq!(*leaked, 1);
}
