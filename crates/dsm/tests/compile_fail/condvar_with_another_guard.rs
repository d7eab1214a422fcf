//! A condition variable waits with the guard of a mutex of the job.

use dsm::{Condvar, Mutex, RwLock};

fn main() {
    let node = dsm::Node::join().unwrap();
    let changed = node.named::<Condvar>("changed").unwrap();
    let rwlock = node.named::<RwLock<u64>>("rwlock").unwrap();
    let private = std::sync::Mutex::new(1_u64);
    let mutex = node.named::<Mutex<u64>>("mutex").unwrap();
    let _ = changed.wait(rwlock.write());
    let _ = changed.wait(private.lock().unwrap());
    let _ = changed.wait(mutex);
    let guard = mutex.lock();
    let _ = changed.wait(&guard);
}
