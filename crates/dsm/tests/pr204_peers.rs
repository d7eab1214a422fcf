//! Ranks of ours speak among each other as the PR204 family does: single-owner pages, nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod job;

use dsm::{CallError, HeapError, Node, PeerProfile, SyncError};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::yield_now;
use std::time::{Duration, Instant};

const PAGES: usize = 100;
const WORDS: usize = 1024;
const DEADLINE: Duration = Duration::from_secs(50);

/// Each page ends with a large number, so that in seed8 it cannot be taken for a request.
const LARGE: u32 = 0x5052_3230;

fn word(node: &Node, page: usize, index: usize) -> &AtomicU32 {
    &node.words::<AtomicU32>((page * WORDS + index) * 4, 1).unwrap()[0]
}

/// The page that a rank alone writes its progress to: it starts there.
fn own_flag(rank: usize) -> usize {
    80 + rank
}

fn raise_flag(node: &Node, value: u32) {
    let page = own_flag(node.rank().into());
    word(node, page, WORDS - 1).store(LARGE, SeqCst);
    word(node, page, WORDS / 2).store(value, SeqCst);
}

fn await_flag(node: &Node, rank: usize, value: u32) {
    let until = Instant::now() + DEADLINE;
    while word(node, own_flag(rank), WORDS / 2).load(SeqCst) < value {
        assert!(Instant::now() < until, "rank {rank} did not come to {value}");
        yield_now();
    }
}

/// All ranks get here before any goes on.
fn meet(node: &Node, round: u32) {
    raise_flag(node, round);
    (0..usize::from(node.nodes())).for_each(|rank| await_flag(node, rank, round));
}

fn expected(page: usize, index: usize, round: usize) -> u32 {
    u32::try_from(round * 1_000_000 + page * 10_000 + index + 1).unwrap()
}

/// One rank writes all of 80 pages, every rank adds to them in turn, the writer reads back; then another
/// rank is the writer.
fn in_turn(node: &Node) {
    let (me, nodes) = (usize::from(node.rank()), usize::from(node.nodes()));
    let mut phase = 0;
    for writer in 0..nodes {
        if me == writer {
            for page in 0..80 {
                for index in 0..WORDS - 1 {
                    word(node, page, index).store(expected(page, index, writer), SeqCst);
                }
                word(node, page, WORDS - 1).store(LARGE, SeqCst);
            }
        }
        for turn in 0..=nodes {
            phase += 1;
            meet(node, phase);
            if turn < nodes && (writer + turn) % nodes == me {
                for page in 0..80 {
                    let (first, last) = (word(node, page, 0), word(node, page, WORDS - 2));
                    first.fetch_add(1, SeqCst);
                    last.fetch_add(1, SeqCst);
                }
            }
        }
        if me == writer {
            let added = u32::try_from(nodes).unwrap();
            for page in 0..80 {
                for index in [0, 1, WORDS / 2, WORDS - 2] {
                    let added = if index == 0 || index == WORDS - 2 { added } else { 0 };
                    let found = word(node, page, index).load(SeqCst);
                    assert_eq!(found, expected(page, index, writer) + added, "{page}, {index}");
                }
            }
        }
        phase += 1;
        meet(node, phase);
    }
}

/// Ranks add one to one word in turn; whose turn it is the word itself says.
fn ping_pong(node: &Node) {
    let (me, nodes) = (u32::from(node.rank()), u32::from(node.nodes()));
    const ROUNDS: u32 = 100;
    let counter = word(node, 7, 0);
    if me == 7 % nodes {
        word(node, 7, WORDS - 1).store(LARGE, SeqCst);
    }
    let until = Instant::now() + DEADLINE;
    loop {
        let value = counter.load(SeqCst);
        if value == ROUNDS * nodes {
            return;
        }
        if value % nodes == me {
            counter.store(value + 1, SeqCst);
        }
        assert!(Instant::now() < until, "the counter stays at {value}");
        yield_now();
    }
}

/// All ranks read all pages of the area, first at the same time, and write their part of each in turn.
fn scan(node: &Node) {
    let (me, nodes) = (usize::from(node.rank()), usize::from(node.nodes()));
    for page in 0..PAGES {
        for index in 0..WORDS {
            let is_flag = page >= 80 && (index == WORDS / 2 || index == WORDS - 1);
            let found = word(node, page, index).load(SeqCst);
            assert!(is_flag || found == 0 || found == LARGE, "page {page} word {index}: {found}");
        }
    }
    for turn in 0..nodes {
        meet(node, u32::try_from(turn).unwrap() + 1);
        if turn == me {
            (0..80).for_each(|page| {
                word(node, page, me).store(expected(page, me, 1), SeqCst);
                word(node, page, WORDS - 1).store(LARGE, SeqCst);
            });
        }
    }
    meet(node, u32::try_from(nodes).unwrap() + 1);
    for turn in 0..nodes {
        if turn == me {
            for (page, rank) in (0..80).flat_map(|page| (0..nodes).map(move |rank| (page, rank))) {
                let found = word(node, page, rank).load(SeqCst);
                assert_eq!(found, expected(page, rank, 1), "page {page} of rank {rank}");
            }
        }
        meet(node, u32::try_from(nodes + turn).unwrap() + 2);
    }
}

/// All ranks add to one word at once. Additions are single instructions, so none is lost.
fn contended(node: &Node) {
    const EACH: u32 = 200;
    let counter = word(node, 3, 5);
    for _ in 0..EACH {
        counter.fetch_add(1, SeqCst);
    }
    meet(node, 1);
    assert_eq!(counter.load(SeqCst), EACH * u32::from(node.nodes()));
    meet(node, 2);
}

