use super::super::{Arena, Content, Freed, HeapError, Runs};
use super::pages::{PAGE, Pages};
use super::rng::Rng;
use std::sync::atomic::Ordering::Relaxed;

/// What one thread allocated and did not free.
///
/// Every word of a block tells its address, so that two blocks that overlap are found when the first of
/// them is freed.
#[derive(Debug)]
pub(super) struct Model<'a> {
    arena: &'a Arena,
    pages: &'a Pages,
    live: Vec<Live>,
    bytes: usize,
    most_bytes: usize,
    /// Freed last.
    freed: usize,
}

/// A block in use.
#[derive(Debug)]
pub(super) struct Live {
    address: usize,
    bytes: usize,
}

impl<'a> Model<'a> {
    pub(super) fn new(arena: &'a Arena, pages: &'a Pages) -> Self {
        Self { arena, pages, live: Vec::new(), bytes: 0, most_bytes: 0, freed: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    pub(super) fn allocate(&mut self, rng: &mut Rng) {
        let bytes = size(rng);
        let align = 1 << [0, 3, 4, 4, 4, 6, 7, 12, 14][rng.place(9)];
        let block = match self.arena.allocate(bytes, align, self.pages) {
            Ok(block) => block,
            Err(error) => panic!("{bytes} bytes at {align}: {error}"),
        };
        assert!(block.address.is_multiple_of(align), "{block:x?} for {align}");
        let live = Live { address: block.address, bytes };
        for word in live.words() {
            let word = self.pages.word(word);
            match block.content {
                Content::Zero => assert_eq!(word.load(Relaxed), 0, "{block:x?} is zero"),
                // As whoever hands it on does.
                Content::Used => word.store(0, Relaxed),
            }
        }
        self.receive(live);
    }

    /// Takes over a block in use and marks it.
    pub(super) fn receive(&mut self, live: Live) {
        live.words().for_each(|word| self.pages.word(word).store(live.address as u64, Relaxed));
        self.bytes += live.bytes;
        self.most_bytes = self.most_bytes.max(self.bytes);
        self.live.push(live);
    }

    /// Parts with a random block, of which there is one.
    pub(super) fn part(&mut self, rng: &mut Rng) -> Live {
        let live = self.live.swap_remove(rng.place(self.live.len()));
        self.check(&live);
        self.bytes -= live.bytes;
        live
    }

    pub(super) fn free(&mut self, rng: &mut Rng) {
        let Live { address, .. } = self.part(rng);
        self.freed = address;
        self.free_block(address);
    }

    pub(super) fn free_all(&mut self) {
        for live in std::mem::take(&mut self.live) {
            self.check(&live);
            self.free_block(live.address);
        }
    }

    /// Tries to free what cannot be freed.
    pub(super) fn free_what_is_no_block(&mut self, rng: &mut Rng) {
        let again = self.freed;
        if !self.live.iter().any(|live| live.address == again) {
            let freed = self.arena.free(again);
            // Where the last block was, there is a free one, or a chunk of others, or nothing of ours.
            let expected = [
                Ok(Freed::NotMine),
                Err(HeapError::DoubleFree { address: again }),
                Err(HeapError::NotAllocated { address: again }),
            ];
            assert!(expected.contains(&freed), "{again:#x}: {freed:?}");
        }
        if let Some(live) = self.live.get(rng.place(self.live.len().max(1)))
            && live.bytes > 16
        {
            let address = live.address + 1 + rng.place(live.bytes - 1).min(15);
            let refused = Err(HeapError::NotAllocated { address });
            assert_eq!(self.arena.free(address), refused, "in {live:x?}");
        }
    }

    fn check(&self, live: &Live) {
        for word in live.words() {
            let content = self.pages.word(word).load(Relaxed);
            assert_eq!(content, live.address as u64, "{live:x?} is as it was left at {word:#x}");
        }
    }

    fn free_block(&self, address: usize) {
        match self.arena.free(address) {
            Ok(Freed::Done) => (),
            Ok(Freed::Emptied { run }) => self.pages.give(run),
            other => panic!("{address:#x} is in use: {other:?}"),
        }
    }
}

impl Live {
    /// The words of a block: all of a small one; of a large one the first and last of every page.
    fn words(&self) -> impl Iterator<Item = usize> {
        let end = (self.address + self.bytes).next_multiple_of(8);
        let all = end - self.address <= 512;
        let first = (self.address..end).step_by(if all { 8 } else { PAGE });
        let last = if all { None } else { Some(end - 8) };
        first.chain(last)
    }
}

/// Mostly small sizes, and some of every magnitude up to 512 KiB.
fn size(rng: &mut Rng) -> usize {
    let most = match rng.below(1000) {
        0..600 => 128,
        600..950 => 1024,
        950..998 => 40_000,
        _ => 512 << 10,
    };
    rng.place(most)
}
