//! What each operation costs in messages, exactly. Page `p` of `n` ranks has its home at rank `p % n`, and so
//! has the object at word `p`.

#![allow(clippy::unwrap_used, reason = "a test")]

use dsm_core::{Placement, Rank};
use dsm_sim::{Setup, World, scripts};

/// On `nodes` ranks, after what is `before`, one operation sends so many messages: `1:w0` is rank 1
/// storing to page 0, `1:l0_u0` is rank 1 locking and unlocking.
fn check(nodes: u16, before: &str, operation: &str, messages: u64) {
    check_placed(Placement::Cyclic, nodes, before, operation, messages);
}

fn check_placed(placement: Placement, nodes: u16, before: &str, operation: &str, messages: u64) {
    let idle = vec![""; nodes.into()].join("|");
    let setup = Setup::new(4, &idle).unwrap();
    let mut world = World::new(Setup { heap: 4, placement, ..setup });
    for word in before.split_whitespace() {
        perform(&mut world, word);
    }
    assert_eq!(
        perform(&mut world, operation),
        messages,
        "{nodes} ranks, {placement}: {before}, then {operation}"
    );
}

fn perform(world: &mut World, word: &str) -> u64 {
    let (rank, op) = word.split_once(':').unwrap();
    let script = scripts(&op.replace('_', " "), 4).unwrap();
    world.perform(Rank(rank.parse().unwrap()), &script[0][0]).unwrap()
}

