use super::chunk::{Chunk, MOST_BLOCKS};
use super::size_class::SizeClass;
use super::{Block, Freed, HeapError};
use std::collections::{BTreeMap, BTreeSet};

/// The chunks of one size class. The lowest one with room is used first, so that the others become empty.
///
/// Invariant: `open` has the chunks with a free block; `spare` is the only one without a block in use.
///
/// Two pools share no cache line, so that threads with different sizes do not slow each other down.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Pool {
    class: SizeClass,
    page_bytes: usize,
    /// By address.
    chunks: BTreeMap<usize, Chunk>,
    open: BTreeSet<usize>,
    spare: Option<usize>,
    /// Bytes of all chunks.
    bytes: usize,
}

impl Pool {
    pub(crate) fn new(class: SizeClass, page_bytes: usize) -> Self {
        let (chunks, open) = (BTreeMap::new(), BTreeSet::new());
        Self { class, page_bytes, chunks, open, spare: None, bytes: 0 }
    }

    /// A free block, if there is one.
    pub(crate) fn take(&mut self) -> Option<Block> {
        let base = *self.open.first()?;
        let chunk = self.chunks.get_mut(&base).expect("open chunks are chunks of the pool");
        let block = chunk.take();
        if chunk.is_full() {
            self.open.remove(&base);
        }
        if self.spare == Some(base) {
            self.spare = None;
        }
        block
    }

    /// Makes a run of zero pages a chunk and hands out its first block.
    pub(crate) fn adopt(&mut self, run: usize, pages: u64) -> Block {
        let pages = usize::try_from(pages).expect("a chunk fits the address space");
        let bytes = pages * self.page_bytes;
        let mut chunk = Chunk::new(run, bytes, self.class.bytes());
        let block = chunk.take().expect("a fresh chunk has room");
        if !chunk.is_full() {
            self.open.insert(run);
        }
        self.chunks.insert(run, chunk);
        self.bytes += bytes;
        block
    }

    /// Frees a block. A chunk that becomes empty stays for the next block, unless another one does.
    pub(crate) fn free(&mut self, address: usize) -> Result<Freed, HeapError> {
        // The chunk that was seen at this address may have been given back since.
        let found = self.chunks.range_mut(..=address).next_back();
        let Some((&base, chunk)) = found.filter(|(_, chunk)| chunk.contains(address)) else {
            return Ok(Freed::NotMine);
        };
        chunk.free(address)?;
        self.open.insert(base);
        if !chunk.is_empty() {
            return Ok(Freed::Done);
        }
        if self.spare.is_none() {
            self.spare = Some(base);
            return Ok(Freed::Done);
        }
        self.remove(base);
        Ok(Freed::Emptied { run: base })
    }

    /// Takes the empty chunk out of the pool, if there is one.
    pub(crate) fn take_spare(&mut self) -> Option<usize> {
        let run = self.spare.take()?;
        self.remove(run);
        Some(run)
    }

    /// How long the next chunk should be: as long as all before together, so that many blocks need few
    /// runs and few blocks little address space.
    pub(crate) fn pages_wanted(&self) -> u64 {
        let block = self.class.bytes();
        let shortest = SHORTEST_CHUNK.max(FEWEST_BLOCKS * block);
        let longest = LONGEST_CHUNK.min(MOST_BLOCKS * block);
        self.bytes.clamp(shortest, longest).div_ceil(self.page_bytes) as u64
    }

    /// How long the next chunk must be.
    pub(crate) fn pages_needed(&self) -> u64 {
        self.class.bytes().div_ceil(self.page_bytes) as u64
    }

    fn remove(&mut self, base: usize) {
        self.open.remove(&base);
        let chunk = self.chunks.remove(&base).expect("a chunk of the pool is removed");
        self.bytes -= chunk.bytes();
    }
}

const SHORTEST_CHUNK: usize = 64 << 10;
const LONGEST_CHUNK: usize = 1 << 20;
const FEWEST_BLOCKS: usize = 4;
