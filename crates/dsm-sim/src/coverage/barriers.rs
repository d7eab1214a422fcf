use super::{Answer, Verdict, impossible};
use dsm_core::{BarrierEvent, BarrierKind, BarrierSituation, BarrierState};

pub(super) fn all() -> impl Iterator<Item = BarrierSituation> {
    states().into_iter().flat_map(|state| {
        events(state).into_iter().map(move |event| BarrierSituation { state, event })
    })
}

pub(super) fn states() -> Vec<BarrierState> {
    let anywhere = [None, Some(BarrierKind::Program), Some(BarrierKind::Finalize)];
    let mut all = anywhere.map(BarrierState::Waits).to_vec();
    all.extend(anywhere.map(BarrierState::Arrived));
    all.push(BarrierState::NotCoordinator);
    all
}

pub(super) fn events(state: BarrierState) -> Vec<BarrierEvent> {
    let kinds = [BarrierKind::Program, BarrierKind::Finalize];
    let events: &[fn(BarrierKind) -> BarrierEvent] = match state {
        BarrierState::Waits(_) => &[BarrierEvent::Call, BarrierEvent::Release],
        BarrierState::Arrived(_) => {
            &[BarrierEvent::Arrive, BarrierEvent::LastArrives, BarrierEvent::StrayArrive]
        }
        BarrierState::NotCoordinator => &[BarrierEvent::Arrive, BarrierEvent::StrayArrive],
    };
    events.iter().flat_map(|event| kinds.map(event)).collect()
}

pub(super) fn verdict(BarrierSituation { state, event }: BarrierSituation) -> Verdict {
    match (state, event) {
        (BarrierState::NotCoordinator, _) => {
            impossible(Answer::Fails, "a rank arrives at the coordinator")
        }
        (_, BarrierEvent::StrayArrive(_)) => {
            impossible(Answer::Fails, "a rank arrives once, at the barrier that all passed to")
        }
        (BarrierState::Waits(None), BarrierEvent::Call(_)) => Verdict::Possible,
        (BarrierState::Waits(Some(waits)), BarrierEvent::Release(kind)) if waits == kind => {
            Verdict::Possible
        }
        (_, BarrierEvent::Release(_)) => {
            impossible(Answer::Fails, "the coordinator releases a barrier this rank waits at")
        }
        (_, BarrierEvent::Call(_)) => {
            impossible(Answer::GoesOn, "one thread a rank waits; another one's call is refused")
        }
        (_, _) => Verdict::Possible,
    }
}
