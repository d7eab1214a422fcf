//! hello: every rank leaves its rank and process id in shared memory, rank 0 prints them all.
//!
//! ```text
//! dsmexec machine_file hello-rs
//! ```
//! Exit code 0, or 1 if the job cannot be joined.
#![allow(clippy::print_stdout, reason = "it is what an example does")]

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};

fn main() -> Result<(), Box<dyn Error>> {
    let node = dsm::Node::join()?;

    // One word per rank, at the beginning of the shared area, which is zero at first. The words share a
    // page; the library moves it from writer to writer.
    let words = node.words::<AtomicU32>(0, usize::from(node.nodes()))?;
    words[usize::from(node.rank())].store(std::process::id(), Ordering::Relaxed);

    // After the barrier everything written before it, by anyone, is there to be read.
    node.barrier()?;
    if node.rank() == 0 {
        for (rank, word) in words.iter().enumerate() {
            println!("hello from rank {rank}, process {}", word.load(Ordering::Relaxed));
        }
    }

    node.finalize()?;
    Ok(())
}
