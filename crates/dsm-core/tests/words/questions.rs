use super::{access, call, object, page, rank, say_access};
use dsm_core::{Answer, Ask, Task};

/// What is asked, as scenarios write it; [`ask_of`] reads it back.
pub(super) fn say_ask(ask: Ask) -> String {
    match ask {
        Ask::CondWait => "wait for a signal".to_owned(),
        Ask::CondLeave { waiter } => format!("leave instead of call {}", waiter.0),
        Ask::CondSignal => "signal".to_owned(),
        Ask::CondBroadcast => "signal all".to_owned(),
        Ask::CondDestroy => "destroy condition".to_owned(),
        Ask::SemaphoreInit { value } => format!("set to {value}"),
        Ask::SemaphoreWait => "take one".to_owned(),
        Ask::SemaphoreTry => "try to take one".to_owned(),
        Ask::SemaphorePost => "post".to_owned(),
        Ask::SemaphoreDestroy => "destroy semaphore".to_owned(),
        Ask::BarrierWait { count } => format!("meet {count} threads"),
        Ask::Add { value } => format!("add {value}"),
        Ask::Swap { expected, desired } => format!("swap {expected} for {desired}"),
        Ask::RunTake { pages } => format!("take {pages} pages"),
        Ask::RunGive => "give the run back".to_owned(),
        Ask::RunOwner => "whose run".to_owned(),
        Ask::BlockFree => "free the block".to_owned(),
        Ask::Inspect { access } => format!("inspect {}", say_access(access)),
    }
}

pub(crate) fn ask_of(words: &[&str]) -> Option<Ask> {
    Some(match *words {
        ["wait", "for", "a", "signal"] => Ask::CondWait,
        ["leave", "instead", "of", "call", waiter] => Ask::CondLeave { waiter: call(waiter)? },
        ["signal"] => Ask::CondSignal,
        ["signal", "all"] => Ask::CondBroadcast,
        ["destroy", "condition"] => Ask::CondDestroy,
        ["set", "to", value] => Ask::SemaphoreInit { value: value.parse().ok()? },
        ["take", "one"] => Ask::SemaphoreWait,
        ["try", "to", "take", "one"] => Ask::SemaphoreTry,
        ["post"] => Ask::SemaphorePost,
        ["destroy", "semaphore"] => Ask::SemaphoreDestroy,
        ["meet", count, "threads"] => Ask::BarrierWait { count: count.parse().ok()? },
        ["add", value] => Ask::Add { value: value.parse().ok()? },
        ["swap", expected, "for", desired] => {
            Ask::Swap { expected: expected.parse().ok()?, desired: desired.parse().ok()? }
        }
        ["take", pages, "pages"] => Ask::RunTake { pages: pages.parse().ok()? },
        ["give", "the", "run", "back"] => Ask::RunGive,
        ["whose", "run"] => Ask::RunOwner,
        ["free", "the", "block"] => Ask::BlockFree,
        ["inspect", ref how @ ..] => Ask::Inspect { access: access(how)? },
        _ => return None,
    })
}

/// What became of a call, as scenarios write it; [`answer_of`] reads it back.
pub(super) fn say_answer(answer: Answer) -> String {
    match answer {
        Answer::Done => "done".to_owned(),
        Answer::Queued => "queued".to_owned(),
        Answer::Woken => "woken".to_owned(),
        Answer::Serial => "the one".to_owned(),
        Answer::Value(value) => format!("it was {value}"),
        Answer::Run(first) => format!("run from page {first}"),
        Answer::Owner(rank) => format!("taken by rank {rank}"),
        Answer::Held { rank, thread, waits_for } => {
            let waits = waits_for.map_or(String::new(), |lock| format!(" waits for {lock}"));
            format!("held by rank {rank} thread {thread}{waits}")
        }
        Answer::Busy => "busy".to_owned(),
        Answer::Empty => "empty".to_owned(),
        Answer::Overflow => "overflow".to_owned(),
        Answer::CountDiffers => "count differs".to_owned(),
        Answer::Exhausted => "exhausted".to_owned(),
        Answer::NotTaken => "not taken".to_owned(),
        Answer::Free => "free".to_owned(),
    }
}

pub(crate) fn answer_of(words: &[&str]) -> Option<Answer> {
    let held = |by: &str, thread: &str, waits_for| {
        Some(Answer::Held { rank: rank(by)?, thread: thread.parse().ok()?, waits_for })
    };
    Some(match *words {
        ["done"] => Answer::Done,
        ["queued"] => Answer::Queued,
        ["woken"] => Answer::Woken,
        ["the", "one"] => Answer::Serial,
        ["it", "was", value] => Answer::Value(value.parse().ok()?),
        ["run", "from", "page", first] => Answer::Run(page(first)?),
        ["taken", "by", "rank", by] => Answer::Owner(rank(by)?),
        ["held", "by", "rank", by, "thread", thread] => held(by, thread, None)?,
        ["held", "by", "rank", by, "thread", thread, "waits", "for", lock] => {
            held(by, thread, Some(object(lock)?))?
        }
        ["busy"] => Answer::Busy,
        ["empty"] => Answer::Empty,
        ["overflow"] => Answer::Overflow,
        ["count", "differs"] => Answer::CountDiffers,
        ["exhausted"] => Answer::Exhausted,
        ["not", "taken"] => Answer::NotTaken,
        ["free"] => Answer::Free,
        _ => return None,
    })
}

/// What a driver is to do for a thread, as scenarios write it.
pub(super) fn say_task(task: Task) -> String {
    match task {
        Task::Add { object, value } => format!("add {value} to word {object}"),
        Task::Swap { object, expected, desired } => {
            format!("swap {expected} for {desired} in word {object}")
        }
        Task::Free { object } => format!("free the block at word {object}"),
        Task::Inspect { object, access } => format!("inspect lock {object} {}", say_access(access)),
    }
}
