//! The shared heap as the threads of one rank use it.
//!
//! Rank 0 hands out runs of pages. An [`Arena`] cuts some of them into blocks of one size and hands out
//! others whole, and what it keeps of them is private to the process: shared pages have no headers and no
//! free lists. Kept in the pages themselves, that would cost a fault wherever it is read (allocators that
//! do were seen to touch 4 to 900 shared pages for one call), the driver could not free what another rank
//! gives back, and a stray store of the program would break the heap of every rank.
//!
//! A run belongs to one rank, and a chunk of blocks to one size: small objects of two ranks never share a
//! page by accident. Nothing here knows of ranks or messages, or touches shared memory.

mod chunk;
mod error;
mod names;
mod pool;
mod size_class;
mod spans;
#[cfg(test)]
mod tests;

pub use error::HeapError;
pub(crate) use names::{Memory, named};

use pool::Pool;
use size_class::SizeClass;
use spans::{Kind, Spans};
use std::sync::{Mutex, MutexGuard};

/// The part of the shared heap that one rank hands out. All its threads may use it at once: those that
/// want blocks of one size class take turns, others do not meet.
///
/// Invariant: no lock is held while a run is asked for, so a thread that waits for one stops nobody.
#[derive(Debug)]
pub(crate) struct Arena {
    page_bytes: usize,
    /// By size class.
    pools: [Mutex<Pool>; SizeClass::COUNT],
    spans: Spans,
}

/// Where an arena gets whole pages.
pub(crate) trait Runs {
    /// The address of a run of this many pages, which are zero. May wait for other ranks.
    ///
    /// # Errors
    /// [`HeapError::Exhausted`] when no run is that long, with any number of bytes, or
    /// [`HeapError::Left`].
    fn take(&self, pages: u64) -> Result<usize, HeapError>;

    /// Gives a run back that nobody uses any more. Does not wait.
    fn give(&self, run: usize);
}

/// Memory for one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) address: usize,
    pub(crate) content: Content,
}

/// What is in a block that is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Zeros: it was not used before, and nobody needs to touch it.
    Zero,
    /// What its last user left there. Whoever hands it on makes it zero.
    Used,
}

/// What became of a block that was to be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Freed {
    /// It is free.
    Done,
    /// It is free, and its run is not needed any more: to be given back.
    Emptied { run: usize },
    /// It is in no run of this arena.
    NotMine,
}

impl Arena {
    pub(crate) fn new(page_bytes: usize) -> Self {
        let pool = |class| Mutex::new(Pool::new(SizeClass::all()[class], page_bytes));
        Self { page_bytes, pools: std::array::from_fn(pool), spans: Spans::default() }
    }

    /// Memory for `bytes` bytes at a multiple of `align`, which is a power of two. Every block has an
    /// address of its own, also one of no bytes.
    ///
    /// # Errors
    /// [`HeapError::BadAlignment`], [`HeapError::Exhausted`], or what `runs` says.
    pub(crate) fn allocate(
        &self,
        bytes: usize,
        align: usize,
        runs: &impl Runs,
    ) -> Result<Block, HeapError> {
        if !align.is_power_of_two() {
            return Err(HeapError::BadAlignment { align });
        }
        // Chunks begin at a page, so their blocks are not aligned to more.
        let class = SizeClass::fitting(bytes, align).filter(|_| align <= self.page_bytes);
        let allocated = match class {
            Some(class) => self.allocate_block(class, runs),
            None => self.allocate_run(bytes, align, runs),
        };
        allocated.map_err(|error| match error {
            HeapError::Exhausted { .. } => HeapError::Exhausted { bytes },
            other => other,
        })
    }

    /// Frees the block that begins at `address`.
    ///
    /// # Errors
    /// [`HeapError::NotAllocated`] and [`HeapError::DoubleFree`].
    pub(crate) fn free(&self, address: usize) -> Result<Freed, HeapError> {
        match self.spans.kind_of(address) {
            None => Ok(Freed::NotMine),
            Some(Kind::Blocks(class)) => self.free_block(class, address),
            Some(Kind::Object { .. }) => self.free_object(address),
        }
    }

