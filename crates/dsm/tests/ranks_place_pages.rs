//! Several real processes agree who is home to which page, however pages are placed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod job;

use dsm::Node;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const PAGES: usize = 96;

/// Every rank adds to a word of every page, all at the same time; then all of them name the same homes.
fn placed(placement: &str, fault: &str, expected: fn(usize, u16) -> Option<u16>) {
    let size = (PAGES * page_bytes()).to_string();
    let settings = [("DSM_PLACEMENT", placement), ("DSM_FAULT", fault), ("DSM_SIZE", &size)];
    job::run(3, &settings, |node| {
        let (nodes, rank) = (node.nodes(), node.rank());
        for page in 0..PAGES {
            // Every rank begins somewhere else.
            let page = (page + usize::from(rank) * PAGES / usize::from(nodes)) % PAGES;
            count(node, page).fetch_add(1, SeqCst);
        }
        node.barrier().unwrap();
        let seen: Vec<_> = (0..PAGES).map(|page| home(node, page).unwrap()).collect();
        for (page, &home) in seen.iter().enumerate() {
            assert_eq!(count(node, page).load(SeqCst), nodes.into(), "page {page}");
            assert!(
                expected(page, nodes).is_none_or(|wanted| wanted == home),
                "page {page}: {home}"
            );
        }
        // A rank that is done with looking adds no sooner than all are.
        node.barrier().unwrap();
        // The sum of what the ranks say is as many times what this one says.
        for (page, &home) in seen.iter().enumerate() {
            count(node, page).fetch_add(100 * (u64::from(home) + 1), SeqCst);
        }
        node.barrier().unwrap();
        for (page, &home) in seen.iter().enumerate() {
            let sum = u64::from(nodes) * (1 + 100 * (u64::from(home) + 1));
            assert_eq!(count(node, page).load(SeqCst), sum, "page {page}: home {home} here");
        }
    });
}

fn page_bytes() -> usize {
    rustix::param::page_size()
}

fn count(node: &Node, page: usize) -> &AtomicU64 {
    &node.words::<AtomicU64>(page * node.page_bytes(), 1).unwrap()[0]
}

fn home(node: &Node, page: usize) -> Option<u16> {
    node.home(node.base() + page * node.page_bytes())
}

fn cyclic(page: usize, nodes: u16) -> Option<u16> {
    u16::try_from(page % usize::from(nodes)).ok()
}

fn block(page: usize, nodes: u16) -> Option<u16> {
    u16::try_from(page * usize::from(nodes) / PAGES).ok()
}

fn anywhere(_: usize, _: u16) -> Option<u16> {
    None
}

#[test]
fn pages_are_placed_cyclically_uffd() {
    placed("", "uffd", cyclic);
}

#[test]
fn pages_are_placed_in_blocks_uffd() {
    placed("block", "uffd", block);
}

#[test]
fn pages_are_placed_in_blocks_sigsegv() {
    placed("block", "sigsegv", block);
}

#[test]
fn pages_are_placed_at_random_uffd() {
    placed("random", "uffd", anywhere);
}

#[test]
fn pages_are_placed_at_their_first_touch_uffd() {
    placed("first-touch", "uffd", anywhere);
}

#[test]
fn pages_are_placed_at_their_first_touch_sigsegv() {
    placed("first-touch", "sigsegv", anywhere);
}

/// Ranks touch pages of their own, by a store, a load, an operation and a prefetch, and are their homes;
/// others learn of it when they touch the pages too.
fn owned(fault: &str) {
    job::run(3, &[("DSM_PLACEMENT", "first-touch"), ("DSM_FAULT", fault)], |node| {
        let rank = usize::from(node.rank());
        let of_rank = |rank: usize| (0..PAGES).filter(move |page| page / 8 % 3 == rank);
        assert!((0..PAGES).all(|page| home(node, page).is_none()));
        node.barrier().unwrap();
        for page in of_rank(rank) {
            let (word, address) = (count(node, page), node.base() + page * node.page_bytes());
            match page % 4 {
                0 => word.store(1, SeqCst),
                1 => assert_eq!(word.load(SeqCst), 0),
                2 => assert_eq!(node.fetch_add(address, 7), Ok(0)),
                _ => {
                    node.prefetch(address, 8, dsm::Access::Write).unwrap();
                    word.store(2, SeqCst);
                }
            }
            assert_eq!(home(node, page), Some(node.rank()));
        }
        node.barrier().unwrap();
        let others = of_rank((rank + 1) % 3);
        for page in others.clone() {
            // Only where it is registered it is known without a touch.
            let known = (page % 3 == rank).then_some((rank + 1) % 3);
            assert_eq!(home(node, page).map(usize::from), known, "page {page}");
        }
        for page in others {
            assert_eq!(count(node, page).load(SeqCst), [1, 0, 7, 2][page % 4]);
            assert_eq!(home(node, page).map(usize::from), Some((rank + 1) % 3));
        }
        // The heap is placed cyclically, and known to all.
        let block = node.allocate(4 * node.page_bytes(), node.page_bytes()).unwrap();
        let homes: Vec<_> =
            (0..3).map(|page| node.home(block + page * node.page_bytes()).unwrap()).collect();
        assert!(homes.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 3), "{homes:?}");
        node.barrier().unwrap();
    });
}

#[test]
fn who_touches_a_page_first_is_its_home_uffd() {
    owned("uffd");
}

#[test]
fn who_touches_a_page_first_is_its_home_sigsegv() {
    owned("sigsegv");
}
