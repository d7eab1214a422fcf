//! Several real processes allocate, free and meet in one heap.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a random test tells its seed")]

mod job;

use dsm::{HeapError, Node};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

fn words(node: &Node, address: usize, len: usize) -> &[AtomicU64] {
    node.words::<AtomicU64>(address - node.base(), len).unwrap()
}

fn word(node: &Node, address: usize) -> &AtomicU64 {
    &words(node, address, 1)[0]
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap()
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }
}

/// Mostly small objects, now and then one of several pages.
fn draw_bytes(rng: &mut Rng) -> usize {
    match rng.below(200) {
        0 => 32_769 + rng.below(200_000),
        1..20 => 1 + rng.below(20_000),
        _ => 1 + rng.below(300),
    }
}

/// Every rank allocates and frees at random and hands objects to the others through a table of slots
/// under locks. Each object carries a stamp in its first and last word, so that an overlap or a lost
/// store shows, and must come zeroed.
#[test]
fn four_ranks_allocate_and_free_at_random() {
    const EACH: usize = 250_000;
    const SLOTS: usize = 64;
    const SEED: u64 = 4;
    println!("seed {SEED}: cargo nextest run -p dsm-rt four_ranks_allocate_and_free_at_random");
    job::run(4, &[], |node| {
        let mut rng = Rng(SEED + u64::from(node.rank()));
        // A slot is a mutex, the address of an object, its length in words.
        let slots = node.named_bytes("slots", SLOTS * 24).unwrap();
        let mut own: Vec<(usize, usize)> = Vec::new();
        let mut stamps = BTreeMap::new();
        let mut operations = 0;
        while operations < EACH {
            operations += 1;
            match rng.below(1000) {
                0..5 => {
                    // Swap an object with a slot: another rank will free it.
                    let slot = slots + 24 * rng.below(SLOTS);
                    node.mutex_lock(slot).unwrap();
                    let (address, len) = (word(node, slot + 8), word(node, slot + 16));
                    let there = (address.load(Relaxed), len.load(Relaxed));
                    let (given, given_len) = own.pop().unwrap_or_default();
                    stamps.remove(&given);
                    if given != 0 {
                        for end in [0, given_len - 1] {
                            word(node, given + 8 * end).store(7, Relaxed);
                        }
                    }
                    address.store(given as u64, Relaxed);
                    len.store(given_len as u64, Relaxed);
                    node.mutex_unlock(slot).unwrap();
                    if there.0 != 0 {
                        let (address, len) = (size(there.0), size(there.1));
                        assert_eq!(word(node, address).load(Relaxed), 7);
                        assert_eq!(word(node, address + 8 * (len - 1)).load(Relaxed), 7);
                        node.free(address).unwrap();
                    }
                }
                5..500 if own.len() < 2000 => {
                    let bytes = draw_bytes(&mut rng);
                    let address = node.allocate(bytes, 16).unwrap();
                    let len = bytes.div_ceil(8);
                    for end in [0, len / 2, len - 1] {
                        assert_eq!(word(node, address + 8 * end).load(Relaxed), 0);
                    }
                    let stamp = (operations as u64) << 8 | u64::from(node.rank()) << 4 | 8;
                    word(node, address).store(stamp, Relaxed);
                    word(node, address + 8 * (len - 1)).store(stamp, Relaxed);
                    own.push((address, len));
                    stamps.insert(address, stamp);
                }
                _ if !own.is_empty() => {
                    let (address, len) = own.swap_remove(rng.below(own.len()));
                    let stamp = stamps.remove(&address).unwrap();
                    assert_eq!(word(node, address).load(Relaxed), stamp);
                    assert_eq!(word(node, address + 8 * (len - 1)).load(Relaxed), stamp);
                    node.free(address).unwrap();
                }
                _ => (),
            }
        }
        node.barrier().unwrap();
        for (address, _) in own {
            node.free(address).unwrap();
        }
        node.barrier().unwrap();
    });
}

