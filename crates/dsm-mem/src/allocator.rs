use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// Memory for who serves faults: an allocation never waits for another thread.
///
/// A signal handler of the program may stop on a page while its thread is in the middle of `malloc`, with a
/// lock that `malloc` on other threads waits for. Were that the driver, or a thread that runs it, nobody
/// would bring the page. Here a thread that finds a lock taken goes on to the next arena, and freed
/// blocks are handed over without a lock, so it does not matter where a thread was interrupted, nor what
/// others held when a process was forked.
///
/// Blocks have the size of a power of two and are aligned to it. They are used again and not given back to
/// the kernel, except large ones. To be the `#[global_allocator]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

/// A place that blocks are taken from, by one thread at a time.
struct Arena {
    is_taken: AtomicBool,
    /// Used by whoever set `is_taken`.
    stock: UnsafeCell<Stock>,
}

struct Stock {
    /// Of each class, the first free block.
    free: [*mut Block; CLASSES],
    /// What is left of the last piece of memory that the kernel gave.
    fresh: usize,
    end: usize,
}

/// A free block; the rest of it means nothing.
struct Block {
    next: *mut Block,
}

// SAFETY: `stock` is used only between a successful `take` and the `drop` of what it returned, which one
// thread at a time can be; the pointers in it are to blocks that nobody else has.
unsafe impl Sync for Arena {}

