//! Several real processes share one memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod job;

use dsm::{CallError, Node};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// One word, counted up by every rank without any barrier in between.
fn counted_by_all(nodes: u16, fault: &str) {
    const EACH: u64 = 500;
    job::run(nodes, &[("DSM_FAULT", fault)], |node| {
        let counter = &node.words::<AtomicU64>(4096 * 5 + 64, 1).unwrap()[0];
        for _ in 0..EACH {
            counter.fetch_add(1, SeqCst);
        }
        node.barrier().unwrap();
        assert_eq!(counter.load(SeqCst), EACH * u64::from(nodes));
    });
}

#[test]
fn two_ranks_count_together_uffd() {
    counted_by_all(2, "uffd");
}

#[test]
fn two_ranks_count_together_sigsegv() {
    counted_by_all(2, "sigsegv");
}

#[test]
fn eight_ranks_count_together_uffd() {
    counted_by_all(8, "uffd");
}

#[test]
fn eight_ranks_count_together_sigsegv() {
    counted_by_all(8, "sigsegv");
}

/// Every rank writes its share of the pages, all read all of them, in rotation.
fn rotated(nodes: u16, fault: &str) {
    job::run(nodes, &[("DSM_FAULT", fault)], |node| {
        job::rotate(node, 512, usize::from(node.nodes()), |_| ());
    });
}

#[test]
fn pages_rotate_among_two_ranks_uffd() {
    rotated(2, "uffd");
}

#[test]
fn pages_rotate_among_four_ranks_uffd() {
    rotated(4, "uffd");
}

#[test]
fn pages_rotate_among_three_ranks_sigsegv() {
    rotated(3, "sigsegv");
}

/// 64 threads of one rank fault on one page that another rank keeps taking away.
fn crowded(fault: &str) {
    const THREADS: usize = 64;
    const ROUNDS: u64 = 20;
    job::run(2, &[("DSM_FAULT", fault)], |node| {
        let words = node.words::<AtomicU64>(0, THREADS + 1).unwrap();
        let (mine, total) = words.split_at(THREADS);
        if node.rank() == 0 {
            thread::scope(|scope| {
                for word in mine {
                    scope.spawn(|| {
                        for _ in 0..ROUNDS {
                            word.fetch_add(1, SeqCst);
                            total[0].fetch_add(1, SeqCst);
                        }
                    });
                }
            });
        } else {
            for _ in 0..ROUNDS {
                total[0].fetch_add(1, SeqCst);
            }
        }
        node.barrier().unwrap();
        assert!(mine.iter().all(|word| word.load(SeqCst) == ROUNDS));
        assert_eq!(total[0].load(SeqCst), ROUNDS * (THREADS as u64 + 1));
    });
}

#[test]
fn sixty_four_threads_on_one_page_uffd() {
    crowded("uffd");
}

#[test]
fn sixty_four_threads_on_one_page_sigsegv() {
    crowded("sigsegv");
}

/// After a barrier, no rank is more than one barrier behind or ahead.
#[test]
fn a_thousand_barriers_keep_step() {
    job::run(4, &[], |node| {
        let page_words = node.page_bytes() / 8;
        let steps = node.words::<AtomicU64>(0, 4 * page_words).unwrap();
        let step = |rank: usize| &steps[rank * page_words];
        for round in 1..=1000 {
            step(usize::from(node.rank())).store(round, SeqCst);
            node.barrier().unwrap();
            if round % 50 == 0 {
                for rank in 0..4 {
                    assert!((round..=round + 1).contains(&step(rank).load(SeqCst)), "rank {rank}");
                }
            }
            node.barrier().unwrap();
        }
        assert_eq!(node.stats().barriers, 2000);
    });
}

#[test]
fn the_barrier_takes_one_thread_a_rank() {
    job::run(2, &[], |node| {
        let is_refused = &node.words::<AtomicU64>(0, 1).unwrap()[0];
        if node.rank() == 0 {
            let call = || {
                let result = node.barrier();
                if result.is_err() {
                    is_refused.store(1, SeqCst);
                }
                result
            };
            thread::scope(|scope| {
                let calls = [(); 2].map(|()| scope.spawn(call));
                let mut results = calls.map(|call| call.join().unwrap());
                results.sort_by_key(Result::is_err);
                assert_eq!(results, [Ok(()), Err(CallError::BarrierBusy)]);
            });
        } else {
            // The other rank's first thread waits until its second has been refused.
            let deadline = Instant::now() + Duration::from_secs(20);
            while is_refused.load(SeqCst) == 0 {
                assert!(Instant::now() < deadline, "no thread was refused");
                thread::yield_now();
            }
            node.barrier().unwrap();
        }
    });
}

