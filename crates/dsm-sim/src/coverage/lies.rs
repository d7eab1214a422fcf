use super::{Answer, answer_to};
use dsm_core::{
    Access, BarrierKind, Call, CallId, Engine, Epoch, Input, Message, PageId, Payload, Rank, Right,
    Situation,
};

/// Says everything to an engine that a driver or a peer could, and tells how it answers.
pub(super) fn tell(engine: &Engine, mut tell: impl FnMut(Situation, Answer)) {
    let mut ask = |input: Input| {
        if let Some(situation) = engine.situation(&input) {
            tell(situation, answer_to(engine, input));
        }
    };
    for kind in KINDS {
        ask(Input::Call { id: CallId(9), call: Call::Barrier(kind) });
        for epoch in (0..4).map(Epoch) {
            for from in RANKS.map(Rank) {
                ask(Input::Message { from, message: Message::BarrierArrive { kind, epoch } });
            }
            let message = Message::BarrierRelease { kind, epoch };
            ask(Input::Message { from: Rank(0), message });
        }
    }
    for page in PAGES.map(PageId) {
        let home = engine.home(page);
        ask(Input::HoldOver { page });
        for access in RIGHTS_OF_ACCESS {
            ask(Input::Fault { page, access });
        }
        for epoch in epochs(engine.copy_epoch(page)) {
            for message in messages(page, epoch) {
                match message {
                    Message::Request { .. } | Message::Ack { .. } => {
                        for from in RANKS.map(Rank) {
                            ask(Input::Message { from, message });
                        }
                    }
                    _ => ask(Input::Message { from: home, message }),
                }
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
const PAGES: [u64; 4] = [0, 1, 2, 3];
