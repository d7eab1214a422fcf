use crate::{Broken, Promise};
use dsm_core::{Access, PageId, Rank};

/// The memory of all ranks: what each holds of each page, and what it should hold.
///
/// Every store makes a new version of its page. Invariant, watched after each step: a page is writable
/// on one rank or readable on many, and whoever may read it holds its latest version.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pages: usize,
    /// Rank by rank, page by page.
    cells: Vec<Cell>,
    latest: Vec<u32>,
    /// Whether anybody may use the page. What one is that nobody may use does not matter.
    used: Vec<bool>,
}

/// One rank's copy of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// What the service view shows.
    pub(crate) content: Content,
    /// What the application view permits.
    pub(crate) access: Access,
}

/// The bytes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Given back, or half arrived: not to be relied on.
    Garbage,
    /// What the page was after so many stores.
    Version(u32),
}

impl Memory {
    /// Memory in which these pages are used at first, of so many.
    pub(crate) fn new(nodes: u16, used: u64, pages: u64) -> Self {
        let used = (0..pages).map(|page| page < used).collect();
        let pages = usize::try_from(pages).expect("a world has few pages");
        let cells = vec![NOWHERE; usize::from(nodes) * pages];
        Self { pages, cells, latest: vec![0; pages], used }
    }

    pub(crate) fn is_used(&self, page: PageId) -> bool {
        self.used[index(page)]
    }

    /// Somebody may use these pages from now on, and finds them zero.
    pub(crate) fn hand_out(&mut self, first: PageId, pages: u64) -> Result<(), Broken> {
        for page in (first.0..first.0 + pages).map(PageId) {
            let used = |c: Cell| c.access > Access::None && c.content != Content::Version(0);
            if let Some(rank) = self.copies(page).position(used) {
                let how = format!("page {page} is handed out, and rank {rank} has it as it was");
                return Err(Broken::new(Promise::Runs, how));
            }
            self.latest[index(page)] = 0;
            self.used[index(page)] = true;
        }
        Ok(())
    }

    /// Nobody uses these pages any more.
    pub(crate) fn give_back(&mut self, first: PageId, pages: u64) {
        (first.0..first.0 + pages).for_each(|page| self.used[index(PageId(page))] = false);
    }

    /// A rank gives the memory of these pages back.
    pub(crate) fn clear(&mut self, rank: Rank, first: PageId, pages: u64) -> Result<(), Broken> {
        for page in (first.0..first.0 + pages).map(PageId) {
            let cell = self.cell_mut(rank, page);
            if cell.access > Access::None {
                let how =
                    format!("rank {rank} gives the memory of page {page} back, which is open");
                return Err(Broken::new(Promise::DriverCan, how));
            }
            cell.content = Content::Garbage;
        }
        Ok(())
    }

    pub(crate) fn cell(&self, rank: Rank, page: PageId) -> Cell {
        self.cells[self.slot(rank, page)]
    }

    pub(crate) fn cell_mut(&mut self, rank: Rank, page: PageId) -> &mut Cell {
        let slot = self.slot(rank, page);
        &mut self.cells[slot]
    }

    pub(crate) fn latest(&self, page: PageId) -> u32 {
        self.latest[index(page)]
    }

    pub(crate) fn load(&self, rank: Rank, page: PageId) -> Result<(), Broken> {
        let Cell { content, access } = self.cell(rank, page);
        assert!(access >= Access::Read, "a load runs where it is permitted");
        if content == Content::Version(self.latest(page)) {
            return Ok(());
        }
        let latest = self.latest(page);
        let how = format!("rank {rank} sees page {page} at {content:?}, the latest is {latest}");
        Err(Broken::new(Promise::NewestCopy, how))
    }

    pub(crate) fn store(&mut self, rank: Rank, page: PageId) -> Result<(), Broken> {
        self.load(rank, page)?;
        let latest = self.latest[index(page)] + 1;
        self.latest[index(page)] = latest;
        let cell = self.cell_mut(rank, page);
        assert!(cell.access == Access::Write, "a store runs where it is permitted");
        cell.content = Content::Version(latest);
        Ok(())
    }

    /// A rank is gone, and its memory with it.
    pub(crate) fn lose(&mut self, rank: Rank) {
        let start = usize::from(rank.0) * self.pages;
        self.cells[start..start + self.pages].fill(NOWHERE);
    }

    /// The memory of what this rank may not touch is given back.
    pub(crate) fn forget_unmapped(&mut self, rank: Rank) {
        let start = usize::from(rank.0) * self.pages;
        for cell in &mut self.cells[start..start + self.pages] {
            if cell.access == Access::None {
                cell.content = Content::Garbage;
            }
        }
    }

    /// Checks every page; `flying` tells whether a version is on its way between ranks.
    pub(crate) fn check(&self, flying: impl Fn(PageId, u32) -> bool) -> Result<(), Broken> {
        (0..self.pages).try_for_each(|page| {
            let page = PageId(page as u64);
            self.check_page(page)?;
            if !self.is_used(page) {
                return Ok(());
            }
            let latest = self.latest(page);
            let kept = self.copies(page).any(|cell| cell.content == Content::Version(latest));
            if latest == 0 || kept || flying(page, latest) {
                return Ok(());
            }
            let how = format!("version {latest} of page {page} is nowhere");
            Err(Broken::new(Promise::ContentKept, how))
        })
    }

    fn check_page(&self, page: PageId) -> Result<(), Broken> {
        let count = |access| self.copies(page).filter(|cell| cell.access == access).count();
        let (writers, readers) = (count(Access::Write), count(Access::Read));
        if writers > 1 || (writers == 1 && readers > 0) {
            let how = format!("page {page} has {writers} writers and {readers} readers");
            return Err(Broken::new(Promise::SingleWriter, how));
        }
        if !self.is_used(page) {
            return Ok(());
        }
        let latest = self.latest(page);
        let old = |c: &Cell| c.access > Access::None && c.content != Content::Version(latest);
        match self.copies(page).position(|cell| old(&cell)) {
            None => Ok(()),
            Some(rank) => {
                let how = format!("rank {rank} may read page {page} without its store {latest}");
                Err(Broken::new(Promise::NewestCopy, how))
            }
        }
    }

    fn copies(&self, page: PageId) -> impl Iterator<Item = Cell> {
        self.cells.iter().skip(index(page)).step_by(self.pages).copied()
    }

    /// One word a copy, equal for memories that differ only in how often pages were stored to.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        self.cells.iter().enumerate().map(|(slot, cell)| {
            let page = PageId((slot % self.pages) as u64);
            self.age(page, cell.content) * 4 + cell.access as u64
        })
    }

    /// Which pages are in use.
    pub(crate) fn used(&self) -> &[bool] {
        &self.used
    }

    /// Garbage, outdated or latest: more makes no difference to what can happen.
    pub(crate) fn age(&self, page: PageId, content: Content) -> u64 {
        match content {
            Content::Garbage => 0,
            // Of a page that nobody may use it counts whether it is zero.
            Content::Version(version) if !self.is_used(page) => 1 + u64::from(version == 0),
            Content::Version(version) if version < self.latest(page) => 1,
            Content::Version(_) => 2,
        }
    }

    fn slot(&self, rank: Rank, page: PageId) -> usize {
        usize::from(rank.0) * self.pages + index(page)
    }
}

fn index(page: PageId) -> usize {
    usize::try_from(page.0).expect("a world has few pages")
}

const NOWHERE: Cell = Cell { content: Content::Garbage, access: Access::None };
