use super::answer_to;
use dsm_core::{
    Access, Answer, Ask, BarrierKind, Call, CallId, Engine, Epoch, Input, Lent, Message, ObjectId,
    PageId, Payload, Rank, Right, Situation, TokenEvent, TokenSituation, TokenState,
};

/// Says everything to an engine that a driver or a peer could, and tells how it answers.
pub(super) fn tell(engine: &Engine, mut tell: impl FnMut(Situation, super::Answer)) {
    let mut ask = |input: Input| {
        let Some(situation) = engine.situation(&input) else { return };
        let own = match input {
            Input::Message { from, message: Message::Ask { asker, .. } } => {
                from == engine.rank() && asker != from
            }
            _ => false,
        };
        let is_lent = !matches!(
            situation,
            Situation::Token(TokenSituation {
                state: TokenState { lent: Lent::No | Lent::Withheld, .. },
                event: TokenEvent::Surrender(_),
            })
        );
        // A rank does not lie to itself, and threads do not give up what they were not lent.
        if !own && is_lent {
            tell(situation, answer_to(engine, input));
        }
    };
    for kind in KINDS {
        ask(Input::Call { id: CallId(9), call: Call::Barrier(kind) });
        for epoch in (0..4).map(Epoch) {
            for from in RANKS.map(Rank) {
                ask(Input::Message { from, message: Message::BarrierArrive { kind, epoch } });
            }
            for from in RANKS.map(Rank) {
                ask(Input::Message { from, message: Message::BarrierRelease { kind, epoch } });
            }
        }
    }
    for (rank, epoch) in RANKS.into_iter().flat_map(|rank| (0..4).map(move |epoch| (rank, epoch))) {
        let message = Message::Leaving { rank: Rank(rank), epoch: Epoch(epoch) };
        for from in RANKS.map(Rank) {
            ask(Input::Message { from, message });
        }
    }
    let space = *engine.space();
    for page in (0..space.pages.min(MOST_PAGES)).map(PageId) {
        ask(Input::HoldOver { page });
        for access in RIGHTS_OF_ACCESS {
            ask(Input::Fault { page, access });
        }
        demand(engine, page, &mut ask);
        claim(page, &mut ask);
    }
    for object in (0..space.words().min(MOST_PAGES)).map(ObjectId) {
        for access in RIGHTS_OF_ACCESS {
            ask(Input::Call { id: CallId(9), call: Call::Acquire { object, access } });
        }
        for keep in [Access::None, Access::Read] {
            ask(Input::Call { id: CallId(9), call: Call::Surrender { object, keep } });
        }
        demand(engine, space.token(object), &mut ask);
        question(object, &mut ask);
    }
    answer(&mut ask);
}

/// What can be said about a page or token.
fn demand(engine: &Engine, page: PageId, ask: &mut impl FnMut(Input)) {
    let home = engine.home(page);
    for epoch in epochs(engine.copy_epoch(page)) {
        for message in messages(page, epoch) {
            match message {
                Message::Request { .. } | Message::Ack { .. } | Message::Unwritten { .. } => {
                    for from in RANKS.map(Rank) {
                        ask(Input::Message { from, message });
                    }
                }
                _ => {
                    if let Some(from) = home {
                        ask(Input::Message { from, message });
                    }
                }
            }
        }
    }
}

/// What can be said about the home of a page, by whomever.
fn claim(page: PageId, ask: &mut impl FnMut(Input)) {
    for from in RANKS.map(Rank) {
        ask(Input::Message { from, message: Message::Claim { page } });
        for home in RANKS.map(Rank) {
            ask(Input::Message { from, message: Message::Home { page, home } });
        }
    }
}

/// What can be asked about an object, and said about its page, by and for whomever.
fn question(object: ObjectId, ask: &mut impl FnMut(Input)) {
    let (id, first) = (CallId(0), PageId(object.0));
    for from in RANKS.map(Rank) {
        for asker in RANKS.map(Rank) {
            for wanted in ASKS {
                let message = Message::Ask { asker, id, object, ask: wanted };
                ask(Input::Message { from, message });
            }
        }
        ask(Input::Message { from, message: Message::Reclaim { first, pages: 1 } });
        ask(Input::Message { from, message: Message::Reclaimed { first } });
    }
}

/// What can be answered to any call.
fn answer(ask: &mut impl FnMut(Input)) {
    for id in (0..MOST_CALLS).map(CallId) {
        for from in RANKS.map(Rank) {
            for answer in ANSWERS {
                ask(Input::Message { from, message: Message::Answer { id, answer } });
            }
        }
    }
}

/// The epoch of a copy and those around it.
fn epochs(copy: Epoch) -> impl Iterator<Item = Epoch> {
    (copy.0.saturating_sub(2)..copy.0 + 3).map(Epoch)
}

fn messages(page: PageId, have: Epoch) -> Vec<Message> {
    let epoch = Epoch(have.0 + 1);
    let mut all = vec![Message::Invalidate { page, have }, Message::Ack { page, epoch: have }];
    all.push(Message::Unwritten { page, epoch });
    all.extend(RIGHTS_OF_ACCESS.map(|access| Message::Request { page, access }));
    for right in [Right::Shared, Right::Exclusive, Right::Modified] {
        all.extend(RANKS.map(Rank).map(|to| Message::Forward { page, right, to, epoch, have }));
        let payloads = [Payload::Attached, Payload::Zero, Payload::Held];
        all.extend(payloads.map(|payload| Message::Grant { page, right, epoch, payload }));
    }
    all
}

const RIGHTS_OF_ACCESS: [Access; 2] = [Access::Read, Access::Write];
const KINDS: [BarrierKind; 2] = [BarrierKind::Program, BarrierKind::Finalize];
/// As many as the worlds have at most; engines of smaller ones refuse what they do not know.
const RANKS: [u16; 5] = [0, 1, 2, 3, 4];
const MOST_PAGES: u64 = 4;
const MOST_CALLS: u64 = 8;
const ASKS: [Ask; 5] = [
    Ask::CondSignal,
    Ask::Add { value: 1 },
    Ask::RunTake { pages: 1 },
    Ask::RunGive,
    Ask::Inspect { access: Access::Write },
];
const ANSWERS: [Answer; 6] = [
    Answer::Done,
    Answer::Queued,
    Answer::Woken,
    Answer::Held { rank: Rank(0), thread: 0, waits_for: None },
    Answer::Value(0),
    Answer::Owner(Rank(0)),
];
