use super::{Answer, Verdict, impossible};
use dsm_core::BarrierKind::{Finalize, Program};
use dsm_core::{BarrierEvent, BarrierKind, BarrierSituation, BarrierState, BelowArrived};

pub(super) fn all() -> impl Iterator<Item = BarrierSituation> {
    states().into_iter().flat_map(|state| {
        events(state).into_iter().map(move |event| BarrierSituation { state, event })
    })
}

pub(super) fn states() -> Vec<BarrierState> {
    let anywhere = [None, Some(Program), Some(Finalize)];
    let mut all = anywhere.map(BarrierState::Waits).to_vec();
    all.extend(anywhere.map(BarrierState::Told));
    all.extend(anywhere.map(BarrierState::Arrived));
    all.extend([BelowArrived::None, BelowArrived::Some].map(BarrierState::Between));
    all.push(BarrierState::NotThere);
    all
}

pub(super) fn events(state: BarrierState) -> Vec<BarrierEvent> {
    let arrivals = [BarrierEvent::Arrive, BarrierEvent::LastArrives, BarrierEvent::StrayArrive];
    let of_both = |events: &[fn(BarrierKind) -> BarrierEvent]| {
        events.iter().flat_map(|event| [Program, Finalize].map(event)).collect::<Vec<_>>()
    };
    match state {
        BarrierState::Waits(_) | BarrierState::Told(_) => {
            let mut events =
                of_both(&[BarrierEvent::Call, BarrierEvent::Release, BarrierEvent::StrayRelease]);
            events.extend([BarrierEvent::Leaving, BarrierEvent::StrayLeaving]);
            let is_told = matches!(state, BarrierState::Told(_));
            events.extend((!is_told).then_some(BarrierEvent::LeavingNext));
            events
        }
        BarrierState::Arrived(_) => of_both(&arrivals),
        BarrierState::Between(_) => arrivals.map(|event| event(Program)).to_vec(),
        BarrierState::NotThere => of_both(&[BarrierEvent::Arrive, BarrierEvent::StrayArrive]),
    }
}

pub(super) fn verdict(BarrierSituation { state, event }: BarrierSituation) -> Verdict {
    match (state, event) {
        (BarrierState::Told(Some(Program)), _) => {
            impossible(Answer::Unasked, "a rank that is told so has ended the job")
        }
        (BarrierState::Waits(_) | BarrierState::Told(_), event) => at_a_rank(state, event),
        (BarrierState::NotThere, _) => impossible(
            Answer::Fails,
            "a rank arrives at the one above it, and leaves at the coordinator",
        ),
        (_, BarrierEvent::StrayArrive(_)) => {
            impossible(Answer::Fails, "a rank arrives once, at the barrier that all passed to")
        }
        (_, _) => Verdict::Possible,
    }
}

fn at_a_rank(state: BarrierState, event: BarrierEvent) -> Verdict {
    let (waits, is_told) = match state {
        BarrierState::Told(waits) => (waits, true),
        BarrierState::Waits(waits) => (waits, false),
        _ => unreachable!("arrivals have states of their own"),
    };
    match event {
        BarrierEvent::Call(_) if waits.is_none() => Verdict::Possible,
        BarrierEvent::Call(_) => {
            impossible(Answer::GoesOn, "one thread a rank waits; another one's call is refused")
        }
        BarrierEvent::Release(kind) if waits == Some(kind) => Verdict::Possible,
        BarrierEvent::Release(_) | BarrierEvent::StrayRelease(_) => {
            let why = "a rank is released where it arrived, from a barrier that it waits at";
            impossible(Answer::Fails, why)
        }
        BarrierEvent::Leaving if !is_told => Verdict::Possible,
        BarrierEvent::LeavingNext if waits == Some(Program) => Verdict::Possible,
        _ => {
            let why = "the coordinator tells once who leaves first, and all passed to the same";
            impossible(Answer::Fails, why)
        }
    }
}
