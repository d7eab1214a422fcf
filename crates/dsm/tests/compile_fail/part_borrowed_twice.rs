//! The part of a rank is borrowed like a vector.

fn main() {
    let node = dsm::Node::join().unwrap();
    let mut parts = node.named_parts::<f64>("parts", 10, 10).unwrap();
    let first = parts.mine();
    let second = parts.mine();
    first[0] = second[0];
    let mine = parts.mine();
    let here = parts.get(0);
    mine[0] = here;
    let (mine, others) = parts.split();
    drop(parts);
    mine[0] = others.get(99);
}