    /// As [`free`](Self::free), for the driver. `None`: later, because a thread of the program is in the way,
    /// which may be in a signal handler that waits for the driver.
    pub(crate) fn try_free(&self, address: usize) -> Option<Result<Freed, HeapError>> {
        let mut spans = self.spans.try_lock()?;
        Some(match spans.kind_of(address) {
            None => Ok(Freed::NotMine),
            Some(Kind::Blocks(class)) => {
                let freed = self.pools[class.index()].try_lock().ok()?.free(address);
                if let Ok(Freed::Emptied { run }) = freed {
                    spans.remove(run);
                }
                freed
            }
            Some(Kind::Object { .. }) => {
                let run = spans.remove_object(address);
                run.map(|run| Freed::Emptied { run }).ok_or(HeapError::NotAllocated { address })
            }
        })
    }

    /// Gives the empty chunks back that are kept for later. Says whether there were any.
    fn give_spares(&self, runs: &impl Runs) -> bool {
        let mut any = false;
        for class in SizeClass::all() {
            // A statement of its own, which ends the lock before the run is given.
            let spare = self.pool(class).take_spare();
            if let Some(run) = spare {
                self.spans.lock().remove(run);
                runs.give(run);
                any = true;
            }
        }
        any
    }

    fn allocate_block(&self, class: SizeClass, runs: &impl Runs) -> Result<Block, HeapError> {
        let (wanted, least) = {
            let mut pool = self.pool(class);
            if let Some(block) = pool.take() {
                return Ok(block);
            }
            (pool.pages_wanted(), pool.pages_needed())
        };
        let taken = match runs.take(wanted) {
            Ok(run) => Ok((run, wanted)),
            Err(HeapError::Exhausted { .. }) => self.take_run(least, runs).map(|run| (run, least)),
            Err(error) => Err(error),
        };
        match taken {
            // Another thread may have found blocks meanwhile: this chunk is for the next ones then.
            Ok((run, pages)) => {
                self.spans.insert(run, self.bytes_of(pages), Kind::Blocks(class));
                Ok(self.pool(class).adopt(run, pages))
            }
            // Another thread may have freed one.
            Err(error @ HeapError::Exhausted { .. }) => self.pool(class).take().ok_or(error),
            Err(error) => Err(error),
        }
    }

    fn allocate_run(
        &self,
        bytes: usize,
        align: usize,
        runs: &impl Runs,
    ) -> Result<Block, HeapError> {
        // A run begins at any page; the pages before and behind the object are never touched.
        let slack = align.max(self.page_bytes) - self.page_bytes;
        let padded = bytes.max(1).checked_add(slack).ok_or(HeapError::Exhausted { bytes })?;
        let pages = padded.div_ceil(self.page_bytes) as u64;
        let run = self.take_run(pages, runs)?;
        let address = run.next_multiple_of(align);
        self.spans.insert(run, self.bytes_of(pages), Kind::Object { address });
        Ok(Block { address, content: Content::Zero })
    }

    /// A run, for which the chunks kept for later are given up if nothing else helps.
    fn take_run(&self, pages: u64, runs: &impl Runs) -> Result<usize, HeapError> {
        match runs.take(pages) {
            Err(HeapError::Exhausted { .. }) if self.give_spares(runs) => runs.take(pages),
            other => other,
        }
    }

    fn free_block(&self, class: SizeClass, address: usize) -> Result<Freed, HeapError> {
        let freed = self.pool(class).free(address)?;
        if let Freed::Emptied { run } = freed {
            // Before the run is given back: it may come again, to be something else.
            self.spans.lock().remove(run);
        }
        Ok(freed)
    }

    fn free_object(&self, address: usize) -> Result<Freed, HeapError> {
        let run = self.spans.lock().remove_object(address);
        run.map(|run| Freed::Emptied { run }).ok_or(HeapError::NotAllocated { address })
    }

    fn pool(&self, class: SizeClass) -> MutexGuard<'_, Pool> {
        self.pools[class.index()].lock().expect("no thread panics with a pool locked")
    }

    fn bytes_of(&self, pages: u64) -> usize {
        let pages = usize::try_from(pages).expect("a run fits the address space");
        pages * self.page_bytes
    }
}
