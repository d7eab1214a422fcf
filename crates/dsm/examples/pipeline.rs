//! pipeline: blocks of numbers go through stages, from queue to queue.
//!
//! ```text
//! dsmexec machine_file pipeline-rs [BLOCKS] [STAGES] [--semaphores]
//! ```
//! The first stage makes blocks, the last one adds them up, those between change every number. A stage is a thread;
//! stage s runs on rank s % ranks, so every rank has some, and one rank alone has all. A queue has room for ROOM
//! blocks: who finds it full, or empty, waits.
//!
//! Worth a look: the bounded queue, written twice. Once as in every textbook, with a mutex and two condition
//! variables; with --semaphores, which count free and filled places by themselves. And what goes through it: boxes.
//! A box has one owner in the whole job, so a stage may change its block in place, without a lock; the last stage
//! frees what the first one allocated.
//!
//! The sum depends on the order of blocks. Rank 0 then computes the same alone, and compares. Exit code 0; 1 if the
//! job cannot be joined or the result is wrong; 64 for wrong arguments.
#![forbid(unsafe_code)]

mod common;

use common::{Arguments, Run, scramble};
use dsm::{AtomicU64, Condvar, Mutex, Node, Semaphore, Shareable};
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

type Block = [u64; WORDS];

/// Between two stages.
#[derive(Shareable)]
struct Queue {
    ring: Mutex<Ring>,
    not_full: Condvar,
    not_empty: Condvar,
    /// What --semaphores uses in place of these two.
    free: Semaphore,
    filled: Semaphore,
    /// Never touched. Without it queues would share a page, which ranks with nothing to say to each other would take
    /// from each other all the time.
    _apart: [Block; 1],
}

/// Block number b is in place b % ROOM. The places are here and not in a `dsm::Vec`, whose values would be on another
/// page: what is beside a mutex comes with it.
#[derive(Shareable)]
struct Ring {
    blocks: [Option<dsm::Box<Block>>; ROOM],
    put: usize,
    taken: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum WaitBy {
    Condvars,
    Semaphores,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = Arguments::new("pipeline", "Blocks of numbers go through stages.");
    let blocks = arguments.number("BLOCKS", "of 4 KiB", 1..=100_000_000, 200);
    let stages = arguments.number("STAGES", "first and last one included", 2..=64, 4);
    let semaphores = "wait by semaphores, not by condition variables";
    let (wait_by, how) = match arguments.switch("--semaphores", semaphores) {
        true => (WaitBy::Semaphores, "semaphores"),
        false => (WaitBy::Condvars, "condition variables"),
    };
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = Node::join()?;
    let queues = node.named_array::<Queue>("queues", stages - 1)?;
    let sum = node.named::<AtomicU64>("sum")?;
    if node.rank() == 0 {
        queues.iter().try_for_each(|queue| queue.free.init(FREE))?;
    }

    let mut run = Run::begin("pipeline", &node)?;
    thread::scope(|scope| {
        for stage in (node.rank().into()..stages).step_by(node.nodes().into()) {
            scope.spawn(move || match stage {
                0 => first(blocks, &queues[0], wait_by),
                _ if stage == stages - 1 => {
                    sum.store(last(blocks, &queues[stage - 1], wait_by), SeqCst);
                }
                _ => between(blocks, stage, &queues[stage - 1], &queues[stage], wait_by),
            });
        }
    });
    run.end()?;

    if node.rank() == 0 {
        let expected = run.alone(|| alone(blocks, stages));
        run.compare(&[sum.load(SeqCst)], &[expected], |_| "the sum".to_owned());
    }
    let code = run.report(format_args!("{blocks} blocks, {stages} stages, {how}"));
    node.finalize()?;
    Ok(code)
}

impl Queue {
    /// Waits for a free place.
    fn put(&self, block: dsm::Box<Block>, wait_by: WaitBy) {
        match wait_by {
            WaitBy::Condvars => {
                let is_full = |ring: &mut Ring| ring.put - ring.taken == ROOM;
                self.not_full.wait_while(self.ring.lock(), is_full).put(block);
                self.not_empty.notify_one();
            }
            WaitBy::Semaphores => {
                self.free.wait();
                self.ring.lock().put(block);
                self.filled.post();
            }
        }
    }

    /// Waits for a block, which is the caller's then.
    fn take(&self, wait_by: WaitBy) -> dsm::Box<Block> {
        match wait_by {
            WaitBy::Condvars => {
                let is_empty = |ring: &mut Ring| ring.put == ring.taken;
                let block = self.not_empty.wait_while(self.ring.lock(), is_empty).take();
                self.not_full.notify_one();
                block
            }
            WaitBy::Semaphores => {
                self.filled.wait();
                let block = self.ring.lock().take();
                self.free.post();
                block
            }
        }
    }
}

impl Ring {
    fn put(&mut self, block: dsm::Box<Block>) {
        self.blocks[self.put % ROOM] = Some(block);
        self.put += 1;
    }

    fn take(&mut self) -> dsm::Box<Block> {
        let block = self.blocks[self.taken % ROOM].take();
        self.taken += 1;
        block.expect("what was put and not taken is there")
    }
}

fn first(blocks: usize, output: &Queue, wait_by: WaitBy) {
    for number in 0..blocks {
        let mut block = dsm::Box::zeroed();
        make_up(&mut block, number);
        output.put(block, wait_by);
    }
}

fn between(blocks: usize, stage: usize, input: &Queue, output: &Queue, wait_by: WaitBy) {
    for _ in 0..blocks {
        let mut block = input.take(wait_by);
        change(&mut block, stage);
        output.put(block, wait_by);
    }
}

fn last(blocks: usize, input: &Queue, wait_by: WaitBy) -> u64 {
    (0..blocks).fold(0, |sum, _| added_up(&input.take(wait_by), sum))
}

fn make_up(block: &mut Block, number: usize) {
    for (at, word) in block.iter_mut().enumerate() {
        *word = (number * WORDS + at) as u64;
    }
}

fn change(block: &mut Block, stage: usize) {
    for word in block {
        *word = scramble(word.wrapping_add(stage as u64));
    }
}

fn added_up(block: &Block, sum: u64) -> u64 {
    block.iter().fold(sum, |sum, word| scramble(sum ^ word))
}

/// What one process alone computes.
fn alone(blocks: usize, stages: usize) -> u64 {
    let mut block = [0; WORDS];
    (0..blocks).fold(0, |sum, number| {
        make_up(&mut block, number);
        (1..stages - 1).for_each(|stage| change(&mut block, stage));
        added_up(&block, sum)
    })
}

const WORDS: usize = 512;
/// Blocks that a queue may hold.
const ROOM: usize = FREE as usize;
const FREE: u32 = 8;
