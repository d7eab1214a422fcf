//! What several ranks may use at once is changed by atomics or under a lock.

use dsm::{OnceLock, Ref, RwLock, Shareable, Vec};

#[derive(Shareable)]
struct World {
    step: u64,
    items: Vec<u64>,
}

fn main() {
    let node = dsm::Node::join().unwrap();
    let world = node.named::<World>("world").unwrap();
    world.step += 1;
    world.items.push(1);
    let limits = node.named::<RwLock<[f64; 4]>>("limits").unwrap();
    limits.read()[0] = 1.0;
    let made = node.named_with("made", || 5_u64).unwrap();
    *made = 6;
    let lock = node.named::<OnceLock<u64>>("lock").unwrap();
    *lock.get().unwrap() += 1;
    let leaked: Ref<World> = dsm::Box::leak(dsm::Box::zeroed());
    leaked.step = 1;
}
