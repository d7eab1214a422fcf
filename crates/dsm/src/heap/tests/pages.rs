use super::super::{HeapError, Runs};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A heap of pages with bytes, whose runs are zero when they are handed out.
#[derive(Debug)]
pub(super) struct Pages {
    words: Vec<AtomicU64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Length by first page.
    free: BTreeMap<usize, usize>,
    taken: BTreeMap<usize, usize>,
    most_taken: usize,
}

impl Pages {
    pub(super) fn new(pages: usize) -> Self {
        let words = (0..pages * PAGE / 8).map(|_| AtomicU64::new(0)).collect();
        let free = BTreeMap::from([(0, pages)]);
        let state = State { free, taken: BTreeMap::new(), most_taken: 0 };
        Self { words, state: Mutex::new(state) }
    }

    pub(super) fn base(&self) -> usize {
        BASE
    }

    /// The word at an address.
    pub(super) fn word(&self, address: usize) -> &AtomicU64 {
        &self.words[(address - BASE) / 8]
    }

    /// Pages handed out.
    pub(super) fn taken(&self) -> usize {
        self.state.lock().unwrap().taken.values().sum()
    }

    pub(super) fn most_taken(&self) -> usize {
        self.state.lock().unwrap().most_taken
    }

    /// Runs handed out.
    pub(super) fn runs(&self) -> usize {
        self.state.lock().unwrap().taken.len()
    }
}

impl Runs for Pages {
    fn take(&self, pages: u64) -> Result<usize, HeapError> {
        let mut state = self.state.lock().unwrap();
        let pages = usize::try_from(pages).unwrap();
        let found = state.free.iter().find(|(_, length)| **length >= pages);
        let Some((&first, &length)) = found else {
            return Err(HeapError::Exhausted { bytes: 0 });
        };
        state.free.remove(&first);
        if length > pages {
            state.free.insert(first + pages, length - pages);
        }
        state.taken.insert(first, pages);
        let taken = state.taken.values().sum();
        state.most_taken = state.most_taken.max(taken);
        Ok(BASE + first * PAGE)
    }

    fn give(&self, run: usize) {
        let mut state = self.state.lock().unwrap();
        let mut first = (run - BASE) / PAGE;
        let mut pages = state.taken.remove(&first).expect("a run that was taken is given back");
        let words = &self.words[first * (PAGE / 8)..(first + pages) * (PAGE / 8)];
        words.iter().for_each(|word| word.store(0, Relaxed));
        if let Some(behind) = state.free.remove(&(first + pages)) {
            pages += behind;
        }
        if let Some((&before, &length)) = state.free.range(..first).next_back()
            && before + length == first
        {
            (first, pages) = (before, length + pages);
        }
        state.free.insert(first, pages);
    }
}

pub(super) const PAGE: usize = 4096;
/// A multiple of a page, and of nothing larger.
const BASE: usize = 0x2000_0000_1000;
