use super::{Answer, Coverage, Verdict, all, barriers, copies, homes};
use dsm_core::{
    Access, BarrierEvent, BarrierSituation, BarrierState, BelowArrived, CopyContent, CopyEvent,
    CopySituation, CopyState, HomeEvent, HomeSituation, HomeState, Right, Situation, Which,
};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

impl fmt::Display for Coverage {
    /// A line a situation, state by state: how often it occurred, or why it cannot and what is answered then.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Copies: what a rank has of a page, and what reaches it")?;
        let absurd = copies::states().filter(|state| copies::absurd(*state).is_some());
        for state in copies::states().filter(|state| copies::absurd(*state).is_none()) {
            let situation = |event| Situation::Copy(CopySituation { state, event });
            let events = copies::events().into_iter().map(|e| (say_event(e), situation(e)));
            self.write_state(f, &say_state(state), events)?;
        }
        writeln!(f, "\nStates of a copy that do not occur:")?;
        let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for state in absurd {
            let why = copies::absurd(state).unwrap_or_default();
            reasons.entry(why).or_default().push(say_state(state));
        }
        for (why, states) in reasons {
            writeln!(f, "  {why}: {}", states.join("; "))?;
        }
        writeln!(f, "\nHomes: a directory entry, and what is said to it")?;
        for state in homes_states() {
            let situation = |event| Situation::Home(HomeSituation { state, event });
            let events =
                homes::events(state).into_iter().map(|e| (say_home_event(e), situation(e)));
            self.write_state(f, &say_home(state), events)?;
        }
        writeln!(f, "\nBarriers: what a rank knows, and what reaches it")?;
        for state in barriers::states() {
            let situation = |event| Situation::Barrier(BarrierSituation { state, event });
            let events = barriers::events(state).into_iter();
            let events = events.map(|e| (say_barrier_event(e), situation(e)));
            self.write_state(f, &say_barrier(state), events)?;
        }
        let (can, did) = self.figures();
        let cannot = all().count() - can;
        write!(f, "\n{did} of {can} situations that can occur did; {cannot} cannot")
    }
}

impl Coverage {
    fn write_state(
        &self,
        f: &mut fmt::Formatter<'_>,
        state: &str,
        events: impl Iterator<Item = (String, Situation)>,
    ) -> fmt::Result {
        writeln!(f, "\n  {state}")?;
        let verdicts: BTreeMap<Situation, Verdict> = all().collect();
        let mut cannot: BTreeMap<(&str, Answer), Vec<String>> = BTreeMap::new();
        let mut can = String::new();
        for (event, situation) in events {
            let times = self.seen.get(&situation).map_or(0, |seen| seen.times);
            match verdicts[&situation] {
                Verdict::Impossible { why, answer } if times == 0 => {
                    cannot.entry((why, answer)).or_default().push(event);
                }
                Verdict::Impossible { why, .. } => {
                    writeln!(can, "    {event:32} {times:10}  WRONG: {why}")?;
                }
                Verdict::Idle { .. } => writeln!(can, "    {event:32} {times:10}  without effect")?,
                Verdict::Possible if times == 0 => writeln!(can, "    {event:32}      NEVER")?,
                Verdict::Possible => writeln!(can, "    {event:32} {times:10}")?,
            }
        }
        f.write_str(&can)?;
        for ((why, answer), events) in cannot {
            let answer = match answer {
                Answer::Fails => "ends the job",
                Answer::Nothing => "does nothing",
                Answer::GoesOn => "goes on",
                Answer::Unasked => "no such state",
            };
            writeln!(f, "    never: {why} [{answer}]: {}", events.join(", "))?;
        }
        Ok(())
    }
}

fn homes_states() -> Vec<HomeState> {
    let mut states: Vec<_> = homes::all().map(|situation| situation.state).collect();
    states.dedup();
    states
}

