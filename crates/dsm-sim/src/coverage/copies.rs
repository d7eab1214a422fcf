use super::{Answer, Verdict, impossible};
use dsm_core::{Access, CopyContent, CopyEvent, CopySituation, CopyState, Payload, Right, Which};

pub(super) fn all() -> impl Iterator<Item = CopySituation> {
    let events = events();
    states().flat_map(move |state| {
        events.clone().into_iter().map(move |event| CopySituation { state, event })
    })
}

pub(super) fn states() -> impl Iterator<Item = CopyState> {
    let open = RIGHTS.map(CopyContent::Open);
    let contents = [CopyContent::Fresh, CopyContent::Invalid].into_iter().chain(open);
    contents.flat_map(|content| {
        [None, Some(Access::Read), Some(Access::Write)].into_iter().flat_map(move |request| {
            [false, true].into_iter().flat_map(move |is_held| {
                let state = move |puts_off| CopyState { content, request, is_held, puts_off };
                [false, true].into_iter().map(state)
            })
        })
    })
}

pub(super) fn events() -> Vec<CopyEvent> {
    let which = [Which::Earlier, Which::Current, Which::Coming];
    let mut all = vec![CopyEvent::Fault(Access::Read), CopyEvent::Fault(Access::Write)];
    all.push(CopyEvent::HoldOver);
    for copy in which {
        all.extend(RIGHTS.map(|right| CopyEvent::Forward(right, copy)));
    }
    all.extend(which.map(CopyEvent::Invalidate));
    for right in RIGHTS {
        let payloads = [Payload::Attached, Payload::Zero, Payload::Held];
        all.extend(payloads.map(|payload| CopyEvent::Grant(right, payload)));
    }
    all
}

pub(super) fn verdict(CopySituation { state, event }: CopySituation) -> Verdict {
    if let Some(why) = absurd(state) {
        return impossible(Answer::Unasked, why);
    }
    match event {
        CopyEvent::Fault(_) => Verdict::Possible,
        CopyEvent::HoldOver if state.is_held => Verdict::Possible,
        CopyEvent::HoldOver => Verdict::Idle { most: Answer::Nothing },
        CopyEvent::Forward(_, Which::Earlier) | CopyEvent::Invalidate(Which::Earlier)
            if state.content == CopyContent::Fresh =>
        {
            impossible(Answer::Fails, "the home tells what it told last: the newest copy")
        }
        CopyEvent::Forward(_, Which::Earlier) | CopyEvent::Invalidate(Which::Earlier) => {
            impossible(unless_behind(state), "the home tells what it told last: the newest copy")
        }
        CopyEvent::Forward(_, Which::Coming) | CopyEvent::Invalidate(Which::Coming)
            if state.request.is_none() =>
        {
            impossible(unless_behind(state), "only a request brings another copy")
        }
        CopyEvent::Forward(right, Which::Current) => forward(state, right),
        CopyEvent::Forward(right, Which::Coming) => early_forward(state, right),
        CopyEvent::Invalidate(Which::Current) => invalidate(state),
        CopyEvent::Invalidate(Which::Coming) => early_invalidate(state),
        CopyEvent::Grant(right, payload) => grant(state, right, payload),
    }
}

/// Why a state does not occur.
pub(super) fn absurd(state: CopyState) -> Option<&'static str> {
    let CopyState { content, request, is_held, puts_off } = state;
    match content {
        CopyContent::Fresh | CopyContent::Open(Right::Exclusive | Right::Modified)
            if request.is_some() =>
        {
            Some("who has the page alone asks for nothing")
        }
        CopyContent::Open(Right::Shared) if request == Some(Access::Read) => {
            Some("who may read does not ask to read")
        }
        CopyContent::Fresh if is_held => Some("a page is held from the time it is opened"),
        CopyContent::Invalid if is_held => Some("a page that is held stays open"),
        CopyContent::Open(Right::Shared) if puts_off && !is_held && request.is_some() => {
            Some("a demand about the copy to come follows the one that took this copy away")
        }
        _ if puts_off && !is_held && request.is_none() => {
            Some("demands are put off for a grant or a hold time")
        }
        _ => None,
    }
}

