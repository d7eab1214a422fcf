//! The region of a job of one rank, whose pages never leave.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod support;

use dsm_core::PageId;
use dsm_mem::{Layout, Operation, Region, RegionError};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::fs;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use support::{ending, layout, role, run_self, stderr};

#[test]
fn the_runtime_and_the_program_use_the_same_bytes() {
    let region = Region::reserve_alone(layout(3)).unwrap();
    assert!(is_private(&region));
    works(&region);
}

#[test]
fn a_range_in_use_is_told() {
    let layout = layout(3);
    let first = Region::reserve_alone(layout).unwrap();
    let error = Region::reserve_alone(layout).unwrap_err();
    println!("{error}");
    assert!(matches!(error, RegionError::BaseInUse { .. }), "{error}");
    works(&first);
}

#[test]
fn where_private_memory_is_limited_it_is_a_file() {
    const TEST: &str = "where_private_memory_is_limited_it_is_a_file";
    if role().is_some() {
        let limit = Some(1 << 32);
        setrlimit(Resource::Data, Rlimit { current: limit, maximum: limit }).unwrap();
        let region = Region::reserve_alone(Layout { bytes: 1 << 40, ..layout(1) }).unwrap();
        assert!(!is_private(&region));
        works(&region);
        return;
    }
    let output = run_self(TEST, "limited");
    assert_eq!(ending(&output), Ok(0), "{}", stderr(&output));
}

fn works(region: &Region) {
    let per_page = region.page_bytes() / 8;
    let words: &[AtomicU64] = region.words(0, 3 * per_page).unwrap();
    assert!(words.iter().all(|word| word.load(Relaxed) == 0));
    words.iter().for_each(|word| word.store(7, Relaxed));
    assert_eq!(region.operate(8, Operation::Add { value: 2 }), 7);
    assert_eq!(words[1].load(Relaxed), 9);
    region.discard(PageId(1), 1).unwrap();
    region.zero_page(PageId(2));
    for (page, expected) in words.chunks(per_page).zip([7, 0, 0]) {
        assert_eq!(page[per_page - 1].load(Relaxed), expected);
    }
    words[per_page].store(8, Relaxed);
    let mut bytes = Vec::new();
    region.copy_page(PageId(1), &mut bytes);
    assert_eq!(bytes[..8], u64::to_ne_bytes(8));
}

/// Whether the kernel has no file behind it.
fn is_private(region: &Region) -> bool {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let begins = format!("{:x}-", region.base());
    let line = maps.lines().find(|line| line.starts_with(&begins)).unwrap();
    !line.contains("memfd:dsm")
}
