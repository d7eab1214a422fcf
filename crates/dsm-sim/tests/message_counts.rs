//! What each operation costs in messages, exactly. Page `p` of `n` ranks has its home at rank `p % n`.

#![allow(clippy::unwrap_used, reason = "a test")]

use dsm_core::Rank;
use dsm_sim::{Setup, World, scripts};

/// On `nodes` ranks, after what is `before`, one operation sends so many messages: `1:w0` is rank 1
/// storing to page 0.
fn check(nodes: u16, before: &str, operation: &str, messages: u64) {
    let idle = vec![""; nodes.into()].join("|");
    let mut world = World::new(Setup::new(4, &idle).unwrap());
    for word in before.split_whitespace() {
        perform(&mut world, word);
    }
    assert_eq!(
        perform(&mut world, operation),
        messages,
        "{nodes} ranks: {before}, then {operation}"
    );
}

fn perform(world: &mut World, word: &str) -> u64 {
    let (rank, op) = word.split_once(':').unwrap();
    let script = scripts(op, 4).unwrap();
    world.perform(Rank(rank.parse().unwrap()), &script[0][0]).unwrap()
}

#[test]
fn a_read_miss_costs_two_messages_from_the_home_and_three_from_another_owner() {
    check(2, "", "1:r0", 2);
    check(2, "0:w0", "1:r0", 2);
    check(3, "1:w0", "2:r0", 3);
    // The requester is the home: nobody has to be asked who owns the page.
    check(3, "1:w0", "0:r0", 2);
    check(4, "1:w0 2:r0", "3:r0", 3);
}

#[test]
fn a_hit_costs_nothing() {
    check(1, "", "0:w0", 0);
    check(2, "", "0:r0", 0);
    check(2, "1:r0", "1:r0", 0);
    check(3, "1:w0 2:r0", "1:r0", 0);
}

#[test]
fn a_store_to_an_exclusive_page_costs_nothing() {
    check(2, "", "0:w0", 0);
    check(2, "1:w0", "1:w0", 0);
    // Nobody ever used the page: whoever reads it first may also write it.
    check(2, "1:r0", "1:w0", 0);
}

#[test]
fn a_write_miss_costs_at_most_three_and_two_for_each_sharer() {
    check(2, "0:w0", "1:w0", 2);
    check(3, "1:w0", "2:w0", 3);
    // Sharers beside the owner: 0 of rank 3; then rank 2; then also the home, whose ack stays at home.
    check(4, "1:w0", "3:w0", 3);
    check(4, "1:w0 2:r0", "3:w0", 3 + 2);
    check(4, "1:w0 2:r0 0:r0", "3:w0", 3 + 2);
    check(5, "1:w0 2:r0 4:r0", "3:w0", 3 + 2 * 2);
}

#[test]
fn an_upgrade_costs_two_and_two_for_each_other_copy() {
    check(2, "1:w0 0:r0", "1:w0", 2);
    check(3, "1:w0 2:r0", "1:w0", 2 + 2);
    check(3, "1:w0 2:r0", "2:w0", 2 + 2);
    check(4, "1:w0 2:r0 3:r0", "3:w0", 2 + 2 * 2);
    // The home upgrades: its request and its grant stay at home.
    check(3, "0:w0 1:r0 2:r0", "0:w0", 2 * 2);
}

#[test]
fn a_barrier_costs_two_messages_for_each_rank_but_one() {
    for nodes in 1..=8 {
        let all = vec!["b"; nodes].join("|");
        let mut world = World::new(Setup::new(1, &all).unwrap());
        world.calm().unwrap();
        assert_eq!(world.messages_sent(), 2 * (nodes as u64 - 1));
    }
}
