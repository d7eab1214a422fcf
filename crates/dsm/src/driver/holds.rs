use dsm_core::{PageId, Rank};
use std::time::{Duration, Instant};

/// The minimum hold times that run.
///
/// A page that was granted stays for a short time, so that the thread that asked for it runs. It stays longer
/// while a thread of this rank is stopped on *another* page, because that may be an instruction that needs
/// both; and a short time after, for the same reason. Two ranks that hold what the other needs would wait
/// for each other in step, so there is a limit, and it is drawn anew for each hold.
#[derive(Debug)]
pub(super) struct Holds {
    time: Duration,
    running: Vec<Running>,
    /// When a thread was last resumed.
    resumed: Instant,
    draws: u64,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    page: PageId,
    since: Instant,
    at_most: Instant,
}

impl Holds {
    pub(super) fn new(time: Duration, rank: Rank) -> Self {
        // Ranks must not draw alike; that is all the seed is for.
        let draws = u64::from(rank.0) << 32;
        Self { time, running: Vec::new(), resumed: Instant::now(), draws }
    }

    pub(super) fn start(&mut self, page: PageId) {
        let since = Instant::now();
        let at_most =
            since + self.time * LONGEST + self.time.mul_f64(f64::from(LONGEST) * self.draw());
        self.running.push(Running { page, since, at_most });
    }

    /// A thread of this rank was resumed.
    pub(super) fn on_resume(&mut self, now: Instant) {
        self.resumed = now;
    }

    /// When the first hold ends, if nothing else happens; `stopped` are the pages threads wait for.
    pub(super) fn next_end(&self, stopped: impl Fn(PageId) -> Stopped) -> Option<Instant> {
        self.running.iter().map(|hold| self.end(hold, stopped(hold.page))).min()
    }

    /// A page whose hold time is over.
    pub(super) fn pop_ended(
        &mut self,
        now: Instant,
        stopped: impl Fn(PageId) -> Stopped,
    ) -> Option<PageId> {
        let over = |hold: &Running| self.end(hold, stopped(hold.page)) <= now;
        let at = self.running.iter().position(over)?;
        Some(self.running.remove(at).page)
    }

    fn end(&self, hold: &Running, stopped: Stopped) -> Instant {
        match stopped {
            Stopped::OnOthers => hold.at_most,
            Stopped::Not => hold.at_most.min(hold.since.max(self.resumed) + self.time),
        }
    }

    /// From 0 to 1, evenly (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    fn draw(&mut self) -> f64 {
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.draws;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from(bits >> 32).expect("half of the bits are left");
        f64::from(top) / f64::from(u32::MAX)
    }
}

/// Whether threads of this rank are stopped on other pages than the one held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    Not,
    OnOthers,
}

/// The longest hold is drawn between once and twice this many minimum hold times.
const LONGEST: u32 = 10;
