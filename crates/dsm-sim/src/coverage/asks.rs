use super::{Answer, Verdict, impossible};
use dsm_core::{
    Access, CallEvent, CallSituation, CallState, CondEvent, CondSituation, CopyContent, Few,
    GatheringEvent, GatheringSituation, OperationPlace, OperationSituation, ReclaimSituation,
    Right, RunEvent, RunSituation, SemaphoreEvent, SemaphoreSituation, SemaphoreValue, Situation,
};

/// Everything but pages, tokens and the barrier of all ranks.
pub(super) fn all() -> Vec<Situation> {
    let mut all: Vec<_> = conds().into_iter().map(Situation::Cond).collect();
    all.extend(semaphores().into_iter().map(Situation::Semaphore));
    all.extend(gatherings().into_iter().map(Situation::Gathering));
    all.extend(runs().into_iter().map(Situation::Run));
    all.extend(calls().into_iter().map(Situation::Call));
    all.extend(operations().into_iter().map(Situation::Operation));
    all.extend(RECLAIMS.map(Situation::Reclaim));
    all.push(Situation::Misdirected);
    all
}

pub(super) fn verdict(situation: Situation) -> Verdict {
    match situation {
        Situation::Cond(it) => cond(it),
        Situation::Semaphore(it) => semaphore(it),
        Situation::Gathering(it) => gathering(it),
        Situation::Run(it) => run(it),
        Situation::Call(it) => call(it),
        Situation::Operation(it) => operation(it),
        Situation::Reclaim(ReclaimSituation::Wrong) => {
            impossible(Answer::Fails, "the coordinator reclaims each run of the heap once")
        }
        Situation::Misdirected => impossible(Answer::Fails, "a rank asks who serves the object"),
        _ => Verdict::Possible,
    }
}

fn conds() -> Vec<CondSituation> {
    let events = [
        CondEvent::Wait,
        CondEvent::Leave,
        CondEvent::LeaveWoken,
        CondEvent::Signal,
        CondEvent::Broadcast,
        CondEvent::Destroy,
    ];
    let with = |waiting| events.map(|event| CondSituation { waiting, event });
    FEW.into_iter().flat_map(with).collect()
}

fn cond(CondSituation { waiting, event }: CondSituation) -> Verdict {
    match (waiting, event) {
        (Few::Zero, CondEvent::Leave) => impossible(Answer::Unasked, "nobody is in the queue"),
        _ => Verdict::Possible,
    }
}

fn semaphores() -> Vec<SemaphoreSituation> {
    let events = [
        SemaphoreEvent::Wait,
        SemaphoreEvent::Try,
        SemaphoreEvent::Post,
        SemaphoreEvent::Init,
        SemaphoreEvent::Destroy,
    ];
    let mut all = Vec::new();
    for value in [SemaphoreValue::Zero, SemaphoreValue::Some, SemaphoreValue::Highest] {
        for waiting in FEW {
            all.extend(events.map(|event| SemaphoreSituation { value, waiting, event }));
        }
    }
    all
}

fn semaphore(SemaphoreSituation { value, waiting, .. }: SemaphoreSituation) -> Verdict {
    match (value, waiting) {
        (SemaphoreValue::Some | SemaphoreValue::Highest, Few::One | Few::More) => {
            impossible(Answer::Unasked, "nobody waits where there is something to take")
        }
        _ => Verdict::Possible,
    }
}

fn gatherings() -> Vec<GatheringSituation> {
    let events = [GatheringEvent::Comes, GatheringEvent::ComesLast, GatheringEvent::Differs];
    let with = |waiting| events.map(|event| GatheringSituation { waiting, event });
    FEW.into_iter().flat_map(with).collect()
}

fn gathering(GatheringSituation { waiting, event }: GatheringSituation) -> Verdict {
    match (waiting, event) {
        (Few::Zero, GatheringEvent::Differs) => {
            impossible(Answer::Unasked, "nobody has named a count")
        }
        _ => Verdict::Possible,
    }
}

fn runs() -> Vec<RunSituation> {
    let events = [
        RunEvent::Take,
        RunEvent::TakeTooLong,
        RunEvent::Give,
        RunEvent::GiveNothing,
        RunEvent::Owner,
        RunEvent::OwnerOfNothing,
        RunEvent::Reclaimed,
        RunEvent::ReclaimedLast,
        RunEvent::ReclaimedStray,
    ];
    let mut all = Vec::new();
    for reclaimed in FEW {
        for has_waiting in [false, true] {
            all.extend(events.map(|event| RunSituation { reclaimed, has_waiting, event }));
        }
    }
    all
}

