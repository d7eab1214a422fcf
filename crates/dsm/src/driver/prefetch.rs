use super::Driver;
use crate::fatal::Fatal;
use dsm_core::{Access, Input, PageId};
use dsm_mem::Fault;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

/// The pages to bring here that the program has asked for.
///
/// Invariant: only so many are asked for at a time that a thread's own fault does not wait long behind them.
#[derive(Debug, Default)]
pub(super) struct Prefetches {
    ranges: VecDeque<(Range<u64>, Access)>,
    under_way: UnderWay,
}

/// Pages that were asked for and have not come, each once.
#[derive(Debug)]
struct UnderWay {
    /// In the order in which they were asked for, which is mostly that in which they come.
    pages: VecDeque<PageId>,
    /// How many of them are alike in their last bits: where none is, there is nothing to search for.
    alike: [u16; ALIKE],
}

impl Driver {
    /// A thread stopped on a page: what it says about those that come after it.
    pub(super) fn heed_fault(&mut self, fault: Fault) -> Result<(), Fatal> {
        if let (Some(access), Some(faults)) = (self.streams.open(fault.page), &self.faults) {
            faults.install(fault.page, access)?;
        }
        let engine = &self.engine;
        let has = |page, access| engine.access(page) >= access;
        let limit = self.calls.prefetch_limit().into();
        self.streams.on_fault(fault, (limit, Instant::now()), has);
        Ok(())
    }

    /// Whether a page that the engine gives to threads stays closed, for a stream to be noticed on it.
    pub(super) fn closes(&mut self, page: PageId, access: Access) -> bool {
        !self.waits.contains_key(&page) && self.streams.close(page, access)
    }

    pub(super) fn protect(&mut self, page: PageId, access: Access) -> Result<(), Fatal> {
        let Some(faults) = &self.faults else { return Ok(()) };
        if !self.streams.on_protect(page, access, Instant::now()) {
            faults.protect(page, access)?;
        }
        Ok(())
    }

    /// Asks for a few more of the pages that no thread waits for.
    pub(super) fn prefetch(&mut self) -> Result<(), Fatal> {
        while let Some((first, access)) = self.prefetches.next() {
            if self.engine.access(first) < access {
                self.ask_for(first, access)?;
            }
        }
        let now = Instant::now();
        while self.prefetches.under_way.len() < AT_ONCE_OF_STREAMS {
            let engine = &self.engine;
            let has = |page, access| engine.access(page) >= access;
            let Some((page, access)) = self.streams.next(now, has) else { break };
            // Whoever touches a page first may become its home: that is to be a thread.
            if self.engine.home(page).is_some() {
                self.ask_for(page, access)?;
            }
        }
        Ok(())
    }

    fn ask_for(&mut self, page: PageId, access: Access) -> Result<(), Fatal> {
        self.prefetches.begin(page);
        // To the engine it is a fault, of which only this driver knows that nobody waits for it.
        self.handle(Input::Fault { page, access })
    }
}

impl Prefetches {
    pub(super) fn add(&mut self, first: PageId, pages: u64, access: Access) {
        if self.ranges.len() == MOST_RANGES {
            // Only advice: the oldest is the least likely to be of use still.
            self.ranges.pop_front();
        }
        self.ranges.push_back((first.0..first.0 + pages, access));
    }

    /// The next page to ask for, while not too many are under way.
    pub(super) fn next(&mut self) -> Option<(PageId, Access)> {
        if self.under_way.len() >= AT_ONCE {
            return None;
        }
        loop {
            let (range, access) = self.ranges.front_mut()?;
            match range.next() {
                Some(page) => return Some((PageId(page), *access)),
                None => self.ranges.pop_front(),
            };
        }
    }

    pub(super) fn begin(&mut self, page: PageId) {
        self.under_way.insert(page);
    }

    /// A page has come.
    pub(super) fn end(&mut self, page: PageId) {
        self.under_way.remove(page);
    }
}

impl UnderWay {
    fn len(&self) -> usize {
        self.pages.len()
    }

    fn insert(&mut self, page: PageId) {
        assert!(self.len() < AT_ONCE + AT_ONCE_OF_STREAMS, "what is asked for ahead is limited");
        if self.place(page).is_none() {
            self.pages.push_back(page);
            *self.alike(page) += 1;
        }
    }

    fn remove(&mut self, page: PageId) {
        if let Some(at) = self.place(page) {
            self.pages.remove(at);
            *self.alike(page) -= 1;
        }
    }

    fn place(&mut self, page: PageId) -> Option<usize> {
        let may_be_there = *self.alike(page) > 0;
        let mut pages = self.pages.iter();
        may_be_there.then(|| pages.position(|other| *other == page)).flatten()
    }

    fn alike(&mut self, page: PageId) -> &mut u16 {
        &mut self.alike[usize::try_from(page.0 % ALIKE as u64).expect("less than a length")]
    }
}

impl Default for UnderWay {
    fn default() -> Self {
        Self { pages: VecDeque::new(), alike: [0; ALIKE] }
    }
}

const AT_ONCE: usize = 32;
const AT_ONCE_OF_STREAMS: usize = 256;
const MOST_RANGES: usize = 1024;
/// More than are under way at a time.
const ALIKE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_under_way_once_until_it_comes() {
        let mut under_way = UnderWay::default();
        let alike = ALIKE as u64;
        for page in [3, 3 + alike, 4, 3, 3 + 2 * alike, 4].map(PageId) {
            under_way.insert(page);
        }
        assert_eq!(under_way.len(), 4);
        for (page, left) in [(4, 3), (4, 3), (3 + 3 * alike, 3), (3 + alike, 2), (3, 1), (5, 1)] {
            under_way.remove(PageId(page));
            assert_eq!(under_way.len(), left, "page {page}");
        }
        under_way.remove(PageId(3 + 2 * alike));
        assert_eq!((under_way.len(), under_way.alike), (0, [0; ALIKE]));
    }
}
