//! A slice has numbers, which are loaded and stored one by one.

fn main() {
    let node = dsm::Node::join().unwrap();
    let _ = node.named_slice::<bool>("flags", 10);
    let _ = node.named_slice::<(u32, u32)>("pairs", 10);
    let grid = node.named_slice::<f64>("grid", 10).unwrap();
    let element: &f64 = &grid[0];
    let elements: &mut [f64] = &mut grid;
}
