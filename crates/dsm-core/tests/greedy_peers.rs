//! No rank makes another one keep more and more: what it says over and over again changes nothing, or ends the
//! job.

#![allow(clippy::unwrap_used, reason = "a test")]

use dsm_core::{
    Access, Answer, Ask, CallId, Config, Engine, Epoch, Hold, Input, Message, ObjectId, Output,
    PageId, Rank, Right, Space,
};

/// Rank 1 says something to rank 0 of two, over and over again, with one number after the other.
fn flood(mut engine: Engine, message: impl Fn(u64) -> Message) -> Flood {
    let mut size = 0;
    for number in 0..FLOOD {
        let input = Input::Message { from: Rank(1), message: message(number) };
        if engine.handle(input).into_iter().any(|it| matches!(it, Output::Fail { .. })) {
            return Flood::Ends { after: number };
        }
        if number == 10 {
            size = format!("{engine:?}").len();
        }
    }
    // Numbers have more digits than before.
    match format!("{engine:?}").len() < size + 100 {
        true => Flood::ChangesNothing,
        false => Flood::Grows,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Flood {
    Ends { after: u64 },
    ChangesNothing,
    Grows,
}

fn engine() -> Engine {
    let space = Space { area_pages: 2, page_words: 2, ..Space::of_pages(2, 6) };
    Engine::new(Config { rank: Rank(0), space, hold: Hold::Timed })
}

fn hear(engine: &mut Engine, message: Message) {
    let outputs = engine.handle(Input::Message { from: Rank(1), message });
    assert!(!outputs.into_iter().any(|it| matches!(it, Output::Fail { .. })), "{message:?}");
}

/// What rank 1 asks about the first word, of which rank 0 is home.
fn ask(ask: Ask) -> impl Fn(u64) -> Message {
    move |number| Message::Ask { asker: Rank(1), id: CallId(number), object: ObjectId(0), ask }
}

/// A page to read at both ranks, which the home asked to write.
fn engine_that_awaits_an_ack() -> Engine {
    let (mut engine, page) = (engine(), PageId(0));
    let _ = engine.handle(Input::Fault { page, access: Access::Write });
    let _ = engine.handle(Input::HoldOver { page });
    hear(&mut engine, Message::Request { page, access: Access::Read });
    let _ = engine.handle(Input::Fault { page, access: Access::Write });
    engine
}

#[test]
fn queues_have_room_for_so_many_threads_of_a_rank() {
    let full = Flood::Ends { after: MOST };
    assert_eq!(flood(engine(), ask(Ask::CondWait)), full);
    assert_eq!(flood(engine(), ask(Ask::SemaphoreWait)), full);
    assert_eq!(flood(engine(), ask(Ask::BarrierWait { count: u32::MAX })), full);
    assert_eq!(flood(engine_that_awaits_an_ack(), ask(Ask::Add { value: 1 })), full);
}

#[test]
fn as_many_wait_for_a_run_that_no_rank_makes_zero() {
    let mut engine = engine();
    hear(&mut engine, ask(Ask::RunTake { pages: 3 })(0));
    let first = ObjectId(3 * 2);
    let give = Message::Ask { asker: Rank(1), id: CallId(0), object: first, ask: Ask::RunGive };
    hear(&mut engine, give);
    assert_eq!(flood(engine, ask(Ask::RunTake { pages: 3 })), Flood::Ends { after: MOST });
}

#[test]
fn who_does_not_wait_leaves_nothing() {
    let leave = Ask::CondLeave { waiter: CallId(7) };
    let tries = [Ask::SemaphoreTry, Ask::SemaphoreDestroy, Ask::SemaphoreInit { value: 7 }];
    let conds = [Ask::CondSignal, Ask::CondBroadcast, Ask::CondDestroy, leave];
    let others = [
        Ask::SemaphorePost,
        Ask::BarrierWait { count: 1 },
        Ask::RunTake { pages: 1 },
        Ask::RunGive,
        Ask::RunOwner,
        Ask::BlockFree,
        Ask::Inspect { access: Access::Write },
        Ask::Add { value: 1 },
        Ask::Swap { expected: 0, desired: 1 },
    ];
    for said in tries.into_iter().chain(conds).chain(others) {
        assert_eq!(flood(engine(), ask(said)), Flood::ChangesNothing, "{said:?}");
    }
}

/// One at a time, and then one at a time again.
#[test]
fn what_comes_and_goes_leaves_nothing() {
    let pair = |one: Ask, other: Ask| {
        move |number: u64| ask(if number.is_multiple_of(2) { one } else { other })(number)
    };
    assert_eq!(flood(engine(), pair(Ask::CondWait, Ask::CondSignal)), Flood::ChangesNothing);
    assert_eq!(
        flood(engine(), pair(Ask::SemaphoreWait, Ask::SemaphorePost)),
        Flood::ChangesNothing
    );
    let meet = Ask::BarrierWait { count: 2 };
    assert_eq!(flood(engine(), pair(meet, meet)), Flood::ChangesNothing);
}

#[test]
fn demands_are_no_more_than_the_ranks_and_one() {
    let (mut engine, page) = (engine(), PageId(1));
    let _ = engine.handle(Input::Fault { page, access: Access::Write });
    let forward = |number| {
        let (right, to, have) = (Right::Modified, Rank(1), Epoch(5 + number));
        Message::Forward { page, right, to, epoch: Epoch(6 + number), have }
    };
    assert_eq!(flood(engine.clone(), forward), Flood::Ends { after: 3 });
    let invalidate = |_| Message::Invalidate { page, have: Epoch(5) };
    assert_eq!(flood(engine, invalidate), Flood::Ends { after: 3 });
}

#[test]
fn nobody_says_twice_what_is_said_once() {
    let page = PageId(0);
    let ends =
        |message: Message| matches!(flood(engine(), |_| message), Flood::Ends { after: 0 | 1 });
    assert!(ends(Message::Request { page, access: Access::Read }));
    assert!(ends(Message::Ack { page, epoch: Epoch(1) }));
    assert!(ends(Message::Answer { id: CallId(0), answer: Answer::Done }));
    assert!(ends(Message::Reclaim { first: PageId(2), pages: 1 }));
    assert!(ends(Message::Reclaimed { first: PageId(2) }));
}

const FLOOD: u64 = 70_000;
/// Threads of one rank in queues of one kind.
const MOST: u64 = 1 << 16;
