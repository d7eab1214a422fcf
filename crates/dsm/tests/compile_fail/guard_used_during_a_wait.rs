//! A condition variable keeps the guard while it waits.

use dsm::{Condvar, Mutex};

fn main() {
    let node = dsm::Node::join().unwrap();
    let changed = node.named::<Condvar>("changed").unwrap();
    let mutex = node.named::<Mutex<u64>>("mutex").unwrap();
    let guard = mutex.lock();
    let after = changed.wait(guard);
    assert_eq!(*guard, *after);
    let mut guard = mutex.lock();
    let value = &mut *guard;
    let after = changed.wait(guard);
    *value = *after;
}
