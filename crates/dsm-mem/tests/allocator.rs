//! The allocator that never waits, as the allocator of this whole program.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "handlers, and blocks that are looked at from outside")]

use dsm_mem::Allocator;
use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

#[test]
fn blocks_are_apart_and_keep_what_is_in_them() {
    let mut blocks: BTreeMap<usize, (Layout, u8)> = BTreeMap::new();
    let mut state = 1_u64;
    for round in 0..4_000_usize {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let size = 1 + usize::try_from(state >> 33).unwrap() % (1 << (round % 21));
        let layout = Layout::from_size_align(size, 1 << (round % 16)).unwrap();
        let mark = u8::try_from(round % 251).unwrap();
        // SAFETY: the size is not 0.
        let block = unsafe { ALLOCATOR.alloc(layout) };
        assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()), "{layout:?}");
        // SAFETY: the block has this size.
        unsafe { ptr::write_bytes(block, mark, size) };
        let at = block.expose_provenance();
        let below = blocks.range(..=at).next_back();
        assert!(below.is_none_or(|(start, (other, _))| start + other.size() <= at), "{at:#x}");
        let above = blocks.range(at..).next();
        assert!(above.is_none_or(|(start, _)| at + size <= *start), "{at:#x}");
        blocks.insert(at, (layout, mark));
        if round % 3 != 0 {
            let victim = *blocks.keys().nth(round % blocks.len()).unwrap();
            check_and_free(victim, blocks.remove(&victim).unwrap(), round);
        }
    }
    for (at, block) in blocks {
        check_and_free(at, block, 0);
    }
}

/// Every other block is moved to another size first.
fn check_and_free(at: usize, (layout, mark): (Layout, u8), round: usize) {
    let mut block: *mut u8 = ptr::with_exposed_provenance_mut(at);
    let (mut layout, mut kept) = (layout, layout.size());
    if round.is_multiple_of(2) {
        let size = 1 + layout.size() * (round % 5) / 2;
        // SAFETY: the block came from this allocator with this layout, and the size is not 0.
        block = unsafe { ALLOCATOR.realloc(block, layout, size) };
        kept = kept.min(size);
        layout = Layout::from_size_align(size, layout.align()).unwrap();
    }
    // SAFETY: the block has at least so many bytes, which were written.
    let bytes = unsafe { std::slice::from_raw_parts(block, kept) };
    assert!(bytes.iter().all(|byte| *byte == mark), "{layout:?} at {at:#x}");
    // SAFETY: the block came from this allocator with this layout, and nobody uses it any more.
    unsafe { ALLOCATOR.dealloc(block, layout) };
}

#[test]
fn threads_free_what_others_allocated() {
    let (sender, receiver) = channel::<Vec<Vec<u8>>>();
    let consumers = std::thread::spawn(move || {
        receiver.iter().map(|lists| lists.iter().map(Vec::len).sum::<usize>()).sum::<usize>()
    });
    let producers: Vec<_> = (1..=4_usize)
        .map(|thread| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for round in 0..2_000 {
                    let list = |size| vec![u8::try_from(thread).unwrap(); size];
                    sender.send((1..20).map(|at| list(at * thread + round % 7)).collect()).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    producers.into_iter().for_each(|thread| thread.join().unwrap());
    let expected: usize = (1..=4_usize)
        .flat_map(|thread| (0..2_000_usize).map(move |round| (thread, round)))
        .map(|(thread, round)| (1..20).map(|at| at * thread + round % 7).sum::<usize>())
        .sum();
    assert_eq!(consumers.join().unwrap(), expected);
}

/// A thread that a handler holds up in the middle of an allocation was once waited for by all others.
#[test]
fn nobody_waits_for_a_thread_that_is_held_up_by_a_handler() {
    // SAFETY: a C structure of integers, for which zero bytes are valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = hold_up as *const () as usize;
    // SAFETY: the action is complete, and its handler waits for an atomic alone.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) }, 0);
    let mut found = 0;
    for _ in 0..50 {
        HELD.store(0, SeqCst);
        LET_GO.store(false, SeqCst);
        let over = std::sync::Arc::new(AtomicBool::new(false));
        let victim = std::thread::spawn({
            let over = std::sync::Arc::clone(&over);
            move || {
                // SAFETY: the function has no requirements.
                VICTIM.store(unsafe { libc::pthread_self() }, SeqCst);
                while !over.load(SeqCst) {
                    drop(std::hint::black_box(vec![1_u8; 40]));
                }
            }
        });
        while VICTIM.load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        // SAFETY: the thread lives until `over` is set.
        assert_eq!(unsafe { libc::pthread_kill(VICTIM.swap(0, SeqCst), libc::SIGUSR1) }, 0);
        while HELD.load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        let (done, others) = channel();
        std::thread::spawn(move || {
            let blocks: Vec<_> = (0..2_000_usize).map(|at| vec![1_u8; at % 100]).collect();
            done.send(blocks.len()).unwrap();
        });
        let done = others.recv_timeout(Duration::from_secs(20));
        assert_eq!(done, Ok(2_000), "allocations while a thread is held up");
        found += 1;
        over.store(true, SeqCst);
        LET_GO.store(true, SeqCst);
        victim.join().unwrap();
    }
    println!("{found} threads held up");
}

extern "C" fn hold_up(_: c_int) {
    HELD.store(1, SeqCst);
    while !LET_GO.load(SeqCst) {
        // SAFETY: the function has no requirements.
        unsafe { libc::sched_yield() };
    }
}

static VICTIM: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicU64 = AtomicU64::new(0);
static LET_GO: AtomicBool = AtomicBool::new(false);
