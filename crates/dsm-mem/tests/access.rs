//! Which accesses fault, and what faulting threads see afterwards.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "a page-table entry is taken away as the kernel would")]

mod support;

use dsm_core::{Access, PageId};
use dsm_mem::ThreadId;
use std::sync::atomic::Ordering::Relaxed;
use support::{World, check, start};

#[test]
fn a_load_from_a_missing_page_is_a_read_fault() {
    check(4, |world| {
        let words = world.words();
        let at = world.words_per_page() + 3;
        let reader = start(move || words[at].load(Relaxed));
        assert_eq!(world.wait_one(), (PageId(1), Access::Read));
        world.fill(PageId(1), 77);
        world.install(PageId(1), Access::Read);
        assert_eq!(reader.join(), 77);
        assert_eq!(world.pending(), []);
    });
}

#[test]
fn a_fault_names_its_thread() {
    check(1, |world| {
        let words = world.words();
        let (tell, told) = std::sync::mpsc::channel();
        let reader = start(move || {
            tell.send(rustix::thread::gettid()).unwrap();
            words[0].load(Relaxed)
        });
        let thread = ThreadId(told.recv().unwrap().as_raw_pid().cast_unsigned());
        assert_eq!(world.wait()[0].thread, thread);
        world.region.zero_page(PageId(0));
        world.install(PageId(0), Access::Read);
        assert_eq!(reader.join(), 0);
    });
}

#[test]
fn a_store_to_a_missing_page_is_a_write_fault() {
    check(4, |world| {
        let words = world.words();
        let writer = start(move || words[0].store(5, Relaxed));
        assert_eq!(world.wait_one(), (PageId(0), Access::Write));
        world.region.zero_page(PageId(0));
        world.install(PageId(0), Access::Write);
        writer.join();
        assert_eq!(world.copy(PageId(0))[..2], [5, 0]);
    });
}

#[test]
fn a_page_to_read_faults_on_stores_only() {
    check(1, |world| {
        let words = world.words();
        world.fill(PageId(0), 9);
        world.faults.install(PageId(0), Access::Read).unwrap();
        assert_eq!(start(move || words[1].load(Relaxed)).join(), 9);
        assert_eq!(world.pending(), []);

        let writer = start(move || words[1].fetch_add(1, Relaxed));
        assert_eq!(world.wait_one(), (PageId(0), Access::Write));
        assert_eq!(world.copy(PageId(0))[1], 9);
        world.faults.protect(PageId(0), Access::Write).unwrap();
        world.faults.resume(PageId(0)).unwrap();
        assert_eq!(writer.join(), 9);
        assert_eq!(world.copy(PageId(0))[1], 10);
        assert_eq!(world.pending(), []);
    });
}

#[test]
fn a_page_taken_away_faults_again_and_shows_its_next_content() {
    check(2, |world| {
        let words = world.words();
        for (earlier, later) in [
            (Access::Read, Access::Read),
            (Access::Read, Access::Write),
            (Access::Write, Access::Read),
            (Access::Write, Access::Write),
        ] {
            world.fill(PageId(1), 1);
            world.faults.install(PageId(1), earlier).unwrap();
            let at = world.words_per_page();
            assert_eq!(start(move || words[at].load(Relaxed)).join(), 1);
            world.faults.protect(PageId(1), Access::None).unwrap();

            let reader = start(move || words[at].load(Relaxed));
            assert_eq!(world.wait_one(), (PageId(1), Access::Read));
            world.fill(PageId(1), 2);
            world.install(PageId(1), later);
            assert_eq!(reader.join(), 2);

            let writer = start(move || words[at].store(3, Relaxed));
            if later == Access::Read {
                assert_eq!(world.wait_one(), (PageId(1), Access::Write));
                world.faults.protect(PageId(1), Access::Write).unwrap();
                world.faults.resume(PageId(1)).unwrap();
            }
            writer.join();
            assert_eq!(world.copy(PageId(1))[0], 3);
            world.faults.protect(PageId(1), Access::None).unwrap();
            assert_eq!(world.pending(), []);
        }
    });
}

#[test]
fn a_page_that_was_never_filled_is_zero() {
    check(3, |world| {
        let words = world.words();
        world.faults.install(PageId(2), Access::Read).unwrap();
        let at = 2 * world.words_per_page();
        assert_eq!(start(move || words[at].load(Relaxed)).join(), 0);
    });
}