#[test]
fn what_is_not_allocated_is_not_freed() {
    job::run(2, &[], |node| {
        let shared = node.named_bytes("object", 8).unwrap();
        if node.rank() == 0 {
            let object = node.allocate(100, 64).unwrap();
            assert!(object.is_multiple_of(64));
            word(node, shared).store(object as u64, Relaxed);
        }
        node.barrier().unwrap();
        let object = size(word(node, shared).load(Relaxed));
        for address in [object + 16, object + 1, node.base(), 4096] {
            assert_eq!(node.free(address), Err(HeapError::NotAllocated { address }));
        }
        node.barrier().unwrap();
        if node.rank() == 1 {
            node.free(object).unwrap();
            let twice = HeapError::DoubleFree { address: object };
            assert_eq!(node.free(object), Err(twice));
        }
        assert_eq!(node.allocate(8, 24), Err(HeapError::BadAlignment { align: 24 }));
        node.barrier().unwrap();
    });
}

/// 20 GiB of which 100 pages are touched, and freed again.
#[test]
fn a_huge_object_costs_what_is_touched_of_it() {
    const BYTES: usize = 20 << 30;
    job::run(2, &[], |node| {
        let shared = node.named_bytes("huge", 8).unwrap();
        let begun = Instant::now();
        if node.rank() == 0 {
            let huge = node.allocate(BYTES, 4096).unwrap();
            word(node, shared).store(huge as u64, Relaxed);
        }
        node.barrier().unwrap();
        let huge = size(word(node, shared).load(Relaxed));
        let before = node.stats();
        let step = BYTES / 100 / 4096 * 4096;
        if node.rank() == 1 {
            for part in 0..100 {
                word(node, huge + part * step).store(part as u64 + 1, Relaxed);
            }
            let after = node.stats();
            assert!(after.pages_in - before.pages_in <= 100, "{after:?}");
            assert!(resident_pages() < 20_000, "{} pages", resident_pages());
            println!(
                "allocated, touched: {:?}, {} pages resident",
                begun.elapsed(),
                resident_pages()
            );
        }
        node.barrier().unwrap();
        if node.rank() == 0 {
            assert_eq!(word(node, huge + 99 * step).load(Relaxed), 100);
            node.free(huge).unwrap();
            // The heap of 64 GiB has room for this only once the pages are free again.
            let again = node.allocate(50 << 30, 4096).unwrap();
            for part in 0..100 {
                let word = word(node, huge + part * step);
                assert_eq!(word.load(Relaxed), 0, "part {part}");
            }
            node.free(again).unwrap();
        }
        node.barrier().unwrap();
    });
}

fn resident_pages() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn exhaustion_is_told_on_all_ranks_alike() {
    job::run(3, &[("DSM_HEAP", "1M")], |node| {
        let bytes = 2 << 20;
        assert_eq!(node.allocate(bytes, 16), Err(HeapError::Exhausted { bytes }));
        node.barrier().unwrap();
        if node.rank() == 1 {
            let mut all = Vec::new();
            while let Ok(address) = node.allocate(100_000, 16) {
                all.push(address);
            }
            assert!(all.len() > 5, "{}", all.len());
            for address in all.drain(..) {
                node.free(address).unwrap();
            }
            let deadline = Instant::now() + Duration::from_secs(5);
            node.allocate(900_000, 16).unwrap();
            assert!(Instant::now() < deadline);
        }
        node.barrier().unwrap();
    });
}

#[test]
fn a_name_is_one_object() {
    job::run(4, &[], |node| {
        for number in 0..50 {
            let name = format!("object {number}");
            let object = node.named_bytes(&name, 24).unwrap();
            node.fetch_add(object, 1).unwrap();
        }
        node.barrier().unwrap();
        for number in 0..50 {
            let object = node.named_bytes(&format!("object {number}"), 24).unwrap();
            assert_eq!(node.fetch_add(object, 0).unwrap(), u64::from(node.nodes()));
        }
        let error = node.named_bytes("object 7", 32).unwrap_err();
        assert!(matches!(error, HeapError::SizeDiffers { bytes: 24, wanted: 32, .. }), "{error}");
        assert!(matches!(node.named_bytes("", 8), Err(HeapError::BadName { .. })));
    });
}
