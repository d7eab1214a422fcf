use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use std::ffi::c_void;
use std::ptr::{self, NonNull};

/// Memory that this process mapped and that stays mapped at `start..start + bytes` until the drop.
///
/// Nobody holds a Rust reference into it except through [`Mapping::atomics`], and whoever has it alone and gives no
/// advice on it any more.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

/// Where to map.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Placement {
    /// At this address, which must be free.
    At(usize),
    /// Where the kernel likes.
    Anywhere,
}

// SAFETY: a mapping belongs to the process, not to a thread. The methods on `&self` hand its range to
// system calls, which the kernel orders, and give out references to atomics only; nothing frees it
// before the drop, which needs sole ownership.
unsafe impl Send for Mapping {}
// SAFETY: as for Send; no method on `&self` touches the memory other than by system calls or atomics.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` of a file, shared, readable and writable, reserving no memory.
    pub(crate) fn of_file(
        file: BorrowedFd<'_>,
        bytes: usize,
        placement: Placement,
    ) -> Result<Self, Errno> {
        let (hint, fixed) = placement.arguments();
        let flags = MapFlags::SHARED | MapFlags::NORESERVE | fixed;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the range or, with FIXED_NOREPLACE, refuses one that overlaps
        // anything mapped, so no existing memory changes.
        let start = unsafe { rustix::mm::mmap(hint, bytes, prot, flags, file, 0) }?;
        Self::adopt(start, bytes, placement)
    }

    /// Maps zeroed private memory that costs nothing until it is touched.
    pub(crate) fn anonymous(bytes: usize, placement: Placement) -> Result<Self, Errno> {
        let (hint, fixed) = placement.arguments();
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | fixed;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as for `of_file`.
        let start = unsafe { rustix::mm::mmap_anonymous(hint, bytes, prot, flags) }?;
        Self::adopt(start, bytes, placement)
    }

    fn adopt(start: *mut c_void, bytes: usize, placement: Placement) -> Result<Self, Errno> {
        let start = NonNull::new(start.cast()).expect("mmap does not return null");
        let mapping = Self { start, bytes };
        match placement {
            // Kernels before 4.17 take the address for a hint and map elsewhere if it is in use.
            Placement::At(address) if address != mapping.address() => Err(Errno::EXIST),
            Placement::At(_) | Placement::Anywhere => Ok(mapping),
        }
    }

    pub(crate) fn address(&self) -> usize {
        self.start.as_ptr().expose_provenance()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of the byte at `offset`; `offset..offset + bytes` must be inside.
    pub(crate) fn at(&self, offset: usize, bytes: usize) -> *mut u8 {
        assert!(
            offset.checked_add(bytes).is_some_and(|end| end <= self.bytes),
            "accesses stay inside the mapping of {} bytes: {bytes} at {offset}",
            self.bytes
        );
        self.start.as_ptr().wrapping_add(offset)
    }

    /// `count` values of type `A` from the byte at `offset` on.
    ///
    /// # Safety
    /// `A` is an atomic integer (so that any bytes are a value of it, and other threads, the kernel
    /// and the other view of the same memory may change it).
    ///
    /// # Panics
    /// If the values are not inside the mapping or not aligned.
    pub(crate) unsafe fn atomics<A>(&self, offset: usize, count: usize) -> &[A] {
        let bytes = size_of::<A>().checked_mul(count).expect("the count is bounded by the mapping");
        let first = self.at(offset, bytes).cast::<A>();
        assert!(first.is_aligned(), "atomics are aligned");
        // SAFETY: the range is inside one mapping that lives as long as `self`, aligned by the
        // assertion above, not over isize::MAX bytes because mappings are not; `A` has interior
        // mutability and no invalid values by this function's contract. A part of the mapping that is
        // not accessible makes the thread stop or end at the access, never read something else.
        unsafe { std::slice::from_raw_parts(first, count) }
    }

    /// Gives the kernel advice on the whole mapping.
    pub(crate) fn advise(&self, advice: Advice) -> Result<(), Errno> {
        self.advise_range(0, self.bytes, advice)
    }

    /// Gives the kernel advice on a part of the mapping.
    pub(crate) fn advise_range(
        &self,
        offset: usize,
        bytes: usize,
        advice: Advice,
    ) -> Result<(), Errno> {
        match self.try_advise_range(offset, bytes, advice) {
            // A program that locks its memory with mlockall(2) locks this too, which keeps pages from
            // being given back. They are not the program's to lock.
            Err(Errno::INVAL) => {
                // SAFETY: the range is this mapping; its content stays.
                unsafe { rustix::mm::munlock(self.start.as_ptr().cast(), self.bytes) }?;
                self.try_advise_range(offset, bytes, advice)
            }
            other => other,
        }
    }

    fn try_advise_range(&self, offset: usize, bytes: usize, advice: Advice) -> Result<(), Errno> {
        let start = self.at(offset, bytes).cast();
        // SAFETY: the range belongs to this mapping. No advice given here changes memory that Rust
        // owns: references into a mapping are to atomics, whose content may change at any time.
        unsafe { rustix::mm::madvise(start, bytes, advice) }
    }

    /// Changes what the process's threads may do with a part of the mapping.
    pub(crate) fn protect_range(
        &self,
        offset: usize,
        bytes: usize,
        flags: MprotectFlags,
    ) -> Result<(), Errno> {
        let start = self.at(offset, bytes).cast();
        // SAFETY: the range belongs to this mapping; losing access makes later accesses fault.
        unsafe { rustix::mm::mprotect(start, bytes, flags) }
    }
}

impl Placement {
    fn arguments(self) -> (*mut c_void, MapFlags) {
        match self {
            Self::At(address) => {
                (ptr::with_exposed_provenance_mut(address), MapFlags::FIXED_NOREPLACE)
            }
            Self::Anywhere => (ptr::null_mut(), MapFlags::empty()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by this value and is unmapped once; references into it
        // borrow `self`, so none is left.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
        unmapped.expect("a mapping of our own can be unmapped");
    }
}
