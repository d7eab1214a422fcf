//! The codes and operands of what is asked and answered.

use super::{Limits, WireError, below, nonzero, rank_of, unknown};
use crate::{Access, Answer, Ask, CallId, ObjectId, PageId, Rank};

/// The code of what is asked, and its operands.
pub(super) fn ask_codes(ask: Ask) -> (u8, u64, u64) {
    match ask {
        Ask::CondWait => (1, 0, 0),
        Ask::CondLeave { waiter } => (2, waiter.0, 0),
        Ask::CondSignal => (3, 0, 0),
        Ask::CondBroadcast => (4, 0, 0),
        Ask::CondDestroy => (5, 0, 0),
        Ask::SemaphoreInit { value } => (6, value.into(), 0),
        Ask::SemaphoreWait => (7, 0, 0),
        Ask::SemaphoreTry => (8, 0, 0),
        Ask::SemaphorePost => (9, 0, 0),
        Ask::SemaphoreDestroy => (10, 0, 0),
        Ask::BarrierWait { count } => (11, count.into(), 0),
        Ask::Add { value } => (12, value, 0),
        Ask::Swap { expected, desired } => (13, expected, desired),
        Ask::RunTake { pages } => (14, pages, 0),
        Ask::RunGive => (15, 0, 0),
        Ask::RunOwner => (16, 0, 0),
        Ask::BlockFree => (17, 0, 0),
        Ask::Inspect { access } => (18, super::access_code(access).into(), 0),
    }
}

pub(super) fn ask_of(code: u8, have: u64, operand: u64, limits: &Limits) -> Result<Ask, WireError> {
    Ok(match code {
        1 => Ask::CondWait,
        2 => Ask::CondLeave { waiter: CallId(have) },
        3 => Ask::CondSignal,
        4 => Ask::CondBroadcast,
        5 => Ask::CondDestroy,
        6 => Ask::SemaphoreInit { value: number("value", have)? },
        7 => Ask::SemaphoreWait,
        8 => Ask::SemaphoreTry,
        9 => Ask::SemaphorePost,
        10 => Ask::SemaphoreDestroy,
        11 => Ask::BarrierWait { count: number("count", have)? },
        12 => Ask::Add { value: have },
        13 => Ask::Swap { expected: have, desired: operand },
        14 => {
            Ask::RunTake { pages: nonzero("pages", below("pages", have, limits.space.pages + 1)?)? }
        }
        15 => Ask::RunGive,
        16 => Ask::RunOwner,
        17 => Ask::BlockFree,
        18 => Ask::Inspect { access: access_of(have)? },
        other => return Err(unknown("ask", other)),
    })
}

/// The code of an answer, and its operands.
pub(super) fn answer_codes(answer: Answer) -> (u8, u64, u64) {
    match answer {
        Answer::Done => (1, 0, 0),
        Answer::Queued => (2, 0, 0),
        Answer::Woken => (3, 0, 0),
        Answer::Serial => (4, 0, 0),
        Answer::Value(value) => (5, value, 0),
        Answer::Run(first) => (6, first.0, 0),
        Answer::Owner(rank) => (7, rank.0.into(), 0),
        // The first operand is the thread's number, and its rank from bit 32 on; the second is one more than the lock's number, 0 for none.
        Answer::Held { rank, thread, waits_for } => (
            8,
            u64::from(rank.0) << 32 | u64::from(thread),
            waits_for.map_or(0, |object| object.0 + 1),
        ),
        Answer::Busy => (9, 0, 0),
        Answer::Empty => (10, 0, 0),
        Answer::Overflow => (11, 0, 0),
        Answer::CountDiffers => (12, 0, 0),
        Answer::Exhausted => (13, 0, 0),
        Answer::NotTaken => (14, 0, 0),
        Answer::Free => (15, 0, 0),
    }
}

pub(super) fn answer_of(
    code: u8,
    have: u64,
    operand: u64,
    limits: &Limits,
) -> Result<Answer, WireError> {
    let space = &limits.space;
    Ok(match code {
        1 => Answer::Done,
        2 => Answer::Queued,
        3 => Answer::Woken,
        4 => Answer::Serial,
        5 => Answer::Value(have),
        6 => Answer::Run(PageId(below("page", have, space.pages)?)),
        7 => Answer::Owner(owner_of(have, limits)?),
        8 => {
            let object = below("object", operand, space.words() + 1)?.checked_sub(1);
            let rank = owner_of(have >> 32, limits)?;
            let thread = number("thread", have & u64::from(u32::MAX))?;
            Answer::Held { rank, thread, waits_for: object.map(ObjectId) }
        }
        9 => Answer::Busy,
        10 => Answer::Empty,
        11 => Answer::Overflow,
        12 => Answer::CountDiffers,
        13 => Answer::Exhausted,
        14 => Answer::NotTaken,
        15 => Answer::Free,
        other => return Err(unknown("answer", other)),
    })
}

fn number(field: &'static str, value: u64) -> Result<u32, WireError> {
    let value = below(field, value, 1 << 32)?;
    Ok(u32::try_from(value).expect("it was compared with the limit"))
}

fn owner_of(value: u64, limits: &Limits) -> Result<Rank, WireError> {
    let value = below("rank", value, limits.space.nodes.into())?;
    rank_of(u16::try_from(value).expect("it was compared with the limit"), limits)
}

fn access_of(value: u64) -> Result<Access, WireError> {
    let value = below("access", value, 256)?;
    super::access_of(u8::try_from(value).expect("it was compared with the limit"))
}

#[cfg(test)]
pub(super) fn every_ask() -> impl Iterator<Item = Ask> {
    let (value, access) = (u32::MAX, Access::Write);
    [
        Ask::CondWait,
        Ask::CondLeave { waiter: CallId(u64::MAX) },
        Ask::CondSignal,
        Ask::CondBroadcast,
        Ask::CondDestroy,
        Ask::SemaphoreInit { value },
        Ask::SemaphoreWait,
        Ask::SemaphoreTry,
        Ask::SemaphorePost,
        Ask::SemaphoreDestroy,
        Ask::BarrierWait { count: value },
        Ask::Add { value: u64::MAX },
        Ask::Swap { expected: u64::MAX, desired: 7 },
        Ask::RunTake { pages: 100 },
        Ask::RunGive,
        Ask::RunOwner,
        Ask::BlockFree,
        Ask::Inspect { access },
    ]
    .into_iter()
}

#[cfg(test)]
pub(super) fn every_answer() -> impl Iterator<Item = Answer> {
    let held = |waits_for| Answer::Held { rank: Rank(3), thread: u32::MAX, waits_for };
    [
        Answer::Done,
        Answer::Queued,
        Answer::Woken,
        Answer::Serial,
        Answer::Value(u64::MAX),
        Answer::Run(PageId(99)),
        Answer::Owner(Rank(3)),
        held(None),
        held(Some(ObjectId(51_199))),
        Answer::Busy,
        Answer::Empty,
        Answer::Overflow,
        Answer::CountDiffers,
        Answer::Exhausted,
        Answer::NotTaken,
        Answer::Free,
    ]
    .into_iter()
}