fn say_state(state: CopyState) -> String {
    let CopyState { content, request, is_held, puts_off } = state;
    let mut text = match content {
        CopyContent::Fresh => "fresh",
        CopyContent::Invalid => "invalid",
        CopyContent::Open(right) => say_right(right),
    }
    .to_owned();
    if let Some(access) = request {
        let _ = write!(text, ", {} requested", say_access(access));
    }
    text.push_str(if is_held { ", held" } else { "" });
    text.push_str(if puts_off { ", demands put off" } else { "" });
    text
}

fn say_event(event: CopyEvent) -> String {
    let copy = |which| match which {
        Which::Earlier => "an earlier copy",
        Which::Current => "this copy",
        Which::Coming => "a copy to come",
    };
    match event {
        CopyEvent::Fault(access) => format!("{} fault", say_access(access)),
        CopyEvent::HoldOver => "hold time over".to_owned(),
        CopyEvent::Forward(right, which) => {
            format!("forward {} of {}", say_right(right), copy(which))
        }
        CopyEvent::Invalidate(which) => format!("invalidate {}", copy(which)),
        CopyEvent::Grant(right, payload) => {
            format!("grant {} {}", say_right(right), format!("{payload:?}").to_lowercase())
        }
    }
}

fn say_home(state: HomeState) -> String {
    match state {
        HomeState::Idle { owner, others_share } => {
            let others = if others_share { ", others share" } else { "" };
            format!("owner {owner:?}{others}")
        }
        HomeState::Transfer { more_acks, has_queue } => {
            let acks = if more_acks { "several acks" } else { "the last ack" };
            format!(
                "a writer waits for {acks}{}",
                if has_queue { ", others behind it" } else { "" }
            )
        }
    }
}

fn say_home_event(event: HomeEvent) -> String {
    match event {
        HomeEvent::Request(access, asker) => {
            format!("{} request, {}", say_access(access), format!("{asker:?}").to_lowercase())
        }
        HomeEvent::Ack => "awaited ack".to_owned(),
        HomeEvent::StrayAck => "other ack".to_owned(),
        HomeEvent::Unwritten => "given up unwritten".to_owned(),
        HomeEvent::StrayUnwritten => "a copy never granted is given up".to_owned(),
    }
}

fn say_barrier(state: BarrierState) -> String {
    match state {
        BarrierState::Waits(None) => "waits at none".to_owned(),
        BarrierState::Waits(Some(kind)) => format!("waits at {kind:?}"),
        BarrierState::Told(None) => "told who leaves, waits at none".to_owned(),
        BarrierState::Told(Some(kind)) => format!("told who leaves, waits at {kind:?}"),
        BarrierState::Between(BelowArrived::None) => "another rank, nobody arrived".to_owned(),
        BarrierState::Between(BelowArrived::Some) => "another rank, some arrived".to_owned(),
        BarrierState::Arrived(None) => "coordinator, nobody arrived".to_owned(),
        BarrierState::Arrived(Some(kind)) => format!("coordinator, some arrived at {kind:?}"),
        BarrierState::NotThere => "another rank than the sender's".to_owned(),
    }
}

fn say_barrier_event(event: BarrierEvent) -> String {
    match event {
        BarrierEvent::Call(kind) => format!("call {kind:?}"),
        BarrierEvent::Arrive(kind) => format!("a rank arrives at {kind:?}"),
        BarrierEvent::LastArrives(kind) => format!("the last arrives at {kind:?}"),
        BarrierEvent::StrayArrive(kind) => format!("stray arrival at {kind:?}"),
        BarrierEvent::Release(kind) => format!("release of {kind:?}"),
        BarrierEvent::StrayRelease(kind) => format!("stray release of {kind:?}"),
        BarrierEvent::Leaving => "a rank leaves".to_owned(),
        BarrierEvent::LeavingNext => "a rank leaves at the next".to_owned(),
        BarrierEvent::StrayLeaving => "stray news of who leaves".to_owned(),
    }
}

fn say_right(right: Right) -> &'static str {
    match right {
        Right::Shared => "shared",
        Right::Exclusive => "exclusive",
        Right::Modified => "modified",
    }
}

fn say_access(access: Access) -> &'static str {
    match access {
        Access::None => "no",
        Access::Read => "read",
        Access::Write => "write",
    }
}
