//! How a rank in Rust ends, for `tests/jobs/process_life.rs`: `rust_life HOW`, in a job of two ranks.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it is there to end in all ways")]
#![allow(unconditional_recursion, reason = "a stack is to overflow")]

use dsm::{AtomicU64, Node};
use std::sync::atomic::Ordering::SeqCst;

fn main() {
    let how = std::env::args().nth(1).unwrap_or_default();
    let node = Node::join().unwrap();
    let word: &AtomicU64 = &node.words(0, 1).unwrap()[0];
    while word.fetch_add(1, SeqCst) < ENOUGH {}
    if node.rank() == 1 {
        match how.as_str() {
            "panic" => panic!("on purpose"),
            "panic of a thread" => {
                let panicked = std::thread::spawn(|| panic!("on purpose")).join();
                assert!(panicked.is_err());
            }
            "overflow" => println!("{}", deeper(1)),
            "exit" => std::process::exit(5),
            "drop" => (),
            _ => panic!("there is no way {how}"),
        }
    }
    // Dropped here, the node leaves the job.
    println!("rust_life: right");
}

/// Uses more stack than there is.
fn deeper(depth: u64) -> u64 {
    let kept = std::hint::black_box([depth; 64]);
    deeper(depth + 1) + kept[usize::try_from(depth % 64).unwrap()]
}

const ENOUGH: u64 = 2000;
