//! A value behind a lock is borrowed from the guard.

use dsm::{Mutex, Vec};

fn first(items: &Mutex<Vec<u64>>) -> &u64 {
    &items.lock()[0]
}

fn main() {
    let node = dsm::Node::join().unwrap();
    let items = node.named::<Mutex<Vec<u64>>>("items").unwrap();
    let escaped = {
        let mut guard = items.lock();
        guard.push(1);
        &mut guard[0]
    };
    *escaped = *first(items);
    let used_after = items.lock();
    let slice: &[u64] = &used_after;
    drop(used_after);
    assert!(slice.is_empty());
}
