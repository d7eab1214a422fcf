use super::{Answer, Verdict, impossible};
use dsm_core::{Access, Asker, HomeEvent, HomeSituation, HomeState, Owner};

pub(super) fn all() -> impl Iterator<Item = HomeSituation> {
    let both = [false, true];
    let idle = [Owner::FreshHome, Owner::Home, Owner::Other].into_iter().flat_map(move |owner| {
        both.into_iter().map(move |others_share| HomeState::Idle { owner, others_share })
    });
    let transfers = both.into_iter().flat_map(move |more_acks| {
        both.into_iter().map(move |has_queue| HomeState::Transfer { more_acks, has_queue })
    });
    idle.chain(transfers).flat_map(|state| {
        events(state).into_iter().map(move |event| HomeSituation { state, event })
    })
}

/// What can be said to a home in this state; who asks depends on it.
pub(super) fn events(state: HomeState) -> Vec<HomeEvent> {
    let mut askers = vec![Asker::Owner, Asker::Sharer, Asker::Outsider];
    let mut all = vec![HomeEvent::StrayAck, HomeEvent::Unwritten, HomeEvent::StrayUnwritten];
    if let HomeState::Transfer { .. } = state {
        askers.extend([Asker::Writer, Asker::Waiting, Asker::Acking]);
        all.push(HomeEvent::Ack);
    }
    for access in [Access::Read, Access::Write] {
        all.extend(askers.iter().map(|asker| HomeEvent::Request(access, *asker)));
    }
    all
}

pub(super) fn verdict(HomeSituation { state, event }: HomeSituation) -> Verdict {
    match (state, event) {
        (HomeState::Idle { owner: Owner::FreshHome, others_share: true }, _) => {
            impossible(Answer::Unasked, "a page never used has no sharers")
        }
        // It comes at any time, however late.
        (
            HomeState::Idle { owner: Owner::FreshHome, .. } | HomeState::Transfer { .. },
            HomeEvent::Unwritten,
        ) => Verdict::Idle { most: Answer::Nothing },
        (_, HomeEvent::Unwritten) => Verdict::Possible,
        (_, HomeEvent::StrayUnwritten) => {
            impossible(Answer::Fails, "a copy that is given up was granted")
        }
        (_, HomeEvent::StrayAck) => impossible(Answer::Fails, "an ack answers an invalidation"),
        (_, HomeEvent::Ack) => Verdict::Possible,
        (HomeState::Idle { owner, others_share }, HomeEvent::Request(access, asker)) => {
            idle(owner, others_share, access, asker)
        }
        (HomeState::Transfer { has_queue, .. }, HomeEvent::Request(access, asker)) => {
            transfer(has_queue, access, asker)
        }
    }
}

fn idle(owner: Owner, others_share: bool, access: Access, asker: Asker) -> Verdict {
    match (asker, access, owner) {
        (Asker::Outsider, _, _) => Verdict::Possible,
        (Asker::Sharer, _, Owner::FreshHome) => {
            impossible(Answer::Unasked, "a page never used has no sharers")
        }
        (_, Access::Read, _) => impossible(Answer::Fails, "who may read does not ask to read"),
        (Asker::Sharer, _, _) => Verdict::Possible,
        (_, _, Owner::FreshHome) => {
            impossible(Answer::Fails, "the home uses its unused page without asking")
        }
        (_, _, _) if !others_share => {
            impossible(Answer::GoesOn, "an owner without sharers may write, or is about to be told")
        }
        (_, _, _) => Verdict::Possible,
    }
}

fn transfer(has_queue: bool, access: Access, asker: Asker) -> Verdict {
    match (asker, access) {
        (Asker::Writer, _) => impossible(Answer::Fails, "a rank asks for a page once at a time"),
        (Asker::Waiting, _) if !has_queue => impossible(Answer::Unasked, "nobody waits"),
        (Asker::Waiting, _) => impossible(Answer::Fails, "a rank asks for a page once at a time"),
        (Asker::Sharer, _) => {
            impossible(Answer::Unasked, "during a transfer every sharer is told to drop its copy")
        }
        (Asker::Owner, Access::Read) => {
            impossible(Answer::GoesOn, "who may read does not ask to read")
        }
        (Asker::Acking, Access::Read) => {
            impossible(Answer::GoesOn, "its ack comes before its next request, in order")
        }
        (_, _) => Verdict::Possible,
    }
}
