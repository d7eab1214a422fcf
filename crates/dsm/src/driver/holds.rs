use dsm_core::PageId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The minimum hold times that run.
///
/// Invariant: all times are equally long, so they end in the order they began.
#[derive(Debug)]
pub(super) struct Holds {
    time: Duration,
    ends: VecDeque<(Instant, PageId)>,
}

impl Holds {
    pub(super) fn new(time: Duration) -> Self {
        Self { time, ends: VecDeque::new() }
    }

    pub(super) fn start(&mut self, page: PageId) {
        self.ends.push_back((Instant::now() + self.time, page));
    }

    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.front().map(|(at, _)| *at)
    }

    pub(super) fn pop_ended(&mut self, now: Instant) -> Option<PageId> {
        self.ends.pop_front_if(|(at, _)| *at <= now).map(|(_, page)| page)
    }
}
