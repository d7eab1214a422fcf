//! A lock belongs to the thread that took it.

use dsm::{Mutex, RwLock};
use std::thread;

fn main() {
    let node = dsm::Node::join().unwrap();
    let mutex = node.named::<Mutex<u64>>("mutex").unwrap();
    let rwlock = node.named::<RwLock<u64>>("rwlock").unwrap();
    let (mut locked, read, mut written) = (mutex.lock(), rwlock.read(), rwlock.write());
    thread::scope(|scope| {
        scope.spawn(move || *locked += 1);
        scope.spawn(move || assert_eq!(*read, 1));
        scope.spawn(move || *written += 1);
    });
}