fn run(RunSituation { reclaimed, has_waiting, event }: RunSituation) -> Verdict {
    match (reclaimed, event) {
        (Few::Zero, _) if has_waiting => {
            impossible(Answer::Unasked, "who waits does so for a run that is made zero")
        }
        (_, RunEvent::ReclaimedStray) => {
            impossible(Answer::Fails, "a rank says once that its pages of a run are zero")
        }
        (Few::Zero, RunEvent::Reclaimed | RunEvent::ReclaimedLast) => {
            impossible(Answer::Unasked, "no run is being made zero")
        }
        (_, RunEvent::GiveNothing) => impossible(Answer::GoesOn, "who gives a run back has it"),
        _ => Verdict::Possible,
    }
}

fn calls() -> Vec<CallSituation> {
    let states = [
        CallState::Nothing,
        CallState::Single,
        CallState::Queueing,
        CallState::Waiting,
        CallState::Leaving,
        CallState::Probing { told: false },
        CallState::Probing { told: true },
        CallState::ProbingLast { told: false },
        CallState::ProbingLast { told: true },
    ];
    let with =
        |state| calls_events(state).into_iter().map(move |event| CallSituation { state, event });
    states.into_iter().flat_map(with).collect()
}

fn calls_events(state: CallState) -> Vec<CallEvent> {
    let mut events = match state {
        CallState::Single => vec![CallEvent::Fitting],
        _ => vec![CallEvent::Queued, CallEvent::Woken, CallEvent::Done, CallEvent::Held],
    };
    events.push(CallEvent::Unfit);
    if state != CallState::Nothing {
        events.push(CallEvent::FromStranger);
    }
    events
}

fn call(CallSituation { state, event }: CallSituation) -> Verdict {
    match (state, event) {
        (CallState::Single, CallEvent::Fitting)
        | (CallState::Queueing, CallEvent::Queued)
        | (CallState::Waiting, CallEvent::Woken)
        | (CallState::Leaving, CallEvent::Done | CallEvent::Woken)
        | (
            CallState::Probing { .. } | CallState::ProbingLast { .. },
            CallEvent::Done | CallEvent::Held,
        ) => Verdict::Possible,
        (CallState::Nothing, _) => {
            impossible(Answer::Fails, "an answer belongs to a call under way")
        }
        (_, CallEvent::FromStranger) => {
            impossible(Answer::Fails, "those answer that were asked, once each")
        }
        _ => impossible(Answer::Fails, "an answer fits what was asked"),
    }
}

fn operations() -> Vec<OperationSituation> {
    let contents = [CopyContent::Fresh, CopyContent::Invalid]
        .into_iter()
        .chain([Right::Shared, Right::Exclusive, Right::Modified].map(CopyContent::Open));
    let mut all = Vec::new();
    for content in contents {
        for request in [None, Some(Access::Read), Some(Access::Write)] {
            all.extend(PLACES.map(|place| OperationSituation { place, content, request }));
        }
    }
    all
}

fn operation(it: OperationSituation) -> Verdict {
    let OperationSituation { place, content, request } = it;
    match (place, content) {
        (_, _) if request.is_some() && it.is_alone() => {
            impossible(Answer::Unasked, "who has the page alone asks for nothing")
        }
        (_, CopyContent::Open(Right::Shared)) if request == Some(Access::Read) => {
            impossible(Answer::Unasked, "who may read does not ask to read")
        }
        (OperationPlace::HomeOfAskers | OperationPlace::Home, CopyContent::Fresh) => {
            impossible(Answer::GoesOn, "what another rank owns was used")
        }
        (OperationPlace::Owner, CopyContent::Fresh) => {
            impossible(Answer::Unasked, "only its home has a page that was never used")
        }
        (OperationPlace::HomeAndOwner, CopyContent::Invalid) if request.is_none() => {
            impossible(Answer::Unasked, "an owner without the page is about to get it")
        }
        (OperationPlace::Owner, CopyContent::Invalid) if request.is_none() => {
            impossible(Answer::GoesOn, "the home hears of a new owner before it asks the old one")
        }
        (OperationPlace::Stranger, _) => impossible(
            Answer::Fails,
            "an operation goes from its asker to the home, and from there",
        ),
        _ => Verdict::Possible,
    }
}

const FEW: [Few; 3] = [Few::Zero, Few::One, Few::More];
const PLACES: [OperationPlace; 5] = [
    OperationPlace::HomeAndOwner,
    OperationPlace::HomeOfAskers,
    OperationPlace::Home,
    OperationPlace::Owner,
    OperationPlace::Stranger,
];
const RECLAIMS: [ReclaimSituation; 4] = [
    ReclaimSituation::Unused,
    ReclaimSituation::AllHere,
    ReclaimSituation::SomeElsewhere,
    ReclaimSituation::Wrong,
];
