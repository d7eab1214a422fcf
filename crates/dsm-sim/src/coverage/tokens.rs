use super::{Answer, Verdict, impossible};
use dsm_core::{
    Access, CopyContent, Lent, Payload, Right, TokenEvent, TokenSituation, TokenState, Which,
};

pub(super) fn all() -> impl Iterator<Item = TokenSituation> {
    states()
        .into_iter()
        .flat_map(|state| events().into_iter().map(move |event| TokenSituation { state, event }))
}

pub(super) fn states() -> Vec<TokenState> {
    let open = RIGHTS.map(CopyContent::Open);
    let mut all = Vec::new();
    for content in [CopyContent::Fresh, CopyContent::Invalid].into_iter().chain(open) {
        for request in [None, Some(Access::Read), Some(Access::Write)] {
            for lent in [Lent::No, Lent::Withheld, Lent::Yes] {
                let state = |puts_off| TokenState { content, request, lent, puts_off };
                all.extend([false, true].map(state));
            }
        }
    }
    all
}

pub(super) fn events() -> Vec<TokenEvent> {
    let mut all = [Access::Read, Access::Write].map(TokenEvent::Acquire).to_vec();
    all.extend([Access::None, Access::Read].map(TokenEvent::Surrender));
    for copy in [Which::Earlier, Which::Current, Which::Coming] {
        all.extend(RIGHTS.map(|right| TokenEvent::Forward(right, copy)));
        all.push(TokenEvent::Invalidate(copy));
    }
    for right in RIGHTS {
        let payloads = [Payload::Attached, Payload::Zero, Payload::Held];
        all.extend(payloads.map(|payload| TokenEvent::Grant(right, payload)));
    }
    all
}

pub(super) fn verdict(TokenSituation { state, event }: TokenSituation) -> Verdict {
    if let Some(why) = absurd(state) {
        return impossible(Answer::Unasked, why);
    }
    match event {
        TokenEvent::Forward(_, Which::Earlier) | TokenEvent::Invalidate(Which::Earlier)
            if state.content == CopyContent::Fresh =>
        {
            impossible(Answer::Unasked, "no copy is earlier than the token's birth")
        }
        TokenEvent::Acquire(access) => acquire(state, access),
        TokenEvent::Surrender(keep) => surrender(state, keep),
        TokenEvent::Forward(_, Which::Earlier) | TokenEvent::Invalidate(Which::Earlier) => {
            impossible(unless_behind(state), "the home tells what it told last: the newest copy")
        }
        TokenEvent::Forward(_, Which::Coming) | TokenEvent::Invalidate(Which::Coming)
            if state.request.is_none() =>
        {
            impossible(unless_behind(state), "only a request brings another copy")
        }
        TokenEvent::Forward(right, Which::Current) => forward(state, right),
        TokenEvent::Forward(right, Which::Coming) => early_forward(state, right),
        TokenEvent::Invalidate(Which::Current) => invalidate(state),
        TokenEvent::Invalidate(Which::Coming) => early_invalidate(state),
        TokenEvent::Grant(right, payload) => grant(state, right, payload),
    }
}

fn acquire(state: TokenState, access: Access) -> Verdict {
    match (state.content, access) {
        _ if state.request.is_some() => Verdict::Idle { most: Answer::GoesOn },
        (CopyContent::Open(Right::Modified), _) | (CopyContent::Open(_), Access::Read) => {
            Verdict::Idle { most: Answer::Nothing }
        }
        (_, _) => Verdict::Possible,
    }
}

fn surrender(state: TokenState, keep: Access) -> Verdict {
    match state.lent {
        Lent::No | Lent::Withheld => {
            impossible(Answer::Unasked, "threads give up what they were lent")
        }
        Lent::Yes if state.puts_off => Verdict::Possible,
        // Recalled twice.
        Lent::Yes if keep == Access::Read => Verdict::Idle { most: Answer::GoesOn },
        Lent::Yes => impossible(Answer::GoesOn, "threads give a token up that another rank wants"),
    }
}

fn forward(state: TokenState, right: Right) -> Verdict {
    match (state.content, right) {
        (CopyContent::Fresh, Right::Shared) => {
            impossible(Answer::Fails, "a token never used is handed over whole")
        }
        (CopyContent::Fresh, _) => Verdict::Possible,
        (CopyContent::Invalid, _) => {
            impossible(unless_behind(state), "the owner has a token, or is about to get it")
        }
        (CopyContent::Open(_), Right::Exclusive) => {
            impossible(Answer::GoesOn, "only a token never used is granted to read alone")
        }
        (CopyContent::Open(_), Right::Modified) if state.puts_off => impossible(
            Answer::GoesOn,
            "a writer waits for the acks of those whose forwards are put off",
        ),
        (CopyContent::Open(Right::Shared), Right::Shared)
            if state.puts_off && state.lent == Lent::Yes =>
        {
            impossible(Answer::GoesOn, "readers give a token up to readers at once")
        }
        (CopyContent::Open(_), _) => Verdict::Possible,
    }
}

