mod questions;

pub(crate) use questions::{answer_of, ask_of};

use dsm_core::{
    Access, BarrierKind, CallId, Epoch, Message, ObjectId, Output, PageId, Payload, Rank, Right,
    Source,
};
use questions::{say_answer, say_ask, say_task};

/// An output as scenarios write it.
pub(crate) fn say_output(output: &Output) -> String {
    match output {
        Output::Protect { page, access: Access::None } => format!("close page {page}"),
        Output::Protect { page, access } => format!("protect page {page} {}", say_access(*access)),
        Output::Install { page, access, source } => {
            let source = match source {
                Source::ServiceView => "as it came",
                Source::Zero => "zero",
            };
            format!("install page {page} {}, {source}", say_access(*access))
        }
        Output::Send { to, message, attach } => {
            let attached = attach.map_or("", |_| " + bytes");
            format!("tell rank {to}: {}{attached}", say_message(message))
        }
        Output::Resume { page } => format!("resume page {page}"),
        Output::Hold { page } => format!("hold page {page}"),
        Output::Answered { id, answer } => format!("answer call {}: {}", id.0, say_answer(*answer)),
        Output::Pin { page } => format!("pin page {page}"),
        Output::Lend { object, access } => format!("lend lock {object} {}", say_access(*access)),
        Output::Recall { object, keep } => {
            format!("recall lock {object} {}", say_access(*keep))
        }
        Output::Serve { asker, id, task } => {
            format!("serve call {} of rank {asker}: {}", id.0, say_task(*task))
        }
        Output::Clear { first, pages } => format!("clear {pages} pages from {first}"),
        Output::Fail { violation } => format!("fail: {violation}"),
    }
}

/// A message as scenarios write it; [`message_of`] reads it back.
pub(crate) fn say_message(message: &Message) -> String {
    match *message {
        Message::Request { page, access } => format!("request page {page} {}", say_access(access)),
        Message::Forward { page, right, to, epoch, have } => {
            let right = say_right(right);
            format!("forward page {page} {right} to rank {to}, epoch {epoch}, have {have}")
        }
        Message::Grant { page, right, epoch, payload } => {
            let payload = match payload {
                Payload::Attached => "attached",
                Payload::Zero => "zero",
                Payload::Held => "held",
            };
            format!("grant page {page} {}, epoch {epoch}, {payload}", say_right(right))
        }
        Message::Invalidate { page, have } => format!("invalidate page {page}, have {have}"),
        Message::Ack { page, epoch } => format!("ack page {page}, epoch {epoch}"),
        Message::Unwritten { page, epoch } => format!("unwritten page {page}, epoch {epoch}"),
        Message::BarrierArrive { kind, epoch } => {
            format!("arrive at {}, epoch {epoch}", say_barrier(kind))
        }
        Message::BarrierRelease { kind, epoch } => {
            format!("release of {}, epoch {epoch}", say_barrier(kind))
        }
        Message::Leaving { rank, epoch } => format!("rank {rank} leaves, epoch {epoch}"),
        Message::Ask { asker, id, object, ask } => {
            format!("ask word {object}, call {} of rank {asker}, {}", id.0, say_ask(ask))
        }
        Message::Answer { id, answer } => format!("answer call {}, {}", id.0, say_answer(answer)),
        Message::Reclaim { first, pages } => format!("reclaim {pages} pages from {first}"),
        Message::Claim { page } => format!("claim page {page}"),
        Message::Home { page, home } => format!("home of page {page} is rank {home}"),
        Message::Reclaimed { first } => format!("reclaimed from {first}"),
    }
}

