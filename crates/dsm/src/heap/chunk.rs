use super::{Block, Content, HeapError};

/// A run of pages cut into blocks of one size.
///
/// The lowest free block is handed out first, so that few pages are in use, and blocks that were never
/// handed out follow those that were.
#[derive(Debug)]
pub(crate) struct Chunk {
    base: usize,
    bytes: usize,
    block_bytes: usize,
    blocks: usize,
    /// A bit for every block, 1 if it is free.
    free: Box<[u64]>,
    /// A bit for every word of `free`, 1 if it is not 0.
    open: u64,
    in_use: usize,
    /// Blocks from this one on were never handed out.
    fresh: usize,
}

impl Chunk {
    /// A chunk at `base` with as many free blocks as `bytes` have room for, at least one, at most
    /// [`MOST_BLOCKS`].
    pub(crate) fn new(base: usize, bytes: usize, block_bytes: usize) -> Self {
        let blocks = (bytes / block_bytes).min(MOST_BLOCKS);
        assert!(blocks > 0, "a chunk has room for a block: {bytes} bytes for {block_bytes}");
        let words = blocks.div_ceil(WORD);
        let free = (0..words).map(|word| lowest(blocks - word * WORD)).collect();
        let open = lowest(words);
        Self { base, bytes, block_bytes, blocks, free, open, in_use: 0, fresh: 0 }
    }

    /// Hands out the lowest free block.
    pub(crate) fn take(&mut self) -> Option<Block> {
        if self.open == 0 {
            return None;
        }
        let word = self.open.trailing_zeros() as usize;
        let bit = self.free[word].trailing_zeros() as usize;
        self.free[word] &= !(1 << bit);
        if self.free[word] == 0 {
            self.open &= !(1 << word);
        }
        self.in_use += 1;
        let at = word * WORD + bit;
        let content = if at < self.fresh { Content::Used } else { Content::Zero };
        self.fresh = self.fresh.max(at + 1);
        Some(Block { address: self.base + at * self.block_bytes, content })
    }

    /// Takes the block at `address` back, an address of the chunk.
    pub(crate) fn free(&mut self, address: usize) -> Result<(), HeapError> {
        let offset = address - self.base;
        let at = offset / self.block_bytes;
        // Behind the last block there is a rest of the run, and before it blocks that nobody had yet.
        if !offset.is_multiple_of(self.block_bytes) || at >= self.fresh {
            return Err(HeapError::NotAllocated { address });
        }
        let (word, bit) = (at / WORD, at % WORD);
        if self.free[word] & 1 << bit != 0 {
            return Err(HeapError::DoubleFree { address });
        }
        self.free[word] |= 1 << bit;
        self.open |= 1 << word;
        self.in_use -= 1;
        Ok(())
    }

    pub(crate) fn contains(&self, address: usize) -> bool {
        (self.base..self.base + self.bytes).contains(&address)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_full(&self) -> bool {
        self.in_use == self.blocks
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.in_use == 0
    }
}

/// A word with its lowest `count` bits set, all if there are fewer.
fn lowest(count: usize) -> u64 {
    if count >= WORD { u64::MAX } else { (1 << count) - 1 }
}

/// One word has a bit for every word of blocks.
pub(crate) const MOST_BLOCKS: usize = WORD * WORD;
const WORD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(blocks: usize) -> Chunk {
        Chunk::new(0x10000, blocks * 48 + 40, 48)
    }

    /// Takes a block and gives its number.
    fn take(chunk: &mut Chunk) -> (usize, Content) {
        let block = chunk.take().unwrap();
        ((block.address - 0x10000) / 48, block.content)
    }

    #[test]
    fn the_lowest_block_comes_first_and_is_known_to_be_used() {
        let mut chunk = chunk(5);
        let first: Vec<_> = (0..3).map(|_| take(&mut chunk)).collect();
        assert_eq!(first, [(0, Content::Zero), (1, Content::Zero), (2, Content::Zero)]);
        chunk.free(0x10000 + 48).unwrap();
        chunk.free(0x10000).unwrap();
        let next: Vec<_> = (0..4).map(|_| take(&mut chunk)).collect();
        let (used, zero) = (Content::Used, Content::Zero);
        assert_eq!(next, [(0, used), (1, used), (3, zero), (4, zero)]);
        assert!(chunk.is_full());
        assert_eq!(chunk.take(), None);
    }

    #[test]
    fn every_block_is_handed_out_once_whatever_their_number() {
        for blocks in [1, 63, 64, 65, 1000, MOST_BLOCKS - 1, MOST_BLOCKS, MOST_BLOCKS + 9] {
            let mut chunk = chunk(blocks);
            let count = blocks.min(MOST_BLOCKS);
            assert!((0..count).all(|at| take(&mut chunk) == (at, Content::Zero)), "{blocks}");
            assert_eq!(chunk.take(), None, "{blocks}");
            for at in (0..count).rev() {
                assert!(!chunk.is_empty());
                chunk.free(0x10000 + at * 48).unwrap();
            }
            assert!(chunk.is_empty());
        }
    }

    #[test]
    fn what_is_no_block_in_use_is_refused() {
        let mut chunk = chunk(70);
        for _ in 0..66 {
            take(&mut chunk);
        }
        chunk.free(0x10000 + 48 * 65).unwrap();
        let twice = 0x10000 + 48 * 65;
        assert_eq!(chunk.free(twice), Err(HeapError::DoubleFree { address: twice }));
        let never = [48 * 66, 48 * 69, 48 * 70, 48 * 70 + 16, 1, 24, 48 * 65 + 16, 48 * 70 + 39];
        for address in never.map(|offset| 0x10000 + offset) {
            assert_eq!(chunk.free(address), Err(HeapError::NotAllocated { address }));
        }
    }
}
