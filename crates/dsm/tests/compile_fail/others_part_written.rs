//! The parts of the other ranks are read.

fn main() {
    let node = dsm::Node::join().unwrap();
    let mut parts = node.named_parts::<f64>("parts", 10, 10).unwrap();
    let (_, others) = parts.split();
    others.set(99, 1.0);
    others.after().set(0, 1.0);
    others.before().words();
}
