//! Messages and outputs in few words, for the columns of a trace: `p0` is page 0, `e2` is epoch 2, `o1` the object at word 1, `t0` call 0.

use dsm_core::{Access, BarrierKind, Call, Input, Message, Output, Payload, Right, Source};

pub(crate) fn say_message(message: &Message) -> String {
    match *message {
        Message::Request { page, access } => format!("request p{page} {}", say_access(access)),
        Message::Forward { page, right, to, epoch, have } => {
            format!("forward p{page} {} to {to} e{epoch}, have e{have}", say_right(right))
        }
        Message::Grant { page, right, epoch, payload } => {
            let payload = match payload {
                Payload::Attached => "attached",
                Payload::Zero => "zero",
                Payload::Held => "held",
            };
            format!("grant p{page} {} e{epoch}, {payload}", say_right(right))
        }
        Message::Invalidate { page, have } => format!("invalidate p{page}, have e{have}"),
        Message::Ack { page, epoch } => format!("ack p{page} e{epoch}"),
        Message::Unwritten { page, epoch } => format!("unwritten p{page} e{epoch}"),
        Message::BarrierArrive { kind, epoch } => format!("at {} e{epoch}", say_kind(kind)),
        Message::BarrierRelease { kind, epoch } => format!("{} open e{epoch}", say_kind(kind)),
        Message::Leaving { rank, epoch } => format!("rank {rank} leaves e{epoch}"),
        Message::Ask { asker, id, object, ask } => {
            format!("ask o{object} t{} of {asker}: {ask:?}", id.0)
        }
        Message::Answer { id, answer } => format!("answer t{}: {answer:?}", id.0),
        Message::Reclaim { first, pages } => format!("reclaim {pages} pages from p{first}"),
        Message::Claim { page } => format!("claim p{page}"),
        Message::Home { page, home } => format!("home of p{page} is rank {home}"),
        Message::Reclaimed { first } => format!("reclaimed from p{first}"),
    }
}

pub(crate) fn say_output(output: &Output) -> String {
    match output {
        Output::Protect { page, access: Access::None } => format!("close p{page}"),
        Output::Protect { page, access } => format!("protect p{page} {}", say_access(*access)),
        Output::Install { page, access, source } => {
            let source = match source {
                Source::ServiceView => "as it came",
                Source::Zero => "zero",
            };
            format!("install p{page} {}, {source}", say_access(*access))
        }
        Output::Send { to, message, .. } => format!(">{to} {}", say_message(message)),
        Output::Resume { page } => format!("resume p{page}"),
        Output::Pin { page } => format!("pin p{page}"),
        Output::Hold { page } => format!("hold p{page}"),
        Output::Answered { id, answer } => format!("answer t{}: {answer:?}", id.0),
        Output::Lend { object, access } => format!("lend o{object} {}", say_access(*access)),
        Output::Recall { object, keep } => format!("recall o{object} to {}", say_access(*keep)),
        Output::Serve { asker, id, task } => format!("serve t{} of {asker}: {task:?}", id.0),
        Output::Clear { first, pages } => format!("clear {pages} pages from p{first}"),
        Output::Fail { violation } => format!("fail: {violation}"),
    }
}

/// What a driver tells its engine that followed from an output.
pub(crate) fn say_input(input: &Input) -> String {
    match input {
        Input::Served { asker, id, answer } => format!("served t{} of {asker}: {answer:?}", id.0),
        Input::Call { call, .. } => say_call(call),
        other => format!("{other:?}"),
    }
}

/// A call that no thread waits for.
pub(crate) fn say_call(call: &Call) -> String {
    match call {
        Call::Acquire { object, access } => format!("wants o{object}, {}", say_access(*access)),
        Call::Surrender { object, keep: Access::None } => format!("surrenders o{object}"),
        Call::Surrender { object, keep } => {
            format!("surrenders o{object} but to {}", say_access(*keep))
        }
        Call::Prefetch { first, access, .. } => {
            format!("prefetch p{first} {}", say_access(*access))
        }
        other => format!("{other:?}"),
    }
}

pub(crate) fn say_access(access: Access) -> &'static str {
    match access {
        Access::None => "nothing",
        Access::Read => "read",
        Access::Write => "write",
    }
}

fn say_right(right: Right) -> &'static str {
    match right {
        Right::Shared => "shared",
        Right::Exclusive => "exclusive",
        Right::Modified => "modified",
    }
}

fn say_kind(kind: BarrierKind) -> &'static str {
    match kind {
        BarrierKind::Program => "barrier",
        BarrierKind::Finalize => "finalize",
    }
}
