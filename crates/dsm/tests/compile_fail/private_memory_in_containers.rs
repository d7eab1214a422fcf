//! The heap and the names of the job hold what is `Shareable`.

use dsm::{Box, Mutex, Vec};
use std::cell::Cell;

fn main() {
    let node = dsm::Node::join().unwrap();
    let local = 5_u64;
    let _ = Box::new(String::from("private"));
    let _ = Box::new(&local);
    let _ = Vec::<&str>::new();
    let _ = node.named::<Mutex<std::vec::Vec<u64>>>("vector");
    let _ = node.named::<Cell<u64>>("cell");
    let _ = node.named_array::<std::sync::Mutex<u64>>("locks", 4);
    let _ = node.named_with("made", || &local);
}