fn run(peer: &str, nodes: u16, fault: &str, body: fn(&Node)) {
    job::run(nodes, &[("DSM_PEER", peer), ("DSM_FAULT", fault)], body);
}

/// A test for each: its name, what speaks, how many ranks, which fault engine, and what they do.
macro_rules! jobs {
    ($($name:ident: $peer:literal, $nodes:literal, $fault:literal, $body:expr;)*) => {
        $(#[test] fn $name() { run($peer, $nodes, $fault, $body); })*
    };
}

jobs! {
    seed8_in_turn_uffd: "seed8", 2, "uffd", in_turn;
    seed8_in_turn_sigsegv: "seed8", 2, "sigsegv", in_turn;
    seed8_ping_pong_uffd: "seed8", 2, "uffd", ping_pong;
    seed8_ping_pong_sigsegv: "seed8", 2, "sigsegv", ping_pong;
    seed8_scan_uffd: "seed8", 2, "uffd", scan;
    seed8_scan_sigsegv: "seed8", 2, "sigsegv", scan;
    bcast_one_rank: "bcast", 1, "uffd", scan;
    bcast_two_ranks_in_turn_uffd: "bcast", 2, "uffd", in_turn;
    bcast_two_ranks_in_turn_sigsegv: "bcast", 2, "sigsegv", in_turn;
    bcast_two_ranks_ping_pong: "bcast", 2, "uffd", ping_pong;
    bcast_three_ranks_in_turn_uffd: "bcast", 3, "uffd", in_turn;
    bcast_three_ranks_in_turn_sigsegv: "bcast", 3, "sigsegv", in_turn;
    bcast_three_ranks_ping_pong: "bcast", 3, "sigsegv", ping_pong;
    bcast_four_ranks_in_turn: "bcast", 4, "uffd", in_turn;
    bcast_four_ranks_contend_uffd: "bcast", 4, "uffd", contended;
    bcast_four_ranks_contend_sigsegv: "bcast", 4, "sigsegv", contended;
    bcast_eight_ranks_scan_uffd: "bcast", 8, "uffd", scan;
    bcast_eight_ranks_scan_sigsegv: "bcast", 8, "sigsegv", scan;
    bcast_eight_ranks_ping_pong: "bcast", 8, "uffd", ping_pong;
}

#[test]
fn what_is_not_shared_pages_is_refused_in_words() {
    run("bcast", 2, "uffd", |node| {
        assert_eq!((node.base(), node.size(), node.page_bytes()), (0x3ff9_c000, 409_600, 4096));
        assert_eq!(node.home(node.base() + 3 * 4096), Some(1));
        assert!(node.is_shared(node.base() + 409_599) && !node.is_shared(node.base() + 409_600));
        let profile = PeerProfile::Bcast;
        let refused = Err(SyncError::ForeignRanks { profile });
        assert_eq!(node.mutex_lock(node.base()), refused);
        assert_eq!(node.prefetch(node.base(), 1, dsm::Access::Read), refused);
        assert_eq!(node.allocate(1, 16), Err(HeapError::ForeignRanks { profile }));
        assert_eq!(node.barrier(), Err(CallError::ForeignRanks { profile }));
        let words = node.barrier().unwrap_err().to_string();
        assert_eq!(words, "not with foreign ranks (DSM_PEER=bcast)");
        raise_flag(node, 1);
        await_flag(node, usize::from(1 - node.rank()), 1);
        assert!(node.stats().pages_in > 0);
    });
}

#[test]
fn a_rank_that_ends_early_is_named() {
    if job::is_rank() {
        let node = Node::join().unwrap();
        if node.rank() == 1 {
            // It goes without a word.
            std::process::abort();
        }
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until {
            word(&node, 1, 0).load(SeqCst);
            yield_now();
        }
        return;
    }
    for peer in ["seed8", "bcast"] {
        let (succeeded, text) = job::outcome(2, &[("DSM_PEER", peer)]);
        assert!(!succeeded, "{text}");
        let line = "contact with rank 1 lost: it closed its connection before it finalized";
        assert!(text.contains(line) && text.contains("exit status: 75"), "{text}");
    }
}

#[test]
fn too_many_ranks_are_refused() {
    if job::is_rank() {
        match Node::join() {
            Ok(_) => panic!("three ranks joined"),
            Err(error) => {
                assert_eq!(error.exit_code(), 78);
                let words = error.to_string();
                assert_eq!(words, "cannot speak DSM_PEER=seed8 among 3 ranks: it is for at most 2");
            }
        }
        return;
    }
    let (succeeded, text) = job::outcome(3, &[("DSM_PEER", "seed8")]);
    assert!(succeeded, "{text}");
}

#[test]
fn an_occupied_area_is_told() {
    if job::is_rank() {
        let layout = dsm_mem::Layout { base: 0x3ff9_d000, bytes: 4096, heap_bytes: 0 };
        let _occupant = dsm_mem::Region::reserve(layout).unwrap();
        let error = Node::join().unwrap_err();
        assert_eq!(error.exit_code(), 71);
        let words = error.to_string();
        assert!(words.contains("0x3ff9c000") && words.contains("3ff9d000-3ff9e000"), "{words}");
        return;
    }
    let (succeeded, text) = job::outcome(1, &[("DSM_PEER", "bcast")]);
    assert!(succeeded, "{text}");
}
