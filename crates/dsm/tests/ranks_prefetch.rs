//! Pages that come before a thread stops on them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod job;

use dsm::Node;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// All pages, each as its words.
fn pages(node: &Node, count: usize) -> Vec<&[AtomicU64]> {
    let words = node.page_bytes() / 8;
    node.words(0, count * words).unwrap().chunks(words).collect()
}

/// Rank 1 writes every page; then all go on.
fn written_by_rank_1(node: &Node, count: usize) -> Vec<&[AtomicU64]> {
    let pages = pages(node, count);
    if node.rank() == 1 {
        for (at, page) in pages.iter().enumerate() {
            page.iter().for_each(|word| word.store(at as u64 + 1, SeqCst));
        }
    }
    node.barrier().unwrap();
    pages
}

/// Every rank walks through the same pages again and again, one up and the next down, counts in a word that all
/// share and in one of its own beside it, and the last one only looks whether anything goes back.
fn walked_by_all(nodes: u16, fault: &str) {
    const PAGES: usize = 200;
    const ROUNDS: u64 = 6;
    job::run(nodes, &[("DSM_FAULT", fault)], |node| {
        let pages = pages(node, PAGES);
        let (rank, writers) = (usize::from(node.rank()), u64::from(node.nodes()) - 1);
        let mut seen = [0; PAGES];
        for _ in 0..ROUNDS {
            for at in 0..PAGES {
                let at = if rank.is_multiple_of(2) { at } else { PAGES - 1 - at };
                let page = pages[at];
                if rank as u64 == writers {
                    let shared = page[0].load(SeqCst);
                    assert!(
                        shared >= seen[at],
                        "page {at} went back to {shared} from {}",
                        seen[at]
                    );
                    seen[at] = shared;
                } else {
                    page[1 + rank].store(page[1 + rank].load(SeqCst) + 1, SeqCst);
                    page[0].fetch_add(1, SeqCst);
                }
            }
        }
        node.barrier().unwrap();
        for (at, page) in pages.iter().enumerate() {
            assert_eq!(page[0].load(SeqCst), ROUNDS * writers, "page {at}");
            let own = page[1..].iter().take(rank.min(1)).map(|word| word.load(SeqCst));
            assert!(own.eq(std::iter::repeat_n(ROUNDS, rank.min(1))), "page {at}");
        }
    });
}

#[test]
fn three_ranks_walk_through_the_same_pages_uffd() {
    walked_by_all(3, "uffd");
}

#[test]
fn three_ranks_walk_through_the_same_pages_sigsegv() {
    walked_by_all(3, "sigsegv");
}

#[test]
fn five_ranks_walk_through_the_same_pages_uffd() {
    walked_by_all(5, "uffd");
}

/// Two ranks store to alternate words of the same pages, as fast as they can and in the same direction.
fn stored_side_by_side(fault: &str) {
    const PAGES: usize = 100;
    const ROUNDS: u64 = 8;
    job::run(2, &[("DSM_FAULT", fault)], |node| {
        let pages = pages(node, PAGES);
        let rank = usize::from(node.rank());
        for round in 1..=ROUNDS {
            for page in &pages {
                page.iter().skip(rank).step_by(2).for_each(|word| word.store(round, SeqCst));
            }
        }
        node.barrier().unwrap();
        let wrong =
            pages.iter().position(|page| page.iter().any(|word| word.load(SeqCst) != ROUNDS));
        assert_eq!(wrong, None, "a store is lost");
    });
}

#[test]
fn stores_side_by_side_are_kept_uffd() {
    stored_side_by_side("uffd");
}

#[test]
fn stores_side_by_side_are_kept_sigsegv() {
    stored_side_by_side("sigsegv");
}

/// A walk brings every page once; whatever it brings in vain is no more than a window.
fn walk_of(fault: &str, first: usize, last: usize, step: isize) {
    const PAGES: usize = 400;
    const WINDOW: u64 = 256;
    job::run(2, &[("DSM_FAULT", fault)], |node| {
        let pages = written_by_rank_1(node, PAGES);
        if node.rank() == 0 {
            let before = node.stats();
            let (mut at, mut visited) = (first, 0);
            loop {
                let wrong = pages[at].iter().find(|word| word.load(SeqCst) != at as u64 + 1);
                assert!(wrong.is_none(), "page {at} has {wrong:?}");
                visited += 1;
                if at == last {
                    break;
                }
                at = at.checked_add_signed(step).unwrap();
            }
            let now = node.stats();
            let (came, sent) =
                (now.pages_in - before.pages_in, now.messages_sent - before.messages_sent);
            assert!((visited..=visited + WINDOW).contains(&sent), "{sent} requests");
            assert!((visited..=visited + WINDOW).contains(&came), "{came} pages came");
            assert!(now.read_faults - before.read_faults <= visited, "{now:?}");
        }
        node.barrier().unwrap();
    });
}

#[test]
fn a_walk_up_is_exact_and_ends_uffd() {
    walk_of("uffd", 20, 219, 1);
}

#[test]
fn a_walk_down_is_exact_and_ends_sigsegv() {
    walk_of("sigsegv", 300, 101, -1);
}

#[test]
fn a_walk_in_strides_is_exact_and_ends_uffd() {
    walk_of("uffd", 1, 391, 5);
}

#[test]
fn a_short_walk_costs_little_uffd() {
    walk_of("uffd", 10, 12, 1);
}

/// What is asked for without any order, or with no prefetch, costs one request a page, exactly.
fn costs_one_request_a_page(prefetch: &str, order: impl Fn(usize) -> usize) {
    const PAGES: usize = 256;
    job::run(2, &[("DSM_PREFETCH", prefetch)], |node| {
        let pages = written_by_rank_1(node, PAGES);
        if node.rank() == 0 {
            let before = node.stats();
            for at in (0..PAGES).map(order) {
                assert_eq!(pages[at][7].load(SeqCst), at as u64 + 1);
            }
            let now = node.stats();
            let pages = PAGES as u64;
            assert_eq!(now.messages_sent - before.messages_sent, pages);
            assert_eq!(now.pages_in - before.pages_in, pages);
            assert_eq!(now.read_faults - before.read_faults, pages);
        }
        node.barrier().unwrap();
    });
}

#[test]
fn memory_used_in_no_order_costs_no_more_than_without_prefetch() {
    // Powers of a primitive root modulo the prime 257: every number below once, and no three in step.
    costs_one_request_a_page("64", |at| (0..at).fold(1, |power, _| power * 3 % 257) - 1);
}

#[test]
fn a_walk_without_prefetch_costs_what_it_did() {
    costs_one_request_a_page("0", |at| at);
}