fn early_forward(state: TokenState, right: Right) -> Verdict {
    match (state.content, state.request, right) {
        (_, _, Right::Exclusive) => {
            impossible(Answer::GoesOn, "only a token never used is granted to read alone")
        }
        (CopyContent::Invalid, Some(Access::Write), Right::Modified) if state.puts_off => {
            impossible(
                Answer::GoesOn,
                "a writer waits for the acks of those whose forwards are put off",
            )
        }
        (CopyContent::Invalid, Some(Access::Write), _) => Verdict::Possible,
        (CopyContent::Invalid, _, _) => impossible(
            Answer::GoesOn,
            "a reader that is the owner got its token from the home, in order",
        ),
        (_, _, _) if state.puts_off => Verdict::Possible,
        (_, _, _) => impossible(Answer::GoesOn, THIS_COPY_FIRST),
    }
}

fn invalidate(state: TokenState) -> Verdict {
    match state.content {
        CopyContent::Open(Right::Shared) if !state.puts_off => Verdict::Possible,
        // Behind a forward to a reader.
        CopyContent::Open(Right::Shared) if state.lent == Lent::Withheld => Verdict::Possible,
        CopyContent::Open(Right::Shared) => {
            impossible(Answer::GoesOn, "a copy is invalidated once")
        }
        CopyContent::Open(_) => {
            impossible(Answer::GoesOn, "only sharers are told to drop their copies")
        }
        _ => impossible(unless_behind(state), "only sharers are told to drop their copies"),
    }
}

fn early_invalidate(state: TokenState) -> Verdict {
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

fn grant(state: TokenState, right: Right, payload: Payload) -> Verdict {
    let TokenState { content, request, puts_off, .. } = state;
    let Some(access) = request else {
        return impossible(Answer::Fails, "a grant answers a request under way");
    };
    if payload == Payload::Attached {
        return impossible(Answer::Fails, "a token has no content");
    }
    if access == Access::Write && right != Right::Modified {
        return impossible(Answer::Fails, "a write request is answered by the right to write");
    }
    match (content, payload) {
        (CopyContent::Open(_), Payload::Held) if puts_off => impossible(
            Answer::Fails,
            "the home knows that the copy was to be dropped and sends another",
        ),
        (CopyContent::Open(_), Payload::Held) => Verdict::Possible,
        (CopyContent::Open(_), _) => impossible(Answer::Fails, "a token goes to ranks without it"),
        (_, Payload::Held) => impossible(Answer::Fails, "a right alone goes to ranks with a token"),
        (_, _) => match (access, right) {
            (Access::Write, _) | (_, Right::Shared) => Verdict::Possible,
            (_, Right::Exclusive) if !puts_off => Verdict::Possible,
            (_, Right::Exclusive) => {
                impossible(Answer::GoesOn, "a token never used comes from its home, in order")
            }
            (_, Right::Modified) => {
                impossible(Answer::GoesOn, "a read request is answered by the right to read")
            }
        },
    }
}

/// Demands behind others are not looked at yet.
fn unless_behind(state: TokenState) -> Answer {
    if state.puts_off { Answer::GoesOn } else { Answer::Fails }
}

/// Why a state does not occur.
pub(super) fn absurd(state: TokenState) -> Option<&'static str> {
    let TokenState { content, request, lent, puts_off } = state;
    match content {
        CopyContent::Open(Right::Exclusive) => Some("nothing tells a clean token from one used"),
        CopyContent::Fresh | CopyContent::Open(Right::Modified) if request.is_some() => {
            Some("who has the token alone asks for nothing")
        }
        CopyContent::Open(Right::Shared) if request == Some(Access::Read) => {
            Some("who may read does not ask to read")
        }
        CopyContent::Open(_) if lent == Lent::No => Some("a token that is here is lent"),
        CopyContent::Fresh | CopyContent::Invalid if lent != Lent::No => {
            Some("a token that is lent is here")
        }
        CopyContent::Fresh | CopyContent::Invalid if puts_off && request.is_none() => {
            Some("demands are put off for a grant, or until the token is given up")
        }
        _ => None,
    }
}

const THIS_COPY_FIRST: &str =
    "a demand about the token to come follows the one that took this one away";
const RIGHTS: [Right; 3] = [Right::Shared, Right::Exclusive, Right::Modified];