fn forward(state: CopyState, right: Right) -> Verdict {
    match (state.content, right) {
        (CopyContent::Fresh, Right::Shared) => {
            impossible(Answer::Fails, "a page never used is handed over whole")
        }
        (CopyContent::Fresh, _) => Verdict::Possible,
        (CopyContent::Invalid, _) => {
            impossible(unless_put_off(state), "the owner has a copy, or is about to get one")
        }
        (CopyContent::Open(Right::Shared), Right::Exclusive) => {
            impossible(Answer::GoesOn, "a page that others read does not move")
        }
        (CopyContent::Open(_), Right::Exclusive) if state.puts_off => impossible(
            Answer::GoesOn,
            "who has a demand put off shares the page, or is not the owner",
        ),
        (CopyContent::Open(Right::Shared), _) if state.is_held => {
            impossible(Answer::GoesOn, "an owner that shares its page has ended its hold time")
        }
        (CopyContent::Open(_), Right::Modified) if state.puts_off => impossible(
            Answer::GoesOn,
            "a writer waits for the acks of those whose forwards are put off",
        ),
        (CopyContent::Open(_), _) => Verdict::Possible,
    }
}

fn early_forward(state: CopyState, right: Right) -> Verdict {
    match (state.content, state.request, right) {
        (CopyContent::Invalid, Some(_), Right::Shared) => Verdict::Possible,
        (CopyContent::Invalid, Some(_), _) if !state.puts_off => Verdict::Possible,
        (CopyContent::Invalid, Some(_), Right::Modified) => impossible(
            Answer::GoesOn,
            "a writer waits for the acks of those whose forwards are put off",
        ),
        (CopyContent::Invalid, Some(_), Right::Exclusive) => impossible(
            Answer::GoesOn,
            "who has a demand put off shares the page, or is not the owner",
        ),
        (_, _, _) => impossible(Answer::GoesOn, THIS_COPY_FIRST),
    }
}

fn invalidate(state: CopyState) -> Verdict {
    match state.content {
        CopyContent::Open(Right::Shared) if !state.puts_off => Verdict::Possible,
        CopyContent::Open(Right::Shared) => {
            impossible(Answer::GoesOn, "a copy is invalidated once")
        }
        _ => impossible(unless_put_off(state), "only sharers are told to drop their copies"),
    }
}

fn early_invalidate(state: CopyState) -> Verdict {
    match (state.content, state.request) {
        (CopyContent::Invalid, Some(Access::Read)) if !state.puts_off => Verdict::Possible,
        (CopyContent::Invalid, Some(Access::Read)) => {
            impossible(Answer::GoesOn, "a copy is invalidated once")
        }
        (CopyContent::Invalid, _) => impossible(
            Answer::GoesOn,
            "a writer becomes a sharer by a forward, which it acts on first",
        ),
        (_, _) => impossible(Answer::GoesOn, THIS_COPY_FIRST),
    }
}

fn grant(state: CopyState, right: Right, payload: Payload) -> Verdict {
    let CopyState { content, request, puts_off, .. } = state;
    let Some(access) = request else {
        return impossible(Answer::Fails, "a grant answers a request under way");
    };
    if access == Access::Write && right != Right::Modified {
        return impossible(Answer::Fails, "a write request is answered by the right to write");
    }
    match (content, payload) {
        (CopyContent::Open(_), Payload::Held) if puts_off => impossible(
            Answer::Fails,
            "the home knows that the copy was to be dropped and sends another",
        ),
        (CopyContent::Open(_), Payload::Held) => Verdict::Possible,
        (CopyContent::Open(_), _) => {
            impossible(Answer::Fails, "content goes to ranks without a copy")
        }
        (_, Payload::Held) => impossible(Answer::Fails, "a right alone goes to ranks with a copy"),
        (_, Payload::Zero) if puts_off => {
            impossible(Answer::GoesOn, "a page never used comes from its home, in order")
        }
        (_, _) => match (access, right, payload) {
            (Access::Write, _, _)
            | (_, Right::Shared | Right::Exclusive, Payload::Attached)
            | (_, Right::Exclusive, Payload::Zero) => Verdict::Possible,
            (_, Right::Modified, _) => {
                impossible(Answer::GoesOn, "a read request is answered by the right to read")
            }
            (_, _, _) => impossible(Answer::GoesOn, "a page that was used has content"),
        },
    }
}

/// Demands behind others are not looked at yet.
fn unless_behind(state: CopyState) -> Answer {
    if state.puts_off { Answer::GoesOn } else { Answer::Fails }
}

/// Nor are those that wait for the hold time.
fn unless_put_off(state: CopyState) -> Answer {
    if state.is_held { Answer::GoesOn } else { unless_behind(state) }
}

const THIS_COPY_FIRST: &str =
    "a demand about the copy to come follows the one that took this copy away";
const RIGHTS: [Right; 3] = [Right::Shared, Right::Exclusive, Right::Modified];
