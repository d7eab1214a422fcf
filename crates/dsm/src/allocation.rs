//! Allocation by address: the rank's arena, the runs it gets from rank 0, and the blocks of other ranks.

use crate::Node;
use crate::calls::CallError;
use crate::heap::{Arena, Content, Freed, HeapError, Memory, Runs, named};
use crate::sync::SyncError;
use dsm_core::{Answer, Ask, Call, ObjectId, Rank};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

impl Node {
    /// Bytes of the shared heap, zeroed, at a multiple of `align` and of 16. Any rank may free them. What
    /// is large begins a page of its own, and its pages cost nothing until they are touched.
    ///
    /// # Errors
    /// [`HeapError::Exhausted`]; [`HeapError::BadAlignment`] unless `align` is a power of two.
    pub fn allocate(&self, bytes: usize, align: usize) -> Result<usize, HeapError> {
        self.require_own_family()?;
        let block = self.arena.allocate(bytes, align, self)?;
        if block.content == Content::Used {
            for word in self.heap_words(block.address, bytes.div_ceil(size_of::<u64>())) {
                word.store(0, SeqCst);
            }
        }
        Ok(block.address)
    }

    /// Gives back what [`allocate`](Self::allocate) gave out on any rank.
    ///
    /// # Errors
    /// [`HeapError::NotAllocated`] if nothing begins at the address, [`HeapError::DoubleFree`] if it was
    /// given back before and not handed out again.
    pub fn free(&self, address: usize) -> Result<(), HeapError> {
        self.require_own_family()?;
        let foreign = HeapError::NotAllocated { address };
        let Ok(object) = self.object(address) else { return Err(foreign) };
        match self.arena.free(address)? {
            Freed::Done => return Ok(()),
            Freed::Emptied { run } => {
                self.give(run);
                return Ok(());
            }
            Freed::NotMine => (),
        }
        let Answer::Owner(owner) = self.ask_heap(Call::Ask { object, ask: Ask::RunOwner })? else {
            return Err(foreign);
        };
        if owner == Rank(self.rank()) {
            return Err(foreign);
        }
        match self.ask_heap(Call::Free { owner, object })? {
            Answer::Done => Ok(()),
            Answer::Free => Err(HeapError::DoubleFree { address }),
            _ => Err(foreign),
        }
    }

    /// The object of a name: the first caller in the job allocates `bytes` zeroed bytes for it, at a
    /// multiple of 64, and everybody gets the same address. It is never freed.
    ///
    /// # Errors
    /// [`HeapError::SizeDiffers`] if the first caller asked for another size; [`HeapError::BadName`] if the
    /// name is empty, longer than 255 bytes or contains a zero byte.
    pub fn named_bytes(&self, name: &str, bytes: usize) -> Result<usize, HeapError> {
        self.require_own_family()?;
        named(self, self.region.heap_base(), name, bytes)
    }

    fn ask_heap(&self, call: Call) -> Result<Answer, HeapError> {
        Ok(self.calls.call(call)?)
    }

    fn heap_words(&self, address: usize, len: usize) -> &[AtomicU64] {
        let offset = address - self.region.base();
        self.region.words(offset, len).expect("blocks are inside the region and aligned")
    }
}

impl Runs for Node {
    fn take(&self, pages: u64) -> Result<usize, HeapError> {
        let page_bytes = self.page_bytes();
        let bytes = usize::try_from(pages).ok().and_then(|pages| pages.checked_mul(page_bytes));
        let exhausted = HeapError::Exhausted { bytes: bytes.unwrap_or(usize::MAX) };
        if pages > self.space.pages {
            return Err(exhausted);
        }
        let (object, ask) = (ObjectId(0), Ask::RunTake { pages });
        match self.ask_heap(Call::Ask { object, ask })? {
            Answer::Run(first) => {
                let first = usize::try_from(first.0).expect("the region fits the address space");
                Ok(self.region.base() + first * page_bytes)
            }
            _ => Err(exhausted),
        }
    }

    fn give(&self, run: usize) {
        let object = self.object(run).expect("runs are in the region");
        self.calls.post(Call::Ask { object, ask: Ask::RunGive });
    }
}

impl Memory for Node {
    fn lock(&self, mutex: usize) -> Result<(), HeapError> {
        self.mutex_lock(mutex).map_err(|error| {
            assert!(error == SyncError::Left, "the mutex of the names can be locked: {error}");
            HeapError::Left
        })
    }

    fn unlock(&self, mutex: usize) {
        // The rank may have left meanwhile; then nobody waits for it any more.
        let _ = self.mutex_unlock(mutex);
    }

    fn allocate(&self, bytes: usize, align: usize) -> Result<usize, HeapError> {
        Node::allocate(self, bytes, align)
    }

    fn free(&self, address: usize) {
        // It was allocated just now, and only its address could not be made known.
        let _ = Node::free(self, address);
    }

    fn load(&self, address: usize) -> u64 {
        self.heap_words(address, 1)[0].load(SeqCst)
    }

    fn store(&self, address: usize, value: u64) {
        self.heap_words(address, 1)[0].store(value, SeqCst);
    }
}

impl From<CallError> for HeapError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::ForeignRanks { profile } => Self::ForeignRanks { profile },
            CallError::BarrierBusy | CallError::Left => Self::Left,
        }
    }
}

/// Frees a block of this rank's arena for a thread of another rank, and says which run nobody uses any
/// more. `None`: later.
pub(crate) fn free_for_peer(arena: &Arena, address: usize) -> Option<(Answer, Option<usize>)> {
    Some(match arena.try_free(address)? {
        Ok(Freed::Done) => (Answer::Done, None),
        Ok(Freed::Emptied { run }) => (Answer::Done, Some(run)),
        Err(HeapError::DoubleFree { .. }) => (Answer::Free, None),
        Ok(Freed::NotMine) | Err(_) => (Answer::NotTaken, None),
    })
}
