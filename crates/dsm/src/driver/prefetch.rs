use dsm_core::{Access, PageId};
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

/// The pages to bring here that no thread waits for.
///
/// Invariant: only so many are asked for at a time that a thread's own fault does not wait long behind them.
#[derive(Debug, Default)]
pub(super) struct Prefetches {
    ranges: VecDeque<(Range<u64>, Access)>,
    under_way: BTreeSet<PageId>,
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

    /// Whether one was under way that has come.
    pub(super) fn end(&mut self, page: PageId) -> bool {
        self.under_way.remove(&page)
    }
}

const AT_ONCE: usize = 32;
const MOST_RANGES: usize = 1024;
