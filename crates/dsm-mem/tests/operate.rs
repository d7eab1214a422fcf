//! Operations on a word where its page is.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

mod support;

use dsm_core::{Access, PageId};
use dsm_mem::{Operation, Region};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use support::{check, layout, start};

/// Does an operation to a word that is `before`; gives what it returned and what the word is then.
fn outcome(before: u64, operation: Operation) -> (u64, u64) {
    let region = Region::reserve(layout(2)).unwrap();
    let at = region.bytes() - 8;
    let words: &[AtomicU64] = region.words(at, 1).unwrap();
    words[0].store(before, Relaxed);
    (region.operate(at, operation), words[0].load(Relaxed))
}

#[test]
fn an_operation_tells_what_the_word_was() {
    assert_eq!(outcome(5, Operation::Add { value: 3 }), (5, 8));
    assert_eq!(outcome(1, Operation::Add { value: u64::MAX }), (1, 0));
    assert_eq!(outcome(5, Operation::Swap { expected: 5, desired: 9 }), (5, 9));
    assert_eq!(outcome(5, Operation::Swap { expected: 4, desired: 9 }), (5, 5));
}

#[test]
fn operations_and_the_instructions_of_threads_do_not_lose_each_other() {
    const ROUNDS: u64 = 100_000;
    check(1, |world| {
        let words = world.words();
        world.faults.install(PageId(0), Access::Write).unwrap();
        let add = || (0..ROUNDS).map(|_| words[3].fetch_add(1, Relaxed)).max();
        let threads = [start(add), start(add)];
        for _ in 0..ROUNDS {
            world.region.operate(24, Operation::Add { value: 1 });
        }
        for thread in threads {
            thread.join();
        }
        assert_eq!(words[3].load(Relaxed), 3 * ROUNDS);
    });
}

#[test]
fn an_operation_needs_no_access_of_the_threads() {
    check(1, |world| {
        world.fill(PageId(0), 6);
        assert_eq!(world.region.operate(8, Operation::Add { value: 1 }), 6);
        assert_eq!(world.copy(PageId(0))[..3], [6, 7, 6]);
        assert_eq!(world.pending(), []);
    });
}

#[test]
#[should_panic(expected = "atomics are aligned")]
fn an_operation_on_no_aligned_word_is_a_bug() {
    Region::reserve(layout(1)).unwrap().operate(4, Operation::Add { value: 1 });
}

#[test]
#[should_panic(expected = "accesses stay inside the mapping")]
fn an_operation_outside_the_region_is_a_bug() {
    let region = Region::reserve(layout(1)).unwrap();
    region.operate(region.bytes(), Operation::Add { value: 1 });
}
