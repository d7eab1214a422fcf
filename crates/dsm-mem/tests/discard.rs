//! Giving the memory of pages back.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "a program locks its memory")]

mod support;

use dsm_core::{Access, PageId};
use dsm_mem::{Choice, Layout, Region};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use support::{World, check, ending, layout, role, run_self, start, stderr};

#[test]
fn discarded_pages_are_zero_in_both_views_and_their_neighbours_keep_their_bytes() {
    let region = Region::reserve(layout(5)).unwrap();
    let per_page = region.page_bytes() / 8;
    let words: &[AtomicU64] = region.words(0, region.bytes() / 8).unwrap();
    words.iter().for_each(|word| word.store(7, Relaxed));
    region.discard(PageId(1), 3).unwrap();
    for (page, expected) in (0..).zip([7, 0, 0, 0, 7]) {
        let mut bytes = Vec::new();
        region.copy_page(PageId(page), &mut bytes);
        assert!(bytes.chunks_exact(8).all(|word| *word == u64::to_ne_bytes(expected)), "{page}");
    }
    for (page, expected) in words.chunks(per_page).zip([7, 0, 0, 0, 7]) {
        assert!(page.iter().all(|word| word.load(Relaxed) == expected));
    }
    // A page given back is as good as a fresh one, also to be given back again, and twice.
    words[2 * per_page].store(8, Relaxed);
    for _ in 0..2 {
        region.discard(PageId(2), 1).unwrap();
        assert_eq!(words[2 * per_page].load(Relaxed), 0);
    }
    region.discard(PageId(0), 0).unwrap();
    assert_eq!(words[0].load(Relaxed), 7);
}

/// A page that was discarded while no thread had it is installed, to be read and then written.
fn reuse(world: &World, page: PageId, access: Access) {
    let words = world.words();
    let at = usize::try_from(page.0).unwrap() * world.words_per_page();
    world.faults.install(page, access).unwrap();
    assert_eq!(start(move || words[at + 1].load(Relaxed)).join(), 0);
    assert!(world.copy(page).iter().all(|&word| word == 0));
    if access == Access::Read {
        world.faults.protect(page, Access::Write).unwrap();
    }
    start(move || words[at + 1].store(9, Relaxed)).join();
    assert_eq!(world.copy(page)[..3], [0, 9, 0]);
}

#[test]
fn a_page_discarded_without_access_is_zero_when_it_is_installed_again() {
    check(3, |world| {
        for earlier in [Access::Read, Access::Write] {
            for later in [Access::Read, Access::Write] {
                (0..3).for_each(|page| world.fill(PageId(page), 5));
                world.faults.install(PageId(1), earlier).unwrap();
                let words = world.words();
                let at = world.words_per_page();
                assert_eq!(start(move || words[at].load(Relaxed)).join(), 5);
                world.faults.protect(PageId(1), Access::None).unwrap();
                world.region.discard(PageId(1), 1).unwrap();
                reuse(world, PageId(1), later);
                world.faults.protect(PageId(1), Access::None).unwrap();
                assert_eq!((world.copy(PageId(0))[0], world.copy(PageId(2))[0]), (5, 5));
            }
        }
        assert_eq!(world.pending(), []);
    });
}

#[test]
fn a_thread_stopped_on_a_discarded_page_sees_zero() {
    check(1, |world| {
        let words = world.words();
        world.fill(PageId(0), 5);
        let reader = start(move || words[0].load(Relaxed));
        assert_eq!(world.wait_one(), (PageId(0), Access::Read));
        world.region.discard(PageId(0), 1).unwrap();
        world.install(PageId(0), Access::Read);
        assert_eq!(reader.join(), 0);
    });
}

/// The driver discards pages without access only; this shows that nothing breaks if it did not.
#[test]
fn a_page_discarded_while_threads_have_it_keeps_its_access() {
    check(1, |world| {
        let words = world.words();
        for access in [Access::Read, Access::Write] {
            world.fill(PageId(0), 5);
            world.faults.install(PageId(0), access).unwrap();
            assert_eq!(start(move || words[0].load(Relaxed)).join(), 5);
            world.region.discard(PageId(0), 1).unwrap();
            let reader = start(move || words[0].load(Relaxed));
            assert_eq!(world.serve(reader), 0);
            let writer = start(move || words[0].fetch_add(1, Relaxed));
            if access == Access::Read {
                assert_eq!(world.wait_one(), (PageId(0), Access::Write));
                world.faults.protect(PageId(0), Access::Write).unwrap();
                world.faults.resume(PageId(0)).unwrap();
            }
            assert_eq!(world.serve(writer), 0);
            assert_eq!(world.copy(PageId(0))[0], 1);
            world.faults.protect(PageId(0), Access::None).unwrap();
        }
        assert_eq!(world.pending(), []);
    });
}

#[test]
fn a_discarded_run_costs_no_memory() {
    const TEST: &str = "a_discarded_run_costs_no_memory";
    const BYTES: usize = 32 << 20;
    if role().is_none() {
        let output = run_self(TEST, "alone");
        print!("{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(ending(&output), Ok(0), "{}", stderr(&output));
        return;
    }
    // A huge run of which little was touched is given back as fast as a small one.
    let region = Region::reserve(Layout { heap_bytes: 1 << 40, ..layout(1) }).unwrap();
    let words: &[AtomicU64] = region.words(region.area_bytes(), BYTES / 8).unwrap();
    let before = shared_bytes();
    words.iter().step_by(512).for_each(|word| word.store(1, Relaxed));
    let touched = shared_bytes() - before;
    let began = std::time::Instant::now();
    region.discard(PageId(1), region.pages() - 1).unwrap();
    let elapsed = began.elapsed();
    let left = shared_bytes().saturating_sub(before);
    println!("{touched} bytes of shared memory, {left} after the discard in {elapsed:?}");
    assert!(touched >= BYTES && left < 1 << 20, "{touched} bytes, then {left}");
}

/// Shared memory that is mapped in this process.
fn shared_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssShmem:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
fn a_program_that_locks_its_memory_gives_pages_back_all_the_same() {
    const TEST: &str = "a_program_that_locks_its_memory_gives_pages_back_all_the_same";
    if let Some(role) = role() {
        let choice = role.parse::<Choice>().unwrap();
        // SAFETY: locks what this process of its own maps from here on, when it is touched.
        let locked = unsafe { libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) };
        if locked != 0 {
            support::cannot_run("the right to lock memory");
            return;
        }
        let world = World::new(choice, 2);
        world.fill(PageId(1), 5);
        world.region.discard(PageId(1), 1).unwrap();
        reuse(&world, PageId(1), Access::Write);
        return;
    }
    for choice in [Choice::Uffd, Choice::Sigsegv] {
        let output = run_self(TEST, &choice.to_string());
        print!("{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(ending(&output), Ok(0), "{choice}: {}", stderr(&output));
    }
}
