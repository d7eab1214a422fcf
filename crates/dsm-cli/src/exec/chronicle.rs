//! What is known of each rank of a job, as it happened: for the report. It knows no clock of its own.

use crate::signal_name::SignalName;
use dsm_net::launch::{Counts, Ending, Status};
use serde::Serialize;
use std::time::Instant;

/// What has happened to the ranks of one job so far.
#[derive(Debug)]
pub(crate) struct Chronicle {
    began_at: Instant,
    /// Since when the ranks are told to end.
    ended_from: Option<Instant>,
    ranks: Vec<RankStory>,
}

/// One rank, as a report has it. The names of the fields are documented in dsmexec(1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RankStory {
    rank: u16,
    host: String,
    pid: Option<u32>,
    end: End,
    exit_code: Option<i32>,
    signal: Option<String>,
    started_ms: Option<u64>,
    ended_ms: Option<u64>,
    fault_engine: Option<String>,
    stats: Option<Counts>,
    /// How many of its connections to other ranks were reset and went on.
    resumed: u64,
}

/// How a rank came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    NotStarted,
    /// Nothing was heard of it any more.
    Lost,
    /// By itself.
    Exited,
    /// By a signal that was not dsmexec's.
    Killed,
    /// After dsmexec had told it to end.
    EndedByDsmexec,
}

impl Chronicle {
    pub(crate) fn new(hosts: impl IntoIterator<Item = String>, began_at: Instant) -> Self {
        let story = |(rank, host)| RankStory {
            rank,
            host,
            pid: None,
            end: End::NotStarted,
            exit_code: None,
            signal: None,
            started_ms: None,
            ended_ms: None,
            fault_engine: None,
            stats: None,
            resumed: 0,
        };
        Self { began_at, ended_from: None, ranks: (0..).zip(hosts).map(story).collect() }
    }

    /// The rank's program runs. What nothing more is heard of is lost.
    pub(crate) fn on_started(&mut self, rank: u16, pid: Option<u32>, now: Instant) {
        let at = self.ms_until(now);
        let story = self.story(rank);
        story.pid = pid;
        story.end = End::Lost;
        story.started_ms = Some(at);
    }

    pub(crate) fn on_status(&mut self, rank: u16, status: &Status) {
        if let Status::Resumed { rank: peer, .. } = status {
            let both = [rank, *peer].map(usize::from);
            for (_, story) in self.ranks.iter_mut().enumerate().filter(|(it, _)| both.contains(it))
            {
                story.resumed += 1;
            }
        }
        let story = self.story(rank);
        match status {
            Status::Joined { fault_engine } => story.fault_engine = Some(fault_engine.clone()),
            Status::Stats(counts) => story.stats = Some(*counts),
            _ => (),
        }
    }

    /// The ranks that are left are told to end.
    pub(crate) fn on_end_ordered(&mut self, now: Instant) {
        self.ended_from.get_or_insert(now);
    }

    pub(crate) fn on_ended(&mut self, rank: u16, ending: Ending, now: Instant) {
        let (at, is_ordered) = (self.ms_until(now), self.ended_from.is_some());
        let story = self.story(rank);
        if story.ended_ms.is_some() {
            return;
        }
        story.ended_ms = Some(at);
        story.end = match ending {
            _ if is_ordered => End::EndedByDsmexec,
            Ending::Code(_) => End::Exited,
            Ending::Signal(_) => End::Killed,
        };
        match ending {
            Ending::Code(code) => story.exit_code = Some(code),
            Ending::Signal(signal) => story.signal = Some(SignalName(signal).alone()),
        }
    }

    /// Nothing more will be heard of the rank.
    pub(crate) fn on_lost(&mut self, rank: u16, now: Instant) {
        let at = self.ms_until(now);
        let story = self.story(rank);
        if story.end == End::Lost {
            story.ended_ms.get_or_insert(at);
        }
    }

    pub(crate) fn ranks(&self) -> &[RankStory] {
        &self.ranks
    }

    fn ms_until(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began_at).as_millis()).unwrap_or(u64::MAX)
    }

    fn story(&mut self, rank: u16) -> &mut RankStory {
        &mut self.ranks[usize::from(rank)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_rank_is_told_of_by_what_happened_to_it_first() {
        let began_at = Instant::now();
        let after = |ms| began_at + Duration::from_millis(ms);
        let hosts = ["a", "b", "c", "d", "e"].map(String::from);
        let mut chronicle = Chronicle::new(hosts, began_at);
        for rank in 0..4 {
            chronicle.on_started(rank, Some(100), after(10));
        }
        chronicle.on_lost(0, after(20));
        chronicle.on_ended(1, Ending::Code(3), after(30));
        chronicle.on_lost(1, after(40));
        chronicle.on_ended(2, Ending::Signal(9), after(50));
        chronicle.on_end_ordered(after(60));
        chronicle.on_ended(3, Ending::Signal(15), after(70));
        chronicle.on_lost(4, after(80));
        let seen = |rank: usize| {
            let RankStory { end, exit_code, signal, ended_ms, .. } = &chronicle.ranks()[rank];
            (*end, *exit_code, signal.as_deref(), *ended_ms)
        };
        assert_eq!(seen(0), (End::Lost, None, None, Some(20)));
        assert_eq!(seen(1), (End::Exited, Some(3), None, Some(30)));
        assert_eq!(seen(2), (End::Killed, None, Some("SIGKILL"), Some(50)));
        assert_eq!(seen(3), (End::EndedByDsmexec, None, Some("SIGTERM"), Some(70)));
        assert_eq!(seen(4), (End::NotStarted, None, None, None));
    }
}