/// Messages of each operation, as `promises.md` counts them, seen by the rank that causes them.
#[test]
fn operations_cost_the_messages_that_are_promised() {
    job::run(3, &[], |node| {
        let page = |page: usize| &node.words::<AtomicU64>(page * node.page_bytes(), 1).unwrap()[0];
        // Nobody acts between the barrier before a count and the one after it.
        let sent = || {
            node.barrier().unwrap();
            let sent = node.stats().messages_sent;
            node.barrier().unwrap();
            sent
        };
        let sent_by_all = |action: &dyn Fn()| {
            let start = sent();
            let idle = sent();
            action();
            // What passes between two counts without an action is the barriers' own.
            sent() - idle - (idle - start)
        };
        let on = |rank: u16, action: &dyn Fn()| {
            if node.rank() == rank {
                action();
            }
        };
        let totals = node.words::<AtomicU64>(100 * node.page_bytes(), 16).unwrap();
        let mut step = 0;
        let mut expect = |messages: u64, what: &str, rank: u16, action: &dyn Fn()| {
            let mine = sent_by_all(&|| on(rank, action));
            totals[step].fetch_add(mine, SeqCst);
            node.barrier().unwrap();
            assert_eq!(totals[step].load(SeqCst), messages, "{what}");
            step += 1;
        };
        // Page 3 has its home at rank 0, page 4 at rank 1.
        expect(0, "first touch at the home", 0, &|| page(3).store(1, SeqCst));
        expect(2, "read miss, owner is home", 1, &|| assert_eq!(page(3).load(SeqCst), 1));
        expect(2, "another reader", 2, &|| assert_eq!(page(3).load(SeqCst), 1));
        expect(4, "upgrade at the home with two sharers", 0, &|| page(3).store(2, SeqCst));
        expect(0, "write to a page held exclusively", 0, &|| page(3).store(3, SeqCst));
        expect(2, "write miss on a fresh page", 2, &|| page(4).store(1, SeqCst));
        expect(3, "read miss, three parties", 0, &|| assert_eq!(page(4).load(SeqCst), 1));
        expect(4, "upgrade by the home of one of two copies", 1, &|| {
            page(4).fetch_add(1, SeqCst);
        });
        expect(2, "read of a fresh page: clean, exclusive", 2, &|| {
            assert_eq!(page(7).load(SeqCst), 0);
        });
        expect(0, "silent upgrade of it", 2, &|| page(7).store(1, SeqCst));
    });
}

#[test]
fn a_program_started_by_hand_is_a_job_of_one_rank() {
    let node = Node::join().unwrap();
    assert_eq!((node.rank(), node.nodes()), (0, 1));
    let words = node.words::<AtomicU64>(0, node.size() / 8).unwrap();
    words.last().unwrap().store(7, SeqCst);
    assert_eq!(node.home(node.base()), Some(0));
    assert_eq!(node.home(node.base() - 1), None);
    // Behind the area there is the heap.
    assert!(node.is_shared(node.base() + node.size()));
    node.barrier().unwrap();
    assert!(Node::join().is_err(), "a process joins once");
    node.finalize().unwrap();
}

/// A rank whose peer is gone waits for the launcher's verdict. Its threads must not go on meanwhile: a page
/// that cannot be had is not a page of zeros.
fn lost_peer(fault: &str) {
    let failure = std::panic::catch_unwind(|| {
        job::run(2, &[("DSM_FAULT", fault)], |node| {
            let words = node.words::<AtomicU64>(0, node.size() / 8).unwrap();
            let at_rank_0 = words.iter().step_by(2 * node.page_bytes() / 8);
            if node.rank() == 0 {
                at_rank_0.clone().for_each(|word| word.store(1, SeqCst));
            }
            node.barrier().unwrap();
            assert_eq!(node.rank(), 1, "rank 0 fails");
            assert!(at_rank_0.clone().all(|word| word.load(SeqCst) == 1));
        });
    });
    let failure = *failure.unwrap_err().downcast::<String>().unwrap();
    assert!(failure.contains("rank 1: exit status: 75"), "{failure}");
    assert!(failure.contains("contact with rank 0 lost"), "{failure}");
}

#[test]
fn a_page_of_a_lost_rank_is_not_zero_uffd() {
    lost_peer("uffd");
}

#[test]
fn a_page_of_a_lost_rank_is_not_zero_sigsegv() {
    lost_peer("sigsegv");
}