#[test]
fn pages_touched_before_the_start_are_missing_after_it() {
    for choice in [dsm_mem::Choice::Uffd, dsm_mem::Choice::Sigsegv] {
        let region = dsm_mem::Region::reserve(support::layout(1)).unwrap();
        let region = std::sync::Arc::new(region);
        region.words::<std::sync::atomic::AtomicU64>(0, 1).unwrap()[0].store(4, Relaxed);
        let mut world = World::around(region, choice);
        let words = world.words();
        let reader = start(move || words[0].load(Relaxed));
        assert_eq!(world.wait_one(), (PageId(0), Access::Read));
        world.install(PageId(0), Access::Read);
        assert_eq!(reader.join(), 4);
    }
}

#[test]
fn sixty_four_threads_on_one_page_are_resumed_at_once() {
    check(1, |world| {
        let words = world.words();
        let threads: Vec<_> =
            (0..64).map(|at| start(move || words[at].fetch_add(1, Relaxed))).collect();
        let mut stopped = 0;
        while stopped < threads.len() {
            let faults = world.wait();
            assert!(faults.iter().all(|fault| fault.page == PageId(0)));
            stopped += faults.len();
        }
        world.fill(PageId(0), 100);
        world.install(PageId(0), Access::Write);
        for thread in threads {
            assert_eq!(thread.join(), 100);
        }
        assert_eq!(world.copy(PageId(0))[..65], [&[101; 64][..], &[100]].concat());
        assert_eq!(world.pending(), []);
    });
}

#[test]
fn a_fault_older_than_the_access_is_answered_without_the_driver() {
    check(1, |world| {
        let words = world.words();
        let first = start(move || words[0].load(Relaxed));
        world.wait_one();
        let second = start(move || words[1].load(Relaxed));
        world.wait_readable();
        // The second fault is posted and not read when the page comes; nobody resumes it.
        world.fill(PageId(0), 6);
        world.faults.install(PageId(0), Access::Read).unwrap();
        assert_eq!(world.pending(), []);
        assert_eq!((first.join(), second.join()), (6, 6));
    });
}

#[test]
fn a_page_table_entry_that_the_kernel_reclaims_comes_back_without_the_driver() {
    check(1, |world| {
        let words = world.words();
        for access in [Access::Read, Access::Write] {
            world.fill(PageId(0), 8);
            world.faults.install(PageId(0), access).unwrap();
            assert_eq!(words[0].load(Relaxed), 8);
            let start_of_page = std::ptr::with_exposed_provenance_mut(world.region.base());
            let bytes = world.region.page_bytes();
            // SAFETY: the range is the region's one page, in which only atomics look; its content is
            // in the memory file and stays.
            assert_eq!(unsafe { libc::madvise(start_of_page, bytes, libc::MADV_DONTNEED) }, 0);

            let reader = start(move || words[0].load(Relaxed));
            if world.faults.serves_system_calls() {
                world.wait_readable();
                assert_eq!(world.pending(), []);
            }
            assert_eq!(reader.join(), 8);
            // With the access it had, not more.
            let writer = start(move || words[0].fetch_add(1, Relaxed));
            if access == Access::Read {
                assert_eq!(world.wait_one().1, Access::Write);
                world.faults.protect(PageId(0), Access::Write).unwrap();
                world.faults.resume(PageId(0)).unwrap();
            }
            assert_eq!(writer.join(), 8);
            world.faults.protect(PageId(0), Access::None).unwrap();
        }
    });
}

#[test]
fn too_many_mappings_are_an_error_that_names_the_limit() {
    let limit: usize =
        std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    if limit > 1 << 20 {
        support::cannot_run("a vm.max_map_count that a test can reach");
        return;
    }
    let world = World::new(dsm_mem::Choice::Sigsegv, 2 * limit);
    let failed = (0..).step_by(2).find_map(|page| {
        let page = PageId(page);
        world.faults.install(page, Access::Write).err().map(|error| (page, error))
    });
    let (page, error) = failed.unwrap();
    // The failed page has the access it had, and another one can still be closed.
    assert!(world.faults.protect(PageId(page.0 - 2), Access::None).is_ok());
    drop(world);
    println!("{error}");
    assert!(matches!(error, dsm_mem::FaultsError::MapCount { .. }), "{error}");
    assert!(error.to_string().contains(&limit.to_string()), "{error}");
}