/// All that these scripts send, threads of lower ranks first.
fn check_all(text: &str, messages: u64) {
    let mut world = World::new(Setup::new(4, text).unwrap());
    world.calm().unwrap();
    assert_eq!(world.messages_sent(), messages, "{text}");
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

/// With block, pages 0 and 1 of four are at rank 0.
#[test]
fn a_miss_costs_what_the_home_of_its_page_makes_of_it() {
    let check = |before, operation, messages| {
        check_placed(Placement::Block, 2, before, operation, messages);
    };
    check("", "0:w1", 0);
    check("", "1:w1", 2);
    check("", "1:w2", 0);
}

/// Page 2 is registered at rank 2.
#[test]
fn a_first_touch_costs_a_claim_and_its_answer_and_nothing_at_the_registrar() {
    let check = |before, operation, messages| {
        check_placed(Placement::FirstTouch, 4, before, operation, messages);
    };
    check("", "2:w2", 0);
    check("", "0:w2", 2);
    check("0:r2", "0:w2", 0);
    check("", "0:o2", 2);
    check("", "0:R2", 2);
    // Who comes later has to find the home, once.
    check("0:w2", "1:r2", 4);
    check("0:w2", "2:r2", 2);
    check("0:w2 1:w2", "0:r2", 2);
    check("0:w2 1:w2", "3:r2", 5);
    check("0:w2 1:r2 0:w2", "1:r2", 2);
    // Objects are at the registrar whoever is home to the page.
    check("0:w2", "1:l2_u2", 2);
    check("0:w2", "2:l2_u2", 0);
    check("0:w2", "2:v2", 0);
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

/// Three to read it and four for the upgrade, until the home has seen two ranks do so one after the other.
#[test]
fn a_page_that_each_rank_reads_and_then_writes_moves_with_one_transfer() {
    check(3, "1:r0_w0", "2:r0_w0", 3 + 4);
    check(3, "1:r0_w0 2:r0_w0", "1:r0_w0", 3 + 4);
    let moves = "1:r0_w0 2:r0_w0 1:r0_w0";
    check(3, moves, "2:r0_w0", 3);
    check(3, &format!("{moves} 2:r0_w0"), "1:r0_w0", 3);
    check(4, moves, "3:r0_w0", 3);
    // The home is the next.
    check(3, moves, "0:r0_w0", 2);
    check(3, &format!("{moves} 0:r0_w0"), "1:r0_w0", 2);
    check(2, "1:r0_w0 0:r0_w0 1:r0_w0", "0:r0_w0", 2);
    // An operation is where the page is.
    check(3, &format!("{moves} 2:r0"), "2:o0", 0);
}

/// One more message, and one more miss for whom the page was taken from.
#[test]
fn a_page_that_moved_in_vain_is_shared_again() {
    let tried = "1:r0_w0 2:r0_w0 1:r0_w0 2:r0";
    check(3, tried, "1:r0", 3 + 1);
    check(4, tried, "3:r0", 3 + 1);
    check(3, &format!("{tried} 1:r0"), "2:r0", 3);
    let shared = format!("{tried} 1:r0 2:r0");
    check(3, &shared, "1:r0_r0", 0);
    check(3, &shared, "2:r0_r0", 0);
    check(4, &shared, "3:r0", 3);
    // The next time it takes four such writes, not two: 2, 1, 2, and 1 is the fourth.
    let again = |turns| {
        format!("{shared} {}", ["2:r0_w0", "1:r0_w0", "2:r0_w0", "1:r0_w0"][..turns].join(" "))
    };
    check(3, &again(3), "1:r0_w0", 3 + 4);
    check(3, &again(4), "2:r0_w0", 3);
}

#[test]
fn what_one_writes_and_others_read_stays_where_it_is_read() {
    // One reader: the writer keeps its copy, and the reader's is never the only one.
    let one = "1:w0 2:r0 1:w0 2:r0 1:w0 2:r0 1:w0";
    check(3, one, "2:r0", 3);
    check(3, &format!("{one} 2:r0"), "1:r0", 0);
    check(3, &format!("{one} 2:r0"), "1:w0", 4);
    // Several: whoever of them writes.
    let several = "1:w0 2:r0 3:r0 2:w0 1:r0 3:r0 3:w0 1:r0 2:r0 1:w0 2:r0";
    check(4, several, "3:r0", 3);
    check(4, &format!("{several} 3:r0"), "2:r0", 0);
    check(4, &format!("{several} 3:r0"), "1:r0", 0);
    // Nobody reads: each miss takes the page as before.
    check(3, "1:w0 2:w0 1:w0 2:w0", "1:r0", 3);
    check(3, "1:w0 2:w0 1:w0 2:w0 1:r0", "2:r0", 0);
}

/// Readers of a lock have it together, however often each of them then wrote.
#[test]
fn a_lock_that_each_rank_reads_and_then_writes_stays_one_of_readers() {
    let turn = |rank: u16| format!("{rank}:s0_u0 {rank}:l0_u0 ");
    let turns: String = [1, 2, 1, 2, 1].map(turn).concat();
    check(3, &turns, "2:s0_u0", 3);
    check(3, &format!("{turns} 2:s0_u0"), "1:s0_u0", 0);
}

#[test]
fn a_barrier_costs_two_messages_for_each_rank_but_one() {
    for nodes in 1..=32 {
        check_all(&vec!["b b"; nodes].join("|"), 2 * 2 * (nodes as u64 - 1));
    }
}

/// Where not all arrive at one rank, that one tells all others when the first leaves.
#[test]
fn the_end_costs_as_much_and_in_a_tree_a_message_more_for_each_other_rank() {
    for nodes in 1..=32 {
        let told = if nodes > 9 { 3 } else { 2 };
        check_all(&vec!["f"; nodes].join("|"), told * (nodes as u64 - 1));
    }
}

#[test]
fn a_lock_costs_nothing_where_it_was_last_and_two_or_three_messages_elsewhere() {
    check(3, "1:l0_u0", "1:l0_u0", 0);
    check(2, "", "0:l0_u0", 0);
    // The home has it, or nobody ever had.
    check(2, "", "1:l0_u0", 2);
    check(2, "0:l0_u0", "1:l0_u0", 2);
    // The home asks: nobody has to be told who has it.
    check(3, "1:l0_u0", "0:l0_u0", 2);
    check(3, "1:l0_u0", "2:l0_u0", 3);
    check(4, "1:l0_u0 2:l0_u0", "3:l0_u0", 3);
    // To try a lock that is here asks nobody; one that is held here is busy.
    check(3, "1:l0_u0", "1:t0_u0", 0);
    check(3, "1:l0", "1:t0", 0);
}

#[test]
fn a_lock_that_others_wait_for_costs_no_more() {
    // A request, a forward and a grant; the home's own are none.
    check_all("|l0 u0|l0 u0|l0 u0", 2 + 3 + 3);
    check_all("l0 u0|l0 u0|l0 u0", 2 + 3);
}

#[test]
fn a_reader_costs_as_much_as_a_lock_and_keeps_it_beside_others() {
    check(2, "", "1:s0_u0", 2);
    check(2, "0:l0_u0", "1:s0_u0", 2);
    check(3, "1:l0_u0", "2:s0_u0", 3);
    check(3, "1:l0_u0 2:s0_u0", "1:s0_u0", 0);
    check(3, "1:l0_u0 2:s0_u0", "2:s0_u0", 0);
    // While another one reads.
    check(3, "1:s0", "2:s0", 3);
}

#[test]
fn a_writer_costs_two_more_for_each_reader_beside() {
    check(3, "1:l0_u0 2:s0_u0", "1:l0_u0", 2 + 2);
    check(4, "1:l0_u0 2:s0_u0 3:s0_u0", "3:l0_u0", 2 + 2 * 2);
    check(4, "1:l0_u0 2:s0_u0", "3:l0_u0", 3 + 2);
    check(4, "1:l0_u0 2:s0_u0 3:s0_u0", "0:l0_u0", 2 + 2 * 2);
}

#[test]
fn a_signal_costs_two_and_one_for_each_thread_it_wakes() {
    check(2, "", "1:n0", 2);
    check(2, "", "0:n0", 0);
    check(3, "", "1:a0", 2);
    // The lock is taken: 2. The wait: 2. The lock goes home: 2. The wake-up: 1. The lock comes back: 2.
    check_all("l1 c1>1 u1|l1 n1 u1", 9);
    // The home waits: nothing; the lock goes: 2. The signal: 2. The lock comes back: 2.
    check_all("l0 c0>0 u0|l0 n0 u0", 6);
}

#[test]
fn a_semaphore_costs_two_from_elsewhere_whoever_waits() {
    check(2, "", "0:v0", 0);
    check(2, "", "1:v0", 2);
    check(2, "0:v0", "1:p0", 2);
    check(2, "", "1:q0", 2);
    check(2, "", "1:i0>3", 2);
    // Both wait, and one at the home posts.
    check_all("v2 v2|p2|", 2 * 2 + 2);
    check_all("p2|p2|v2 v2", 2 * 2);
}

#[test]
fn a_barrier_with_a_count_costs_two_for_each_thread_beside_the_home() {
    for others in 1..=7_u64 {
        let count = others + 1;
        let all = vec![format!("g0>{count}"); usize::try_from(count).unwrap()].join("|");
        check_all(&all, 2 * others);
    }
    check_all("|g0>2|g0>2|", 2 * 2);
    check_all("g0>4/g0>4|g0>4/g0>4", 2 * 2);
}

#[test]
fn an_operation_costs_two_or_three_and_leaves_the_page_where_it_is() {
    check(2, "1:w0", "1:o0", 0);
    check(2, "", "0:o0", 0);
    // Read alone: it may be written without asking.
    check(2, "1:r0", "1:o0", 0);
    check(2, "", "1:o0", 2);
    check(2, "0:w0", "1:o0", 2);
    check(3, "1:w0", "0:o0", 2);
    check(3, "1:w0", "2:o0", 3);
    check(3, "1:w0 2:o0 2:z0", "2:o0", 3);
    check(3, "1:w0 2:o0", "1:w0", 0);
    // The owner has to be alone first: an upgrade.
    check(3, "1:w0 2:r0", "2:o0", 3 + 4);
}

#[test]
fn a_run_costs_two_and_two_for_each_other_rank_when_it_is_given_back() {
    check(3, "", "0:h1", 0);
    check(3, "", "1:h2", 2);
    check(3, "", "1:h1_k", 2 + 2 + 2 * 2);
    // Page 5 of 3 ranks is at home at rank 2: the home fetches what rank 1 stored.
    check(3, "", "1:h1_j_k", 2 + 2 + 2 + 2 * 2 + 2);
}

#[test]
fn a_page_that_is_fetched_ahead_costs_what_it_costs_and_then_nothing() {
    check(2, "0:w0", "1:R0", 2);
    check(2, "0:w0 1:R0", "1:r0", 0);
    check(2, "0:w0 1:W0", "1:w0", 0);
    check(2, "0:w0 1:W0", "1:R0", 0);
}

/// From the third time on a lock brings the page that was stored to under it; the store itself asks for
/// nothing.
#[test]
fn a_lock_with_its_page_costs_what_both_cost() {
    let before = "1:l0_w0_u0 0:l0_w0_u0 1:l0_w0_u0 0:l0_w0_u0";
    check(2, before, "1:l0", 2 + 2);
    check(2, &format!("{before} 1:l0"), "1:w0", 0);
}