pub(crate) fn message_of(text: &str) -> Option<Message> {
    let text = text.replace(',', "");
    let words: Vec<_> = text.split(' ').collect();
    Some(match words[..] {
        ["request", "page", p, ref how @ ..] => {
            Message::Request { page: page(p)?, access: access(how)? }
        }
        ["forward", "page", p, r, "to", "rank", to, "epoch", e, "have", h] => Message::Forward {
            page: page(p)?,
            right: right(r)?,
            to: rank(to)?,
            epoch: epoch(e)?,
            have: epoch(h)?,
        },
        ["grant", "page", p, r, "epoch", e, payload] => {
            let payload = match payload {
                "attached" => Payload::Attached,
                "zero" => Payload::Zero,
                "held" => Payload::Held,
                _ => return None,
            };
            Message::Grant { page: page(p)?, right: right(r)?, epoch: epoch(e)?, payload }
        }
        ["invalidate", "page", p, "have", h] => {
            Message::Invalidate { page: page(p)?, have: epoch(h)? }
        }
        ["ack", "page", p, "epoch", e] => Message::Ack { page: page(p)?, epoch: epoch(e)? },
        ["unwritten", "page", p, "epoch", e] => {
            Message::Unwritten { page: page(p)?, epoch: epoch(e)? }
        }
        ["arrive", "at", k, "epoch", e] => {
            Message::BarrierArrive { kind: barrier(k)?, epoch: epoch(e)? }
        }
        ["release", "of", k, "epoch", e] => {
            Message::BarrierRelease { kind: barrier(k)?, epoch: epoch(e)? }
        }
        ["rank", r, "leaves", "epoch", e] => Message::Leaving { rank: rank(r)?, epoch: epoch(e)? },
        ["ask", "word", o, "call", c, "of", "rank", r, ref ask @ ..] => {
            let (asker, id, object) = (rank(r)?, call(c)?, object(o)?);
            Message::Ask { asker, id, object, ask: ask_of(ask)? }
        }
        ["answer", "call", c, ref answer @ ..] => {
            Message::Answer { id: call(c)?, answer: answer_of(answer)? }
        }
        ["reclaim", pages, "pages", "from", first] => {
            Message::Reclaim { first: page(first)?, pages: pages.parse().ok()? }
        }
        ["claim", "page", p] => Message::Claim { page: page(p)? },
        ["home", "of", "page", p, "is", "rank", r] => {
            Message::Home { page: page(p)?, home: rank(r)? }
        }
        ["reclaimed", "from", first] => Message::Reclaimed { first: page(first)? },
        _ => return None,
    })
}

pub(crate) fn rank(word: &str) -> Option<Rank> {
    word.parse().ok().map(Rank)
}

pub(crate) fn page(word: &str) -> Option<PageId> {
    word.parse().ok().map(PageId)
}

pub(crate) fn object(word: &str) -> Option<ObjectId> {
    word.parse().ok().map(ObjectId)
}

pub(crate) fn call(word: &str) -> Option<CallId> {
    word.parse().ok().map(CallId)
}

/// `to read` or `to write`.
pub(crate) fn access(words: &[&str]) -> Option<Access> {
    match words {
        ["to", "read"] => Some(Access::Read),
        ["to", "write"] => Some(Access::Write),
        _ => None,
    }
}

fn epoch(word: &str) -> Option<Epoch> {
    word.parse().ok().map(Epoch)
}

fn right(word: &str) -> Option<Right> {
    [Right::Shared, Right::Exclusive, Right::Modified].into_iter().find(|r| say_right(*r) == word)
}

fn barrier(word: &str) -> Option<BarrierKind> {
    [BarrierKind::Program, BarrierKind::Finalize].into_iter().find(|k| say_barrier(*k) == word)
}

fn say_access(access: Access) -> &'static str {
    match access {
        Access::None => "to nothing",
        Access::Read => "to read",
        Access::Write => "to write",
    }
}

fn say_right(right: Right) -> &'static str {
    match right {
        Right::Shared => "shared",
        Right::Exclusive => "exclusive",
        Right::Modified => "modified",
    }
}

fn say_barrier(kind: BarrierKind) -> &'static str {
    match kind {
        BarrierKind::Program => "program",
        BarrierKind::Finalize => "finalize",
    }
}
