use dsm_core::{PageId, Rank};
use dsm_mem::ThreadId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The minimum hold times that run.
///
/// A page that was granted stays for a short time, so that the threads that asked for it run. It stays longer
/// while one of them is stopped on another page, and a short time after, because that may be one instruction
/// that needs both. Two ranks that each hold what the other needs would wait for each other in step; so a
/// hold has a limit, drawn anew each time, that grows while holds are cut off by it and shrinks while they
/// end by themselves: what is enough depends on how long a page takes to come.
#[derive(Debug)]
pub(crate) struct Holds {
    time: Duration,
    running: Vec<Running>,
    /// Pages whose hold was over when it began, because nobody stopped for them, and since when the first is one.
    over: VecDeque<PageId>,
    over_since: Option<Instant>,
    doublings: u32,
    draws: u64,
}

#[derive(Debug)]
struct Running {
    page: PageId,
    /// The threads that were resumed when the page came.
    threads: Vec<ThreadId>,
    /// When the last of them was resumed.
    resumed: Instant,
    /// How often one of them was stopped on another page since.
    stops: u32,
    /// Which of them are stopped now.
    stopped: Vec<ThreadId>,
    at_most: Instant,
}

impl Holds {
    pub(crate) fn new(time: Duration, rank: Rank) -> Self {
        // Ranks must not draw alike; that is all the seed is for.
        let draws = u64::from(rank.0) << 32;
        let (running, over) = (Vec::new(), VecDeque::new());
        Self { time, running, over, over_since: None, doublings: 0, draws }
    }

    /// A page was granted and these threads resumed.
    pub(crate) fn start(&mut self, page: PageId, threads: Vec<ThreadId>) {
        self.running.retain(|hold| hold.page != page);
        if threads.is_empty() {
            // Nobody stopped for it: it came with a lock, or was fetched ahead.
            self.over.push_back(page);
            self.over_since.get_or_insert_with(Instant::now);
            return;
        }
        let resumed = Instant::now();
        let longest = self.time * (LONGEST << self.doublings);
        let at_most = resumed + longest + longest.mul_f64(self.draw());
        let stopped = Vec::new();
        self.running.push(Running { page, threads, resumed, stops: 0, stopped, at_most });
    }

    /// A page is kept for the thread that has the lock it comes with.
    pub(crate) fn pin(&mut self, page: PageId) {
        self.running.retain(|hold| hold.page != page);
        self.over.retain(|other| *other != page);
        let until = Instant::now() + self.time * PINNED;
        let (threads, stopped) = (Vec::new(), Vec::new());
        self.running.push(Running {
            page,
            threads,
            resumed: until,
            stops: 0,
            stopped,
            at_most: until,
        });
    }

    /// A thread of this rank stopped on a page.
    pub(crate) fn on_stop(&mut self, page: PageId, thread: ThreadId) {
        let held = |hold: &&mut Running| hold.page != page && hold.threads.contains(&thread);
        for hold in self.running.iter_mut().filter(held) {
            hold.stops += 1;
            hold.stopped.push(thread);
        }
    }

    /// Threads that were stopped go on.
    pub(crate) fn on_resume(&mut self, threads: &[ThreadId], now: Instant) {
        for hold in self.running.iter_mut().filter(|hold| !hold.stopped.is_empty()) {
            let before = hold.stopped.len();
            hold.stopped.retain(|thread| !threads.contains(thread));
            if hold.stopped.len() < before {
                hold.resumed = now;
            }
        }
    }

    /// When the first hold ends, if nothing else happens.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.over_since.or_else(|| self.running.iter().map(|hold| hold.end(self.time)).min())
    }

    /// A page whose hold time is over.
    pub(crate) fn pop_ended(&mut self, now: Instant) -> Option<PageId> {
        if let Some(page) = self.over.pop_front() {
            return Some(page);
        }
        self.over_since = None;
        let at = self.running.iter().position(|hold| hold.end(self.time) <= now)?;
        let hold = self.running.remove(at);
        self.doublings = if hold.is_extended() && hold.at_most <= now {
            MOST_DOUBLINGS.min(self.doublings + 1)
        } else {
            self.doublings.saturating_sub(1)
        };
        Some(hold.page)
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

impl Running {
    fn end(&self, time: Duration) -> Instant {
        if self.is_extended() { self.at_most } else { self.at_most.min(self.resumed + time) }
    }

    /// Whether an instruction that needs this page may be waiting for another one.
    fn is_extended(&self) -> bool {
        !self.stopped.is_empty() && self.stops <= MOST_STOPS
    }
}

/// The limit of a hold is drawn between once and twice this many minimum hold times, before it grows.
const LONGEST: u32 = 10;
/// A page that comes with a lock is kept this many minimum hold times for who has the lock.
const PINNED: u32 = 100;
/// Up to 0.4 s with the default hold time: enough for pages that take 50 ms to come.
const MOST_DOUBLINGS: u32 = 11;
/// An instruction that moves memory to memory touches at most four pages: three stops after the first.
const MOST_STOPS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_micros(10);
    const A: ThreadId = ThreadId(1);
    const B: ThreadId = ThreadId(2);
    const HELD: PageId = PageId(1);
    const OTHER: PageId = PageId(2);

    /// A hold of page 1 for thread A, and when it began.
    fn started() -> (Holds, Instant) {
        let mut holds = Holds::new(TIME, Rank(0));
        holds.start(HELD, vec![A]);
        let begun = holds.running[0].resumed;
        (holds, begun)
    }

    #[test]
    fn a_hold_ends_after_its_time() {
        let (mut holds, begun) = started();
        assert_eq!(holds.next_end(), Some(begun + TIME));
        assert_eq!(holds.pop_ended(begun), None);
        assert_eq!(holds.pop_ended(begun + TIME), Some(HELD));
        assert_eq!(holds.next_end(), None);
    }

    #[test]
    fn it_lasts_while_its_thread_is_stopped_on_another_page_and_a_little_longer() {
        let (mut holds, begun) = started();
        holds.on_stop(OTHER, A);
        assert!(holds.next_end() >= Some(begun + TIME * LONGEST));
        let resumed = begun + TIME * 5;
        holds.on_resume(&[A], resumed);
        assert_eq!(holds.next_end(), Some(resumed + TIME));
    }

    #[test]
    fn other_threads_and_its_own_page_do_not_matter() {
        let (mut holds, begun) = started();
        holds.on_stop(OTHER, B);
        holds.on_stop(HELD, A);
        assert_eq!(holds.next_end(), Some(begun + TIME));
    }

    #[test]
    fn it_covers_one_instruction_not_a_scan() {
        let (mut holds, begun) = started();
        for _ in 0..=MOST_STOPS {
            holds.on_stop(OTHER, A);
            holds.on_resume(&[A], begun);
        }
        holds.on_stop(OTHER, A);
        assert_eq!(holds.next_end(), Some(begun + TIME));
    }

    #[test]
    fn the_limit_grows_while_it_cuts_holds_off_and_shrinks_again() {
        let mut holds = Holds::new(TIME, Rank(0));
        let mut limits = Vec::new();
        for stop in [true, true, true, false, false, false, false] {
            holds.start(HELD, vec![A]);
            limits.push(holds.doublings);
            if stop {
                holds.on_stop(OTHER, A);
            }
            let end = holds.next_end().unwrap();
            assert_eq!(holds.pop_ended(end), Some(HELD));
        }
        assert_eq!(limits, [0, 1, 2, 3, 2, 1, 0]);
    }
}
