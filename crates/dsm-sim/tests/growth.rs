//! What operations cost among many ranks: messages exactly, and the time of the model where it can be computed by
//! hand.

#![allow(clippy::unwrap_used, reason = "a test")]

use dsm_sim::growth::{Figure, Model, Operation, Workload, plot};

const RANKS: [u16; 7] = [2, 3, 4, 5, 16, 100, 1_024];

/// However many ranks there are, an operation that can be is made of so many messages, whatever the network.
fn check(operation: Operation, messages: impl Fn(u64) -> u64) {
    for nodes in RANKS {
        for model in [Model::LOOPBACK, Model::NETWORK] {
            let Some(figure) = operation.measure(nodes, model) else { continue };
            assert_eq!(figure.messages, messages(nodes.into()), "{operation:?}, {nodes}, {model}");
        }
    }
}

fn of(operation: Operation, nodes: u16, model: Model) -> Figure {
    operation.measure(nodes, model).unwrap()
}

#[test]
fn a_miss_costs_two_or_three_messages_among_any_number_of_ranks() {
    check(Operation::ReadHome, |_| 2);
    check(Operation::ReadThird, |_| 3);
    check(Operation::WriteHome, |_| 2);
    check(Operation::WriteThird, |_| 3);
    check(Operation::FirstTouch, |_| 2);
}

/// The home's own copy costs no message.
#[test]
fn a_write_costs_two_more_for_each_sharer_that_is_not_the_home() {
    check(Operation::WriteShared, |nodes| 3 + 2 * (nodes - 3));
    check(Operation::UpgradeOne, |_| 2 + 2);
    check(Operation::UpgradeAll, |nodes| 2 + 2 * (nodes - 2));
}

/// Not one for the write: and the bytes of one page, not of an upgrade behind it.
#[test]
fn a_page_that_ranks_read_and_write_in_turn_costs_a_miss() {
    check(Operation::Move, |_| 3);
    let (miss, moved) = (Operation::ReadThird, Operation::Move);
    for model in [Model::LOOPBACK, Model::NETWORK] {
        let (miss, moved) = (of(miss, 64, model), of(moved, 64, model));
        assert_eq!(moved.bytes, miss.bytes);
        assert!(moved.time < miss.time + 10_000, "no more than a trap: {moved:?}, {miss:?}");
    }
}

#[test]
fn a_lock_costs_nothing_two_or_three_messages() {
    check(Operation::LockCached, |_| 0);
    check(Operation::LockHome, |_| 2);
    check(Operation::LockThird, |_| 3);
    check(Operation::HandOver, |_| 1);
    check(Operation::HandOverPage, |_| 2);
    // A request, a forward and a grant for each rank but the home, which was first and has to be told nothing.
    check(Operation::LockAll, |nodes| 3 * (nodes - 1) - 1);
}

#[test]
fn an_operation_on_a_word_costs_two_or_three_messages() {
    check(Operation::AddHome, |_| 2);
    check(Operation::AddThird, |_| 3);
    check(Operation::AddAll, |nodes| 2 * (nodes - 1));
}

#[test]
fn a_barrier_costs_two_messages_for_each_rank_but_one() {
    check(Operation::Barrier, |nodes| 2 * (nodes - 1));
    check(Operation::Gather, |nodes| 2 * (nodes - 1));
}

#[test]
fn a_run_of_the_heap_costs_two_messages_and_two_for_each_other_rank_when_it_is_given_back() {
    check(Operation::Take, |_| 2);
    check(Operation::Give, |nodes| 2 + 2 * (nodes - 1));
}

