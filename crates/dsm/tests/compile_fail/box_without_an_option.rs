//! Zero bytes are no box: in shared memory it is in an `Option`.

use dsm::{Box, Mutex, Shareable};

#[derive(Shareable)]
struct Tree {
    left: Box<u64>,
}

fn main() {
    let node = dsm::Node::join().unwrap();
    let _ = node.named::<Mutex<Box<u64>>>("box");
}