// SAFETY: a block given out is `CLASS_BYTES << class` bytes, at least the size and the alignment asked for,
// aligned to that, mapped and in nobody else's hands until it is freed; a large one is a mapping of its
// own. Nothing here panics or unwinds.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class_of(layout) {
            Some(class) => take_block(class).map_or(ptr::null_mut(), |block| block.as_ptr().cast()),
            None => map(layout.size(), layout.align()),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class_of(layout) {
            Some(class) => give_back(block.cast(), class),
            // SAFETY: the block is the mapping that `alloc` made for this layout, and its user is done
            // with it, as the caller promises.
            None => unsafe { unmap(block, layout.size()) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size`, rounded up to the alignment, does not overflow.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let class = class_of(layout);
        if class.is_some() && class == class_of(wanted) {
            return block;
        }
        // SAFETY: `size` is not 0, as the caller promises.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both blocks have at least as many bytes, and they are not the same.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size().min(size)) };
            // SAFETY: the caller gave it up, and what it held is copied.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

/// The class of the smallest blocks that are large and aligned enough; none for what is mapped by itself.
fn class_of(layout: Layout) -> Option<usize> {
    let bytes = layout.size().max(layout.align()).max(SMALLEST);
    let class = bytes.checked_next_power_of_two()?.trailing_zeros() - SMALLEST.trailing_zeros();
    let class = class as usize;
    (class < CLASSES).then_some(class)
}

/// A block from the first arena that no other thread is in.
fn take_block(class: usize) -> Option<NonNull<Block>> {
    for arena in &ARENAS {
        if arena.is_taken.swap(true, Ordering::Acquire) {
            continue;
        }
        // SAFETY: this thread alone is in the arena until it says otherwise below.
        let stock = unsafe { &mut *arena.stock.get() };
        let block = stock.take(class);
        arena.is_taken.store(false, Ordering::Release);
        return block;
    }
    // As many threads as there are arenas are interrupted in one, or were when the process was forked.
    let bytes = SMALLEST << class;
    NonNull::new(map(bytes, bytes).cast())
}

impl Stock {
    fn take(&mut self, class: usize) -> Option<NonNull<Block>> {
        if self.free[class].is_null() {
            // All at once: a block that others could take meanwhile has no successor to be read.
            self.free[class] = FREED[class].swap(ptr::null_mut(), Ordering::Acquire);
        }
        match NonNull::new(self.free[class]) {
            Some(block) => {
                // SAFETY: a free block holds what `give_back` wrote, and belongs to this arena.
                self.free[class] = unsafe { block.as_ref() }.next;
                Some(block)
            }
            None => self.cut(SMALLEST << class),
        }
    }

    /// A block that was never used.
    fn cut(&mut self, bytes: usize) -> Option<NonNull<Block>> {
        let mut at = self.fresh.next_multiple_of(bytes);
        if at + bytes > self.end {
            let piece = map(PIECE_BYTES, PIECE_BYTES);
            if piece.is_null() {
                return None;
            }
            at = piece.expose_provenance();
            self.end = at + PIECE_BYTES;
        }
        self.fresh = at + bytes;
        NonNull::new(ptr::with_exposed_provenance_mut(at))
    }
}

/// Adds a block to the free ones of its class. Nobody waits for a thread that is interrupted here.
fn give_back(block: *mut Block, class: usize) {
    let mut next = FREED[class].load(Ordering::Relaxed);
    loop {
        // SAFETY: the block is valid for writes of at least a pointer, aligned, and its user is done
        // with it.
        unsafe { block.write(Block { next }) };
        match FREED[class].compare_exchange_weak(next, block, Ordering::Release, Ordering::Relaxed)
        {
            Ok(_) => return,
            Err(present) => next = present,
        }
    }
}

/// Zeroed memory of its own; null if the kernel has none. `align` is a power of two.
fn map(bytes: usize, align: usize) -> *mut u8 {
    // What is too much is cut off on both sides.
    let spare = if align > rustix::param::page_size() { align } else { 0 };
    let Some(all) = bytes.checked_add(spare) else { return ptr::null_mut() };
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: without an address the kernel chooses a free range; nothing existing changes.
    let start = unsafe { libc::mmap(ptr::null_mut(), all, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return ptr::null_mut();
    }
    let start: *mut u8 = start.cast();
    if spare == 0 {
        return start;
    }
    let before = start.addr().next_multiple_of(align) - start.addr();
    let first = start.wrapping_add(before);
    let end = first.wrapping_add(bytes.next_multiple_of(rustix::param::page_size()));
    let after = (start.addr() + all).saturating_sub(end.addr());
    // SAFETY: the parts are whole pages of the mapping made above, outside of what is given out.
    unsafe { unmap(start, before) };
    // SAFETY: as above.
    unsafe { unmap(end, after) };
    first
}

/// Gives a mapping back to the kernel.
///
/// # Safety
/// The range is mapped by [`map`], and nobody uses it.
unsafe fn unmap(start: *mut u8, bytes: usize) {
    if bytes > 0 {
        // SAFETY: by this function's contract. It cannot fail but for a lack of memory for what is left
        // of a mapping, which then stays.
        unsafe { libc::munmap(start.cast(), bytes) };
    }
}

/// Blocks of 16 bytes to 512 KiB.
const CLASSES: usize = 16;
const SMALLEST: usize = 16;
/// What the kernel is asked for at once.
const PIECE_BYTES: usize = 1 << 20;

static ARENAS: [Arena; 32] = [const {
    let stock = Stock { free: [ptr::null_mut(); CLASSES], fresh: 0, end: 0 };
    Arena { is_taken: AtomicBool::new(false), stock: UnsafeCell::new(stock) }
}; 32];
/// Of each class, the blocks that were freed and are in no arena.
static FREED: [AtomicPtr<Block>; CLASSES] = [const { AtomicPtr::new(ptr::null_mut()) }; CLASSES];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_large_and_aligned_enough() {
        let class = |size, align| class_of(Layout::from_size_align(size, align).unwrap());
        assert_eq!(class(1, 1), Some(0));
        assert_eq!(class(16, 16), Some(0));
        assert_eq!(class(17, 1), Some(1));
        assert_eq!(class(8, 4096), Some(8));
        assert_eq!(class(512 << 10, 1), Some(15));
        assert_eq!(class((512 << 10) + 1, 1), None);
        assert_eq!(class(1, 1 << 20), None);
        assert_eq!(class(isize::MAX as usize, 1), None);
    }
}
