use dsm_core::{Access, PageId};
use dsm_mem::{Fault, ThreadId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Finds threads that walk through memory, by the pages they stop on, and says which pages they will want.
///
/// A walk has shown three stops in equal steps before anything is fetched for it. Then the *window* of pages that
/// are asked for ahead of its thread grows with every stop, up to as many as the walk has passed. One page in each half of a window is its *mark*: when it comes
/// it stays closed, so that the thread stops there once more and shows that it goes on.
///
/// Invariant: no more pages are asked for ahead of the last stop of a thread than a window, so a walk that ends or
/// turns costs a window at most.
#[derive(Debug)]
pub(super) struct Streams {
    /// Pages of the region.
    pages: u64,
    streams: Vec<Stream>,
    /// Marks that have come, with what the engine lets threads do with them.
    closed: BTreeMap<PageId, Access>,
    lost: Lost,
    /// Counts faults, to tell which stream was not used for the longest time.
    faults: u64,
}

/// One walk of a thread.
#[derive(Debug)]
struct Stream {
    thread: ThreadId,
    access: Access,
    /// Pages from one stop to the next; 0 before the second.
    step: i64,
    /// The page of the last stop.
    last: PageId,
    stops: u32,
    /// What the last stop was for, and on how many pages in a row the thread stored after they were brought for reading.
    wanted: Access,
    stores: u32,
    /// How many steps were made.
    walked: u64,
    window: u64,
    /// How many steps beyond `last` were looked at, and how many are to be.
    ahead: u64,
    goal: u64,
    mark: Mark,
    used: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    None,
    /// The next page that is asked for and far enough ahead.
    Due,
    At(PageId),
}

/// Pages that other ranks took a short time ago. A newer one may push an older one out.
#[derive(Debug)]
struct Lost {
    slots: Vec<Option<(PageId, Instant)>>,
    /// When the last of them was.
    newest: Option<Instant>,
}

impl Streams {
    /// For a region of so many pages.
    pub(super) fn new(pages: u64) -> Self {
        let lost = Lost { slots: vec![None; LOST], newest: None };
        Self { pages, streams: Vec::new(), closed: BTreeMap::new(), lost, faults: 0 }
    }

    /// A thread stopped on a page. At most `limit` pages are fetched ahead of it; `has` says whether a page is here
    /// with an access.
    pub(super) fn on_fault(
        &mut self,
        Fault { page, access, thread }: Fault,
        (limit, now): (u64, Instant),
        has: impl Fn(PageId, Access) -> bool,
    ) {
        self.faults += 1;
        if limit == 0 {
            return self.streams.clear();
        }
        if self.lost.has(page, now) {
            // Its ranks fight over it.
            return self.streams.retain(|stream| stream.thread != thread || !stream.covers(page));
        }
        let own = |stream: &&mut Stream| stream.thread == thread;
        let mut streams = self.streams.iter_mut().filter(own);
        let found = streams.find_map(|stream| Some((stream.steps_to(page, &has)?, stream)));
        if let Some((steps, stream)) = found {
            stream.used = self.faults;
            if steps > 0 {
                stream.advance(page, steps, limit);
            }
            return stream.note(access);
        }
        let mut streams = self.streams.iter_mut().filter(own);
        if let Some(stream) = streams.find(|stream| stream.may_turn_to(page)) {
            stream.used = self.faults;
            return stream.turn_to(page, access, &has);
        }
        self.begin(Stream::new(thread, page, access, self.faults));
    }

    fn begin(&mut self, stream: Stream) {
        let of_thread = |other: &&Stream| other.thread == stream.thread;
        let is_full = self.streams.iter().filter(of_thread).count() == STREAMS_OF_THREAD;
        if is_full || self.streams.len() == STREAMS {
            let others = self.streams.iter().enumerate();
            let oldest = others
                .filter(|(_, other)| !is_full || other.thread == stream.thread)
                .min_by_key(|(_, other)| other.used)
                .map(|(at, _)| at)
                .expect("there are streams");
            self.streams.swap_remove(oldest);
        }
        self.streams.push(stream);
    }

    /// The next page to ask for, if there is one; `has` as before. A page that is here is passed over.
    pub(super) fn next(
        &mut self,
        now: Instant,
        has: impl Fn(PageId, Access) -> bool,
    ) -> Option<(PageId, Access)> {
        let Self { pages, streams, lost, .. } = self;
        for stream in streams.iter_mut() {
            while stream.ahead < stream.goal {
                let page = stream.at(stream.ahead + 1).filter(|page| page.0 < *pages);
                let Some(page) = page.filter(|page| !lost.has(*page, now)) else {
                    // The region ends here, or others work here.
                    stream.goal = 0;
                    break;
                };
                stream.ahead += 1;
                if has(page, stream.access) {
                    continue;
                }
                if stream.mark == Mark::Due && stream.ahead > stream.window / 2 {
                    stream.mark = Mark::At(page);
                }
                return Some((page, stream.access));
            }
        }
        None
    }

    /// A page has come that no thread is known to wait for. Whether it stays closed: then the fault that a thread takes
    /// on it is to be told of with [`open`](Self::open) first.
    pub(super) fn close(&mut self, page: PageId, access: Access) -> bool {
        let is_mark = self.streams.iter().any(|stream| stream.mark == Mark::At(page));
        let closes = is_mark && self.closed.len() < MOST_CLOSED;
        if closes {
            self.closed.insert(page, access);
        }
        closes
    }

    /// A page is to be opened; what threads may do with it, if it was closed.
    pub(super) fn open(&mut self, page: PageId) -> Option<Access> {
        self.closed.remove(&page)
    }

    /// What threads may do with a page has changed; whether it is one that is closed.
    pub(super) fn on_protect(&mut self, page: PageId, access: Access, now: Instant) -> bool {
        if access < Access::Write {
            self.lost.note(page, now);
            // It was fetched too early, and taken before its thread came.
            self.streams.retain(|stream| stream.access <= access || !stream.covers(page));
        }
        match self.closed.get_mut(&page) {
            Some(_) if access == Access::None => self.closed.remove(&page).is_some(),
            Some(held) => {
                *held = access;
                true
            }
            None => false,
        }
    }
}

impl Stream {
    fn new(thread: ThreadId, page: PageId, access: Access, used: u64) -> Self {
        Self {
            thread,
            access,
            step: 0,
            last: page,
            stops: 1,
            wanted: access,
            stores: 0,
            walked: 0,
            window: 0,
            ahead: 0,
            goal: 0,
            mark: Mark::None,
            used,
        }
    }

    /// The page so many steps beyond the last stop.
    fn at(&self, steps: u64) -> Option<PageId> {
        let distance = self.step.checked_mul(i64::try_from(steps).ok()?)?;
        self.last.0.checked_add_signed(distance).map(PageId)
    }

    fn distance(&self, page: PageId) -> i64 {
        page.0.wrapping_sub(self.last.0).cast_signed()
    }

    /// Whether a page was asked for ahead of the last stop.
    fn covers(&self, page: PageId) -> bool {
        let distance = self.distance(page);
        self.step != 0
            && distance.checked_rem(self.step) == Some(0)
            && u64::try_from(distance / self.step)
                .is_ok_and(|steps| (1..=self.ahead).contains(&steps))
    }

    /// How many steps this stop is beyond the last, if it is in step: what lies between was asked for, or is here.
    fn steps_to(&self, page: PageId, has: impl Fn(PageId, Access) -> bool) -> Option<u64> {
        let distance = self.distance(page);
        if distance == 0 {
            return Some(0);
        }
        if self.step == 0 || distance % self.step != 0 {
            return None;
        }
        let steps = u64::try_from(distance / self.step).ok()?;
        if steps > self.ahead + MOST_PASSED {
            return None;
        }
        let mut passed = (self.ahead + 1..steps).filter_map(|steps| self.at(steps));
        passed.all(|page| has(page, self.access)).then_some(steps)
    }

    fn is_established(&self) -> bool {
        self.stops >= ENOUGH_STOPS
    }

    fn may_turn_to(&self, page: PageId) -> bool {
        !self.is_established() && self.distance(page).unsigned_abs() <= FARTHEST
    }

    /// The walk goes otherwise than it seemed to. Pages that are here are passed without a stop, so a distance across
    /// nothing but such is a step of one.
    fn turn_to(&mut self, page: PageId, access: Access, has: impl Fn(PageId, Access) -> bool) {
        let distance = self.distance(page);
        self.step = distance.signum();
        let mut between = (1..distance.unsigned_abs()).filter_map(|steps| self.at(steps));
        if distance.unsigned_abs() > MOST_PASSED || !between.all(|page| has(page, access)) {
            self.step = distance;
        }
        self.last = page;
        self.access = self.access.min(access);
        self.stops = 2;
        self.walked = 1;
    }

    fn advance(&mut self, page: PageId, steps: u64, limit: u64) {
        self.last = page;
        self.stops = self.stops.saturating_add(1);
        self.walked += steps;
        self.ahead = self.ahead.saturating_sub(steps);
        self.goal = self.goal.saturating_sub(steps);
        if !self.is_established() {
            return;
        }
        self.window = limit.min(FIRST_WINDOW.max(self.walked.min(self.window * 2)));
        if self.ahead <= self.window / 2 {
            self.goal = self.window;
            self.mark = Mark::Due;
        }
    }

    /// Who stores to page after page that came for reading is brought the next ones for writing.
    fn note(&mut self, access: Access) {
        match (access, self.access) {
            (Access::Write, Access::Read) => self.stores += 1,
            (Access::Read, _) if self.wanted == Access::Read => self.stores = 0,
            _ => (),
        }
        if self.stores >= ENOUGH_STORES {
            self.access = Access::Write;
        } else if !self.is_established() {
            self.access = self.access.min(access);
        }
        self.wanted = access;
    }
}

impl Lost {
    fn note(&mut self, page: PageId, now: Instant) {
        self.newest = Some(now);
        *self.slot(page) = Some((page, now));
    }

    fn has(&mut self, page: PageId, now: Instant) -> bool {
        // Mostly nobody took anything, and the slots are not in the processor's cache.
        let is_recent = self.newest.is_some_and(|newest| now < newest + FOUGHT_OVER);
        is_recent
            && self.slot(page).is_some_and(|(lost, at)| lost == page && now < at + FOUGHT_OVER)
    }

    fn slot(&mut self, page: PageId) -> &mut Option<(PageId, Instant)> {
        let slots = self.slots.len() as u64;
        let at = usize::try_from(page.0 % slots).expect("less than a length");
        &mut self.slots[at]
    }
}

const ENOUGH_STOPS: u32 = 3;
/// Stores after loads, page after page, before pages are fetched to be written.
const ENOUGH_STORES: u32 = 3;
const FIRST_WINDOW: u64 = 2;
/// Pages from one stop to the next at most.
const FARTHEST: u64 = 64;
/// Beyond what was asked for, steps to a stop across pages that were here.
const MOST_PASSED: u64 = 4;
/// Loops walk through a few arrays at once.
const STREAMS_OF_THREAD: usize = 4;
const STREAMS: usize = 64;
const MOST_CLOSED: usize = 4096;
const LOST: usize = 1024;
/// Longer than a page that several ranks want stays away.
const FOUGHT_OVER: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const LIMIT: u64 = 64;
    const PAGES: u64 = 10_000;
    const READ: Access = Access::Read;
    const WRITE: Access = Access::Write;

    /// A rank whose pages come as soon as they are asked for.
    struct Memory {
        streams: Streams,
        here: BTreeMap<u64, Access>,
        asked: Vec<(u64, Access)>,
        now: Instant,
        limit: u64,
        stops: usize,
    }

    impl Memory {
        fn new(limit: u64) -> Self {
            let (streams, here, asked) = (Streams::new(PAGES), BTreeMap::new(), Vec::new());
            Self { streams, here, asked, now: Instant::now(), limit, stops: 0 }
        }

        fn touch_by(&mut self, thread: u32, page: u64, access: Access) {
            let closed = self.streams.closed.contains_key(&PageId(page));
            if self.here.get(&page).is_some_and(|held| *held >= access) && !closed {
                return;
            }
            self.stops += 1;
            self.streams.open(PageId(page));
            let fault = Fault { page: PageId(page), access, thread: ThreadId(thread) };
            let here = &self.here;
            let has = |page: PageId, access| here.get(&page.0).is_some_and(|held| *held >= access);
            self.streams.on_fault(fault, (self.limit, self.now), has);
            self.come(page, access);
            loop {
                let here = &self.here;
                let has =
                    |page: PageId, access| here.get(&page.0).is_some_and(|held| *held >= access);
                let Some((page, access)) = self.streams.next(self.now, has) else { break };
                self.asked.push((page.0, access));
                self.streams.close(page, access);
                self.come(page.0, access);
            }
        }

        fn come(&mut self, page: u64, access: Access) {
            let held = self.here.entry(page).or_insert(access);
            *held = access.max(*held);
        }

        fn touch(&mut self, page: u64) {
            self.touch_by(1, page, READ);
        }

        fn lose(&mut self, page: u64) {
            self.here.remove(&page);
            self.streams.on_protect(PageId(page), Access::None, self.now);
        }
    }

    /// Walks through these pages; what was asked for and never touched.
    fn walked(pages: impl IntoIterator<Item = u64>) -> (Memory, BTreeSet<u64>) {
        let mut memory = Memory::new(LIMIT);
        let mut touched = BTreeSet::new();
        for page in pages {
            memory.touch(page);
            touched.insert(page);
        }
        let asked = memory.asked.iter().map(|(page, _)| *page);
        let vain = asked.filter(|page| !touched.contains(page)).collect();
        (memory, vain)
    }

    #[test]
    fn a_walk_is_fetched_ahead_whichever_way_it_goes() {
        let every_third = (0..1000).map(|at| 5000 - 3 * at);
        let walks: [Vec<u64>; 4] = [
            (100..1100).collect(),
            (100..1100).rev().collect(),
            (0..500).map(|at| 17 * at).collect(),
            every_third.collect(),
        ];
        for walk in walks {
            let (memory, vain) = walked(walk);
            assert!(memory.stops <= 45, "{} stops", memory.stops);
            assert!(vain.len() as u64 <= LIMIT, "in vain: {vain:?}");
        }
    }

    #[test]
    fn two_stops_are_no_walk() {
        let pairs = (0..100).flat_map(|pair| [90 * pair, 90 * pair + 1]);
        assert_eq!(walked(pairs).0.asked, []);
    }

    #[test]
    fn the_window_grows_and_a_walk_that_ends_or_turns_costs_no_more_than_it() {
        for (length, most) in [(3, 2), (4, 3), (5, 4), (8, 8), (20, 20), (500, 64)] {
            let (_, vain) = walked(1000..1000 + length);
            assert!(vain.len() <= most, "after {length} pages in vain: {vain:?}");
            let (_, vain) = walked((1000..1000 + length).chain((0..1000).rev()));
            assert!(vain.len() <= most + 64, "after {length} pages and a turn in vain: {vain:?}");
        }
    }

    #[test]
    fn pages_that_are_here_do_not_interrupt_a_walk() {
        let mut memory = Memory::new(LIMIT);
        (0..500)
            .filter(|page| page % 2 == 0 || page % 7 == 0)
            .for_each(|page| memory.come(page, WRITE));
        (0..500).for_each(|page| memory.touch(page));
        assert!(memory.stops < 30, "{} stops", memory.stops);
    }

    #[test]
    fn a_few_walks_of_each_thread_go_on_at_once() {
        let mut memory = Memory::new(LIMIT);
        for at in 0..500 {
            for thread in 1..=4 {
                for array in 0..3 {
                    memory.touch_by(thread, 2000 * u64::from(thread) + 600 * array + at, READ);
                }
            }
        }
        assert!(memory.stops < 12 * 30, "{} stops", memory.stops);
    }

    #[test]
    fn what_is_used_in_no_order_is_not_fetched_ahead() {
        let mut drawn = 1_u64;
        let order = (0..5000).map(|_| {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (drawn >> 33) % PAGES
        });
        let (memory, _) = walked(order);
        assert!(memory.asked.len() <= 20, "asked for {:?}", memory.asked);
    }

    #[test]
    fn a_walk_that_stores_is_fetched_to_be_written() {
        let mut memory = Memory::new(LIMIT);
        (0..100).for_each(|page| memory.touch_by(1, page, WRITE));
        assert!(memory.asked.iter().all(|(_, access)| *access == WRITE), "{:?}", memory.asked);
        assert!(memory.stops < 15, "{} stops", memory.stops);
    }

    #[test]
    fn so_is_one_that_loads_and_then_stores() {
        let mut memory = Memory::new(LIMIT);
        for page in 0..300 {
            memory.touch_by(1, page, READ);
            memory.touch_by(1, page, WRITE);
        }
        assert!(memory.stops < 40, "{} stops", memory.stops);
        // One store in between is no reason to take pages from their readers.
        let mut memory = Memory::new(LIMIT);
        for page in 0..300 {
            memory.touch_by(1, page, READ);
            if page % 50 == 40 {
                memory.touch_by(1, page, WRITE);
            }
        }
        assert!(memory.asked.iter().all(|(_, access)| *access == READ));
    }

    #[test]
    fn what_others_just_took_is_not_fetched_ahead() {
        let mut memory = Memory::new(LIMIT);
        (0..200).for_each(|page| memory.come(page, WRITE));
        (0..200).for_each(|page| memory.lose(page));
        (0..200).for_each(|page| memory.touch(page));
        assert_eq!(memory.asked, []);
        memory.now += FOUGHT_OVER;
        (200..220).for_each(|page| memory.touch(page));
        assert!(!memory.asked.is_empty());
    }

    #[test]
    fn a_page_taken_before_its_thread_came_ends_the_walk() {
        let mut memory = Memory::new(LIMIT);
        (0..20).for_each(|page| memory.touch(page));
        let last = memory.asked.last().unwrap().0;
        memory.lose(last - 1);
        assert!(memory.streams.streams.is_empty());
    }

    #[test]
    fn a_limit_of_nothing_fetches_nothing_and_one_is_kept() {
        let mut memory = Memory::new(0);
        (0..100).for_each(|page| memory.touch(page));
        assert_eq!((memory.asked.len(), memory.stops), (0, 100));
        memory.limit = 4;
        (100..200).for_each(|page| memory.touch(page));
        assert!(memory.asked.iter().all(|(page, _)| *page < 204));
        assert!(memory.stops < 150, "{} stops", memory.stops);
    }

    #[test]
    fn the_region_ends_where_it_ends() {
        let (memory, _) = walked(PAGES - 100..PAGES);
        assert!(memory.asked.iter().all(|(page, _)| *page < PAGES));
        let (memory, _) = walked((0..100).rev());
        assert!(memory.stops < 20, "{} stops", memory.stops);
    }
}
