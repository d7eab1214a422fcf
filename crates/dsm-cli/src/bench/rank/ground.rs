use super::super::line::{LINES, Line};
use super::Outcome;
use dsm::Node;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Where in the area what is measured takes place. Page i has its home at rank i mod N.
///
/// The first page of each rank is where ranks meet; pools of pages for each line follow, then locks, then a
/// stretch for scans and one for accesses at random.
#[derive(Debug)]
pub(super) struct Ground<'n> {
    pub(super) node: &'n Node,
}

impl<'n> Ground<'n> {
    /// # Errors
    /// If the area is too small for it, or pages are elsewhere at home.
    pub(super) fn new(node: &'n Node) -> Result<Self, Box<dyn Error>> {
        let ground = Self { node };
        let needed = (ground.random_at() + RANDOM_PAGES) * node.page_bytes();
        if needed > node.size() {
            return Err(format!("the area has {} bytes, expected {needed}", node.size()).into());
        }
        let at_first = ground.address(ground.page(Line::ReadFault, 0, 0));
        if node.home(at_first) != Some(0) {
            return Err("the pages of the area are not placed cyclically".into());
        }
        Ok(ground)
    }

    /// The page of a line's sample that has its home at this rank. There are few, which are used again and
    /// again, and in no order, so that nobody takes them for a scan.
    pub(super) fn page(&self, line: Line, sample: u32, home: u16) -> usize {
        let place = LINES.iter().position(|about| about.line == line).unwrap_or(LINES.len());
        self.nodes() * (1 + place * POOL + scramble(sample) % POOL) + usize::from(home)
    }

    /// The first word of a page.
    pub(super) fn word(&self, page: usize) -> &AtomicU64 {
        let at = page * self.node.page_bytes();
        &self.node.words::<AtomicU64>(at, 1).expect("the ground is in the area")[0]
    }

    pub(super) fn address(&self, page: usize) -> usize {
        self.node.base() + page * self.node.page_bytes()
    }

    /// A lock at rank 1 that nobody ever took.
    pub(super) fn fresh_lock(&self, sample: u32) -> usize {
        let per_page = self.node.page_bytes() / LOCK_BYTES;
        let (page, place) = (sample as usize / per_page, sample as usize % per_page);
        let first = self.nodes() * (1 + LINES.len() * POOL);
        self.address(first + (page % LOCK_PAGES) * self.nodes() + 1) + place * LOCK_BYTES
    }

    /// A lock that is used again and again, at rank 1, and the page that is written under it.
    pub(super) fn used_lock(&self, line: Line) -> (usize, &AtomicU64) {
        let page = self.page(line, 0, 1);
        (self.address(page), self.word(page))
    }

    /// Takes a lock, counts under it, and gives it back.
    pub(super) fn count(&self, line: Line) -> Outcome {
        let (lock, counted) = self.used_lock(line);
        self.node.mutex_lock(lock)?;
        counted.store(counted.load(SeqCst) + 1, SeqCst);
        Ok(self.node.mutex_unlock(lock)?)
    }

    /// All words of the stretch for scans.
    pub(super) fn scan(&self) -> &[AtomicU64] {
        self.stretch(self.scan_at(), SCAN_PAGES)
    }

    /// All words of the stretch for accesses at random.
    pub(super) fn random(&self) -> &[AtomicU64] {
        self.stretch(self.random_at(), RANDOM_PAGES)
    }

    pub(super) fn words_per_page(&self) -> usize {
        self.node.page_bytes() / size_of::<u64>()
    }

    fn stretch(&self, first: usize, pages: usize) -> &[AtomicU64] {
        let at = first * self.node.page_bytes();
        let words = self.node.words(at, pages * self.words_per_page());
        words.expect("the ground is in the area")
    }

    fn scan_at(&self) -> usize {
        self.nodes() * (1 + LINES.len() * POOL + LOCK_PAGES)
    }

    fn random_at(&self) -> usize {
        self.scan_at() + SCAN_PAGES
    }

    fn nodes(&self) -> usize {
        usize::from(self.node.nodes())
    }
}

/// Long enough for what the last exchange left to do; whoever waits for the next one spins or sleeps.
pub(super) fn let_others_run() {
    let began = Instant::now();
    while began.elapsed() < QUIET {
        std::thread::yield_now();
    }
}

/// Looks random but depends on `x` alone (splitmix64's finaliser).
pub(super) fn scramble(x: u32) -> usize {
    let x = u64::from(x).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from(x ^ x >> 31).expect("dsm runs on 64-bit machines")
}

/// So many pages of each home for each line.
const POOL: usize = 64;
/// Locks in structures of 16 bytes; enough pages for 16,384 samples on pages of 4 KiB.
const LOCK_BYTES: usize = 16;
const LOCK_PAGES: usize = 64;
pub(super) const SCAN_PAGES: usize = 2048;
pub(super) const RANDOM_PAGES: usize = 512;
const QUIET: Duration = Duration::from_micros(20);
