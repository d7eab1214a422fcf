//! isort: ranks many whole numbers, as the kernel IS of the NAS benchmarks does, and sorts them.
//!
//! ```text
//! dsmexec machine_file isort-rs [KEYS] [RANGE]
//! ```
//! KEYS keys from 0 to RANGE-1, more of them in the middle than at the ends. Buckets are equal pieces of the range.
//!   1. Each rank counts how many of its keys belong into each bucket, and writes the counts into its row of a table.
//!   2. From the rows of all, each rank knows where its keys of each bucket go, and puts them there: the buckets stand
//!      one behind the other, and in a bucket the keys of rank 0 come first.
//!   3. Each bucket is sorted by one rank: it counts how often each key occurs. That gives the *rank* of each key: how
//!      many keys are smaller.
//!
//! No locks: at any time each word has one writer, and barriers stand between the steps.
//!
//! Worth a look: `Parts` for what each rank has for itself, the keys and its row of the table, and `Slice` for the
//! sorted keys, where every rank writes a piece of every bucket. Pieces do not fill pages; where two meet, the page
//! moves.
//!
//! Rank 0 then does the same by counting alone, and compares. Exit code 0; 1 if the job cannot be joined or the
//! result is wrong; 64 for wrong arguments.
#![forbid(unsafe_code)]

mod common;

use common::{Arguments, Run, below};
use dsm::{Node, Parts, Slice};
use std::error::Error;
use std::ops::Range;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = Arguments::new("isort", "Ranks and sorts whole numbers.");
    let count = arguments.number("KEYS", "how many", 1..=1 << 30, 1 << 18);
    let range = arguments.number("RANGE", "keys are below this", 1..=1 << 28, 1 << 16);
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = Node::join()?;
    let mut keys = node.named_parts::<u32>("keys", count, 1)?;
    let sorted = node.named_slice::<u32>("sorted", count)?;
    let smaller = node.named_slice::<u32>("smaller", range)?;
    // A row for each rank, of whole pages, because a row has one writer.
    let row = node.page_bytes() / size_of::<u32>();
    let mut table = node.named_parts::<u32>("table", node.nodes().into(), row)?;
    let mine = keys.range(node.rank());
    for (key, at) in keys.mine().iter_mut().zip(mine.clone()) {
        *key = made_up(at as u64, range);
    }

    let mut run = Run::begin("isort", &node)?;
    for key in keys.mine() {
        table.mine()[bucket_of(*key, range)] += 1;
    }
    node.barrier()?;
    let pieces = pieces(&table, row);
    distribute(keys.mine(), range, &pieces[usize::from(node.rank())], sorted);
    node.barrier()?;
    let (first_rank, last_rank) = (&pieces[0], &pieces[pieces.len() - 1]);
    for (bucket, (first, last)) in first_rank.iter().zip(last_rank).enumerate() {
        let (begin, end) = (first.start, last.end);
        // By whoever has the key where it begins: the ranks get about the same number of keys.
        let is_last_rank = node.rank() + 1 == node.nodes();
        if mine.contains(&begin) || (begin == count && is_last_rank) {
            let keys = keys_of(bucket, range);
            sort(sorted.slice(begin..end), begin, keys.clone(), smaller.slice(keys));
        }
    }
    run.end()?;

    if node.rank() == 0 {
        let mut all = vec![0; count];
        keys.read_into(0, &mut all);
        let (expected, ranks) = run.alone(|| sorted_by_counting(&all, 0..range));
        let result: Vec<u32> = sorted.iter().collect();
        run.compare(&result, &expected, |at| format!("sorted key {at}"));
        let result: Vec<u32> = smaller.iter().collect();
        run.compare(&result, &ranks, |key| format!("the rank of key {key}"));
    }
    let code = run.report(format_args!("{count} keys below {range}"));
    node.finalize()?;
    Ok(code)
}

/// The average of four numbers: its distribution is a bell.
fn made_up(at: u64, range: usize) -> u32 {
    let sum: usize = (0..4).map(|i| below(range, 4 * at + i)).sum();
    u32::try_from(sum / 4).expect("keys are below the range")
}

fn bucket_of(key: u32, range: usize) -> usize {
    key as usize * BUCKETS / range
}

/// The keys that belong into a bucket.
fn keys_of(bucket: usize, range: usize) -> Range<usize> {
    (bucket * range).div_ceil(BUCKETS)..((bucket + 1) * range).div_ceil(BUCKETS)
}

/// For each rank and bucket, where in the sorted keys the rank puts its keys of the bucket.
fn pieces(table: &Parts<u32>, row: usize) -> Vec<Vec<Range<usize>>> {
    let mut counts = vec![0; table.len()];
    table.read_into(0, &mut counts);
    let rows: Vec<&[u32]> = counts.chunks(row).collect();
    let mut pieces = vec![Vec::new(); rows.len()];
    let mut at = 0;
    for bucket in 0..BUCKETS {
        for (pieces, row) in pieces.iter_mut().zip(&rows) {
            let end = at + row[bucket] as usize;
            pieces.push(at..end);
            at = end;
        }
    }
    pieces
}

/// Puts keys into the pieces of their buckets. They are put in order in private memory first, so that a piece is stored
/// at once. If each went there by itself, the pages where pieces of two ranks meet would move with almost every key.
fn distribute(keys: &[u32], range: usize, pieces: &[Range<usize>], sorted: Slice<u32>) {
    let mut by_bucket = vec![Vec::new(); BUCKETS];
    for key in keys {
        by_bucket[bucket_of(*key, range)].push(*key);
    }
    for (piece, keys) in pieces.iter().zip(&by_bucket) {
        sorted.slice(piece.clone()).write_from(keys);
    }
}

/// Sorts the keys of a bucket, before which `before` keys are, and stores for each how many are smaller.
fn sort(bucket: Slice<u32>, before: usize, keys: Range<usize>, smaller: Slice<u32>) {
    let unsorted: Vec<u32> = bucket.iter().collect();
    let (sorted, mut ranks) = sorted_by_counting(&unsorted, keys);
    let before = u32::try_from(before).expect("there are less than 2^32 keys");
    ranks.iter_mut().for_each(|rank| *rank += before);
    bucket.write_from(&sorted);
    smaller.write_from(&ranks);
}

/// The keys in order, and for each key of the range how many are smaller.
fn sorted_by_counting(unsorted: &[u32], keys: Range<usize>) -> (Vec<u32>, Vec<u32>) {
    let mut often = vec![0_u32; keys.len()];
    for key in unsorted {
        often[*key as usize - keys.start] += 1;
    }
    let (mut sorted, mut smaller) = (Vec::with_capacity(unsorted.len()), Vec::new());
    let mut before = 0;
    for (key, often) in (0_u32..).skip(keys.start).zip(often) {
        smaller.push(before);
        sorted.extend((0..often).map(|_| key));
        before += often;
    }
    (sorted, smaller)
}

const BUCKETS: usize = 64;
