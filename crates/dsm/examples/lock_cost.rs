//! Measures mutexes that stay at their rank beside those of the standard library.
//!
//! ```text
//! dsmexec machine_file lock_cost [TURNS]      (any number of ranks)
//! ```
//! Each rank locks and unlocks its own share of 1000 mutexes TURNS times, 1,000,000 without; then its
//! threads do so with one mutex, a tenth as often.

use dsm::{Node, SyncError};
use std::error::Error;
use std::hint::black_box;
use std::io::{self, Write};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let turns: usize = std::env::args().nth(1).as_deref().unwrap_or("1000000").parse()?;
    let node = Node::join()?;
    let share = LOCKS / usize::from(node.nodes());
    let first = node.base() + usize::from(node.rank()) * share * LOCK_BYTES;
    let lock = |number: usize| -> Result<(), SyncError> {
        let mutex = first + number % share * LOCK_BYTES;
        node.mutex_lock(mutex)?;
        node.mutex_unlock(mutex)
    };
    // Every token comes here once.
    (0..share).try_for_each(lock)?;
    // Their homes send until all have come.
    node.barrier()?;
    let sent = node.stats().messages_sent;
    let plain = Mutex::new(0_u64);
    let plain_lock = |_: usize| -> Result<(), SyncError> {
        *black_box(&plain).lock().expect("no thread panics") += 1;
        Ok(())
    };
    let alone = (ns(1, turns, lock)?, ns(1, turns, plain_lock)?);
    let together = (ns(THREADS, turns / 10, |_| lock(0))?, ns(THREADS, turns / 10, plain_lock)?);
    let sent = node.stats().messages_sent - sent;
    writeln!(
        io::stdout().lock(),
        "lock and unlock, {turns} times, of {share} mutexes: {} ns (std: {} ns); \
         of one by {THREADS} threads: {} ns (std: {} ns); {sent} messages sent",
        alone.0,
        alone.1,
        together.0,
        together.1,
    )?;
    node.finalize()?;
    Ok(())
}

/// Nanoseconds that each of all turns took, which these threads share.
fn ns(
    threads: usize,
    turns: usize,
    turn: impl Fn(usize) -> Result<(), SyncError> + Sync,
) -> Result<u128, SyncError> {
    let each = turns / threads;
    let start = Barrier::new(threads);
    let run = || {
        start.wait();
        let begun = Instant::now();
        (0..each).try_for_each(&turn)?;
        Ok::<_, SyncError>(begun)
    };
    let begun = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let begun = run()?;
        for other in others {
            other.join().expect("no thread panics")?;
        }
        Ok::<_, SyncError>(begun)
    })?;
    Ok(begun.elapsed().as_nanos() / (each * threads).max(1) as u128)
}

const LOCKS: usize = 1000;
/// Mutexes in structures of 16 bytes.
const LOCK_BYTES: usize = 16;
const THREADS: usize = 4;