/// Sends, receives and flies: the terms that every message is made of.
#[test]
fn times_are_those_computed_by_hand() {
    let model = Model {
        latency: 10_000,
        bandwidth_mbit: 8_000,
        overhead: 1_000,
        trap: 100,
        map: 10,
        hold: 5_000,
    };
    // A header of 40 bytes is 40 ns on the link, a page of 4,096 bytes with its header 4,136.
    let (header, page) = (40, 4_136);
    assert_eq!(model.round_trip(), 24_000 + header + page);
    let one_way = |bytes| 1_000 + bytes + 10_000 + 1_000;
    // The owner lowers its own access before it sends the page; the reader installs it.
    let expected = 100 + one_way(header) + 10 + one_way(page) + 10;
    assert_eq!(of(Operation::ReadHome, 2, model).time, expected);
    let expected = 100 + 2 * one_way(header) + 10 + one_way(page) + 10;
    assert_eq!(of(Operation::ReadThird, 8, model).time, expected);
    assert_eq!(of(Operation::LockHome, 8, model).time, 2 * one_way(header));
    assert_eq!(of(Operation::LockThird, 8, model).time, 3 * one_way(header));
    assert_eq!(of(Operation::HandOver, 8, model).time, one_way(header));
    // Arrivals at one rank are taken one after the other, and so are releases sent.
    let flat = |ranks: u64| 2 * one_way(header) + 2 * (ranks - 2) * 1_000;
    for ranks in [2, 3, 4, 8, 64] {
        let figure = of(Operation::Gather, ranks, model);
        assert_eq!((figure.time, figure.hops), (flat(ranks.into()), 2), "{ranks} ranks");
        assert_eq!(figure.busiest, 2 * (u64::from(ranks) - 1));
    }
    // Up to nine ranks the barrier of all is as flat. Of ten, the last is below rank 1, which hears it and the
    // coordinator one after the other; the other releases are sent meanwhile.
    for ranks in [2, 3, 9] {
        assert_eq!(of(Operation::Barrier, ranks, model).time, flat(ranks.into()), "{ranks} ranks");
    }
    let figure = of(Operation::Barrier, 10, model);
    assert_eq!((figure.time, figure.hops), (4 * one_way(header), 4));
}

/// At most 1.5 R for each doubling of the ranks.
#[test]
fn a_barrier_keeps_its_promise_among_any_number_of_ranks() {
    for nodes in (2..200).chain([255, 256, 257, 511, 512, 513, 1_000, 1_023, 1_024]) {
        for model in [Model::LOOPBACK, Model::NETWORK] {
            let figure = of(Operation::Barrier, nodes, model);
            let doublings = u64::from(nodes.next_power_of_two().ilog2());
            let promised = 3 * model.round_trip() * doublings / 2;
            assert!(figure.time <= promised, "{nodes} ranks, {model}: {figure:?}");
            assert!(figure.busiest <= 2 * 9, "{nodes} ranks: {figure:?}");
        }
    }
}

#[test]
fn the_same_run_gives_the_same_figures() {
    for operation in Operation::ALL {
        let measure = || operation.measure(32, Model::LOOPBACK);
        assert_eq!(measure(), measure(), "{operation:?}");
    }
    for workload in Workload::ALL {
        let measure = || workload.measure(32, Model::LOOPBACK);
        assert_eq!(measure(), measure(), "{workload:?}");
    }
}

/// Pages drawn evenly spread over the homes; a page that all want is one home's load.
#[test]
fn the_directory_is_spread_over_the_homes() {
    let load = Workload::Uniform.measure(64, Model::LOOPBACK);
    assert!(load.entries.0 > 15.0 && load.entries.1 == 16, "{load:?}");
    assert!((load.handled.1 as f64) < 1.25 * load.handled.0, "{load:?}");
    let load = Workload::HotPage.measure(64, Model::LOOPBACK);
    assert_eq!(load.entries.1, 1);
    assert!((load.handled.1 as f64) > 10.0 * load.handled.0, "{load:?}");
}

#[test]
fn the_plot_has_a_panel_a_model() {
    use dsm_sim::growth::Report;
    let report = Report::measure(&[Model::LOOPBACK, Model::NETWORK], &[2, 4, 8]);
    let svg = plot(&report);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(svg.contains("loopback, R = 14.0") && svg.contains("network, R = 113.3"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}
