//! token: a counter goes round all ranks, through shared memory alone.
//!
//! ```text
//! dsmexec machine_file token-rs [ROUNDS]        (default 10)
//! ```
//! The rank whose turn it is adds to the sum and passes the turn on; the others wait by looking at the
//! turn. No lock, no barrier, no message: an atomic word behaves as between threads on one machine.
//!
//! Exit code 0; 1 if the job cannot be joined or the sum is wrong; 64 for wrong arguments.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is what an example does")]

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::yield_now;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let rounds = match &args[..] {
        [] => Some(10),
        [rounds] => rounds.parse().ok().filter(|rounds| (1..=MAX_ROUNDS).contains(rounds)),
        _ => None,
    };
    let Some(rounds) = rounds else {
        eprintln!("usage: token [ROUNDS]   (1 to {MAX_ROUNDS}, default 10)");
        return Ok(ExitCode::from(EXIT_USAGE));
    };

    let node = dsm::Node::join()?;
    let (rank, nodes) = (u64::from(node.rank()), u64::from(node.nodes()));
    // How often the token was passed: rank `turn % nodes` holds it. And what only the holder touches.
    let [turn, sum] = node.words::<AtomicU64>(0, 2)? else {
        unreachable!("two words were asked for")
    };

    let turns = rounds * nodes;
    for mine in (rank..turns).step_by(usize::from(node.nodes())) {
        while turn.load(Ordering::SeqCst) != mine {
            yield_now(); // ranks may share a processor
        }
        // The turn orders the accesses to the sum, so these need no order of their own.
        sum.store(sum.load(Ordering::Relaxed) + mine, Ordering::Relaxed);
        turn.store(mine + 1, Ordering::SeqCst);
    }

    // Everyone waits for the last turn, so that everyone can check the result.
    while turn.load(Ordering::SeqCst) != turns {
        yield_now();
    }
    let (sum, right) = (sum.load(Ordering::Relaxed), turns * (turns - 1) / 2);
    node.finalize()?;
    if sum != right {
        eprintln!("token: rank {rank}: the sum is {sum}, not {right}");
        return Ok(ExitCode::FAILURE);
    }
    println!("rank {rank}: token passed {turns} times, sum {sum} is right");
    Ok(ExitCode::SUCCESS)
}

const MAX_ROUNDS: u64 = 1_000_000;
const EXIT_USAGE: u8 = 64;
