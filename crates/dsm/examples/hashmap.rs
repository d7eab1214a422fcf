//! hashmap: a hash map that all ranks use at once.
//!
//! ```text
//! dsmexec machine_file hashmap-rs [OPERATIONS] [KEYS]
//! ```
//! Each rank carries out OPERATIONS puts, gets and deletes. It puts and deletes only keys of its own, so that the
//! content at the end is known, but gets any. The map has stripes: a lock for one writer or many readers, around the
//! buckets it protects. Entries are linked boxes, allocated by whoever puts and freed by whoever deletes.
//!
//! Worth a look: a stripe is as large as a page of 4 KiB, so that ranks which use different stripes do not wait for
//! each other. And the number of entries, which all ranks change: `fetch_add_at_owner` adds where the word is and does
//! not move it.
//!
//! While it runs, each rank checks that its own keys are as it left them, that a value belongs to its key, and that no
//! value is older than one it saw before. Then rank 0 carries out all operations alone, and compares the whole map.
//! Exit code 0; 1 if the job cannot be joined or something is wrong; 64 for wrong arguments.
#![forbid(unsafe_code)]

mod common;

use common::{Arguments, Run, below, scramble};
use dsm::{AtOwner, AtomicU64, Node, RwLock, Shareable};
use std::error::Error;
use std::iter::successors;
use std::mem::replace;
use std::process::ExitCode;

struct Map<'n> {
    stripes: &'n [RwLock<Stripe>],
    entries: &'n AtomicU64,
}

#[derive(Shareable)]
struct Stripe {
    buckets: [Link; BUCKETS],
}

/// To the next entry of a bucket. Fresh memory is full of those that lead nowhere.
type Link = Option<dsm::Box<Entry>>;

#[derive(Shareable)]
struct Entry {
    next: Link,
    key: usize,
    value: Value,
}

/// With a stamp to recognise it by.
#[derive(Clone, Copy, PartialEq, Shareable)]
struct Value {
    version: u64,
    stamp: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Get,
    Put,
    Delete,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = Arguments::new("hashmap", "A hash map that all ranks use at once.");
    let operations = arguments.number("OPERATIONS", "of each rank", 1..=1_000_000_000, 2000);
    let keys = arguments.number("KEYS", "of each rank", 1..=10_000_000, 500);
    if let Some(code) = arguments.end() {
        return Ok(code);
    }

    let node = Node::join()?;
    let stripes = node.named_array::<RwLock<Stripe>>("stripes", STRIPES)?;
    let map = Map { stripes, entries: node.named("entries")? };
    let (rank, ranks) = (usize::from(node.rank()), usize::from(node.nodes()));
    let operations_of = |rank| made_up(rank, ranks, operations, keys);

    let mut run = Run::begin("hashmap", &node)?;
    let mut newest = vec![0; ranks * keys]; // the newest version this rank knows of, for each key
    for (operation, key, version) in operations_of(rank) {
        let seen = match operation {
            Operation::Get => map.get(key),
            Operation::Put => map.put(key, Value::new(key, version)),
            Operation::Delete => map.delete(key),
        };
        let is_mine = key % ranks == rank;
        newest[key] = check_seen(&mut run, (operation, key, version), seen, newest[key], is_mine);
    }
    run.end()?;

    let entries = map.entries.fetch_add_at_owner(0);
    if rank == 0 {
        let mut versions = vec![0; ranks * keys];
        // In any order of ranks: no key is written by two.
        for (operation, key, version) in (0..ranks).flat_map(operations_of) {
            match operation {
                Operation::Get => (),
                Operation::Put => versions[key] = version,
                Operation::Delete => versions[key] = 0,
            }
        }
        check_all(&mut run, &map, &versions);
    }
    let code = run.report(format_args!(
        "{operations} operations and {keys} keys each, {entries} entries at the end"
    ));
    node.finalize()?;
    Ok(code)
}

