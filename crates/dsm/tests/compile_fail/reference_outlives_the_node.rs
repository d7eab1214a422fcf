//! What is named is there until the node is finalized.

use dsm::{Mutex, Node, Parts, Slice};

fn counter() -> &'static Mutex<u64> {
    let node = Node::join().unwrap();
    node.named("counter").unwrap()
}

fn main() {
    let node = Node::join().unwrap();
    let hits = node.named::<Mutex<u64>>("hits").unwrap();
    let grid: Slice<'_, f64> = node.named_slice("grid", 100).unwrap();
    let mut parts: Parts<'_, f64> = node.named_parts("parts", 10, 10).unwrap();
    let guard = hits.lock();
    node.finalize().unwrap();
    *hits.lock() += grid.len() as u64 + *guard;
    parts.mine()[0] = 1.0;
    *counter().lock() += 1;
}
