//! Homes that the first touch decides: what peers may not say about them ends the job with their rank.

#![allow(clippy::unwrap_used, reason = "a test")]

use dsm_core::wire::{Limits, decode, encode};
use dsm_core::{
    Access, Answer, Ask, Call, CallId, Config, Engine, Hold, Input, Message, ObjectId, Output,
    PageId, Placement, Rank, Space, Violation,
};

/// Pages 0 to 5 are the area, registered at ranks 0, 1, 2, 0, 1, 2; pages 6 to 8 are the heap.
fn space(placement: Placement) -> Space {
    Space { area_pages: 6, placement, ..Space::of_pages(3, 9) }
}

/// The engine of rank 1.
fn engine() -> Engine {
    Engine::new(Config { rank: Rank(1), space: space(Placement::FirstTouch), hold: Hold::None })
}

fn tell(engine: &mut Engine, from: u16, message: Message) -> Vec<Output> {
    engine.handle(Input::Message { from: Rank(from), message }).into_iter().collect()
}

fn touch(engine: &mut Engine, page: u64) -> Vec<Output> {
    engine.handle(Input::Fault { page: PageId(page), access: Access::Write }).into_iter().collect()
}

/// The message ends the job, and names who sent it.
#[track_caller]
fn check_fails(engine: &mut Engine, from: u16, message: Message) {
    let outputs = tell(engine, from, message);
    let named = |output: &Output| match output {
        Output::Fail { violation: Violation::Unexpected { from, message, .. } } => {
            Some((*from, *message))
        }
        _ => None,
    };
    let named: Vec<_> = outputs.iter().filter_map(named).collect();
    assert_eq!(named, [(Rank(from), message)], "{outputs:?}");
}

fn claim(page: u64) -> Message {
    Message::Claim { page: PageId(page) }
}

fn home(page: u64, home: u16) -> Message {
    Message::Home { page: PageId(page), home: Rank(home) }
}

fn request(page: u64) -> Message {
    Message::Request { page: PageId(page), access: Access::Write }
}

fn sent(to: u16, message: Message) -> Output {
    Output::Send { to: Rank(to), message, attach: None }
}

#[test]
fn a_claim_goes_to_the_registrar_of_a_page_of_the_area() {
    let mut engine = engine();
    assert_eq!(tell(&mut engine, 2, claim(1)), [sent(2, home(1, 2))]);
    for page in [0, 2, 3, 6, 7, 8, 9, 5_000] {
        check_fails(&mut engine, 2, claim(page));
    }
}

#[test]
fn a_registrar_names_one_home_for_ever() {
    let mut engine = engine();
    assert_eq!(tell(&mut engine, 2, claim(4)), [sent(2, home(4, 2))]);
    for from in [0, 2, 0] {
        assert_eq!(tell(&mut engine, from, claim(4)), [sent(from, home(4, 2))]);
    }
    // What it touches itself is its own, without a word.
    assert!(!touch(&mut engine, 1).iter().any(|output| matches!(output, Output::Send { .. })));
    assert_eq!(tell(&mut engine, 0, claim(1)), [sent(0, home(1, 1))]);
}

#[test]
fn a_home_that_nobody_asked_for_is_refused() {
    let mut engine = engine();
    check_fails(&mut engine, 2, home(2, 0));
    assert_eq!(touch(&mut engine, 2), [sent(2, claim(2))]);
    // Not from the registrar, or no rank of the job.
    check_fails(&mut engine, 0, home(2, 0));
    check_fails(&mut engine, 2, home(2, 3));
    assert_eq!(tell(&mut engine, 2, home(2, 0)), [sent(0, request(2))]);
    check_fails(&mut engine, 2, home(2, 0));
}

#[test]
fn who_asks_a_rank_that_is_not_the_home_is_refused() {
    let mut engine = engine();
    let add = Message::Ask {
        asker: Rank(0),
        id: CallId(1),
        object: ObjectId(2 * 512),
        ask: Ask::Add { value: 1 },
    };
    for message in [request(2), add] {
        check_fails(&mut engine, 0, message);
    }
    touch(&mut engine, 2);
    tell(&mut engine, 2, home(2, 2));
    for message in [request(2), add] {
        check_fails(&mut engine, 0, message);
    }
}

/// Rank 0 takes this one for the home before the registrar says so; when that says otherwise, rank 0 lied.
#[test]
fn who_asks_too_early_is_blamed_if_the_registrar_names_another_home() {
    let mut engine = engine();
    touch(&mut engine, 2);
    assert!(!tell(&mut engine, 0, request(2)).is_empty());
    assert_eq!(engine.home(PageId(2)), Some(Rank(1)));
    let outputs = tell(&mut engine, 2, home(2, 2));
    let [Output::Fail { violation: Violation::Unexpected { from: Rank(0), message, .. } }] =
        outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(message, request(2));
}

#[test]
fn nothing_comes_for_a_page_whose_home_is_not_known() {
    use dsm_core::{Epoch, Payload, Right};
    let mut engine = engine();
    touch(&mut engine, 2);
    let (page, right, epoch) = (PageId(2), Right::Modified, Epoch(1));
    assert!(!engine.awaits_content(page));
    check_fails(&mut engine, 2, Message::Grant { page, right, epoch, payload: Payload::Zero });
    check_fails(&mut engine, 2, Message::Invalidate { page, have: Epoch(0) });
    check_fails(&mut engine, 2, Message::Ack { page, epoch });
}

#[test]
fn a_rank_knows_the_homes_of_the_pages_it_touched() {
    let mut engine = engine();
    let known = |engine: &mut Engine, page| {
        let call = Call::Home { page: PageId(page) };
        let outputs = engine.handle(Input::Call { id: CallId(7), call });
        let answer = outputs.into_iter().map(|output| match output {
            Output::Answered { id: CallId(7), answer } => answer,
            other => panic!("{other:?}"),
        });
        answer.collect::<Vec<_>>()
    };
    assert_eq!(known(&mut engine, 2), [Answer::NotTaken]);
    touch(&mut engine, 2);
    assert_eq!(known(&mut engine, 2), [Answer::NotTaken]);
    tell(&mut engine, 2, home(2, 0));
    assert_eq!(known(&mut engine, 2), [Answer::Owner(Rank(0))]);
    // The heap is placed cyclically.
    assert_eq!(known(&mut engine, 8), [Answer::Owner(Rank(2))]);
}

#[test]
fn without_first_touch_there_are_no_claims() {
    for placement in Placement::ALL {
        let limits = Limits { space: space(placement), page_bytes: 4096 };
        for message in [claim(5), home(5, 2)] {
            let decoded = decode(&encode(&message, &limits), &limits);
            assert_eq!(decoded.is_ok(), placement == Placement::FirstTouch, "{placement}");
        }
        for message in [claim(6), home(6, 2), home(5, 3)] {
            assert!(
                decode(&encode(&message, &limits), &limits).is_err(),
                "{placement}: {message:?}"
            );
        }
        if placement != Placement::FirstTouch {
            let space = space(placement);
            let mut engine = Engine::new(Config { rank: Rank(1), space, hold: Hold::None });
            check_fails(&mut engine, 0, claim(1));
            check_fails(&mut engine, 0, home(0, 1));
        }
    }
}