impl Map<'_> {
    fn get(&self, key: usize) -> Option<Value> {
        let stripe = self.stripe(key).read();
        entries(&stripe.buckets[bucket(key)])
            .find(|entry| entry.key == key)
            .map(|entry| entry.value)
    }

    /// Gives what was replaced.
    fn put(&self, key: usize, value: Value) -> Option<Value> {
        let mut stripe = self.stripe(key).write();
        let link = link_to(&mut stripe.buckets[bucket(key)], key);
        match link {
            Some(entry) => Some(replace(&mut entry.value, value)),
            None => {
                *link = Some(dsm::Box::new(Entry { next: None, key, value }));
                self.entries.fetch_add_at_owner(1);
                None
            }
        }
    }

    /// Gives what was deleted.
    fn delete(&self, key: usize) -> Option<Value> {
        let mut stripe = self.stripe(key).write();
        let link = link_to(&mut stripe.buckets[bucket(key)], key);
        let entry = dsm::Box::into_inner(link.take()?); // frees it, whichever rank allocated it
        *link = entry.next;
        self.entries.fetch_add_at_owner(u64::MAX); // minus 1
        Some(entry.value)
    }

    fn stripe(&self, key: usize) -> &RwLock<Stripe> {
        &self.stripes[below(STRIPES, key as u64)]
    }
}

fn bucket(key: usize) -> usize {
    below(STRIPES * BUCKETS, key as u64) / STRIPES
}

fn entries(link: &Link) -> impl Iterator<Item = &Entry> {
    successors(link.as_deref(), |entry| entry.next.as_deref())
}

/// The link to the key's entry, or to nowhere if there is none.
fn link_to(mut link: &mut Link, key: usize) -> &mut Link {
    while link.as_ref().is_some_and(|entry| entry.key != key) {
        link = &mut link.as_mut().expect("there is an entry with another key").next;
    }
    link
}

impl Value {
    fn new(key: usize, version: u64) -> Self {
        Self { version, stamp: scramble(key as u64 ^ scramble(version)) }
    }
}

/// What a rank does, with which key, and the version to put: of ten operations seven gets of any key, two puts and one
/// delete of its own.
fn made_up(
    rank: usize,
    ranks: usize,
    operations: usize,
    keys: usize,
) -> impl Iterator<Item = (Operation, usize, u64)> {
    (1..=operations as u64).map(move |version| {
        let random = scramble((rank as u64) << 48 | version);
        let any = below(keys * ranks, random);
        let own = any / ranks * ranks + rank;
        match random % 10 {
            0 | 1 => (Operation::Put, own, version),
            2 => (Operation::Delete, own, version),
            _ => (Operation::Get, any, version),
        }
    })
}

/// Checks what an operation saw against the newest version known before; gives the one known after it.
fn check_seen(
    run: &mut Run,
    (operation, key, version): (Operation, usize, u64),
    seen: Option<Value>,
    newest: u64,
    is_mine: bool,
) -> u64 {
    if seen.is_some_and(|value| value != Value::new(key, value.version)) {
        run.wrong(format_args!("the value of key {key} belongs to another key"));
    }
    let found = seen.map_or(0, |value| value.version);
    let is_right = if is_mine { found == newest } else { found == 0 || found >= newest };
    if !is_right {
        let after = format_args!("key {key} has version {found} after {newest}");
        run.wrong(format_args!("operation {version}: {after}"));
    }
    match operation {
        Operation::Get => found.max(newest),
        Operation::Put => version,
        Operation::Delete => 0,
    }
}

/// Compares the whole map with the versions that should be there, 0 for none.
fn check_all(run: &mut Run, map: &Map, versions: &[u64]) {
    let found: Vec<u64> =
        (0..versions.len()).map(|key| map.get(key).map_or(0, |value| value.version)).collect();
    run.compare(&found, versions, |key| format!("the version of key {key}"));
    let expected = versions.iter().filter(|version| **version != 0).count();
    let in_stripe = |stripe: &RwLock<Stripe>| -> usize {
        stripe.read().buckets.iter().map(|link| entries(link).count()).sum()
    };
    let linked: usize = map.stripes.iter().map(in_stripe).sum();
    let counted = map.entries.fetch_add_at_owner(0);
    if linked != expected || counted != expected as u64 {
        run.wrong(format_args!("{linked} entries are linked, {counted} counted, not {expected}"));
    }
}

const STRIPES: usize = 64;
const BUCKETS: usize = 511;
