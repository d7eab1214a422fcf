//! Nothing but the heap makes a box, and what was leaked has no owner any more.

use dsm::{Box, Ref};

fn main() {
    let node = dsm::Node::join().unwrap();
    let leaked: Ref<u64> = Box::leak(Box::new(1_u64));
    let owned: Box<u64> = leaked;
    let made: Box<u64> = Box(leaked.address());
    let named: Box<u64> = node.named::<u64>("number").unwrap();
}
