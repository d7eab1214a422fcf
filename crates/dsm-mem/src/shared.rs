//! The door between raw memory and values of Rust types.
//!
//! Who may access which bytes when is decided above this crate, by locks and by an allocator, in a crate that
//! has no unsafe code. This module turns those decisions into references. [`Custody`] stands for the right to
//! decide; there is one a process, and its methods state what the one who calls them answers for, as the
//! `# Safety` section of an unsafe function would. What they return is safe to use in any way.

mod buffer;
mod guarded;
mod owned;
mod shareable;

pub use buffer::Buffer;
pub use guarded::{Exclusive, Guarded, Inclusive};
pub use owned::{Owned, Ref};
pub use shareable::{Shareable, ZeroIsNone};

use crate::{Region, Word};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The right to decide who may access which bytes of shared memory.
///
/// Its methods are not `unsafe fn` only because the crate that has the locks may contain no unsafe code. Each
/// has a section *Contract*, which is to be kept as if they were.
#[derive(Debug)]
pub struct Custody(());

impl Custody {
    /// The custody of this process. `None` if it was assumed before.
    #[must_use]
    pub fn assume() -> Option<Self> {
        (!ASSUMED.swap(true, Ordering::SeqCst)).then_some(Self(()))
    }

    /// The value at an address, for everyone.
    ///
    /// # Contract
    /// While the region exists, the memory at `address` is used as a `T` alone, on all ranks; and it was
    /// zero before it was first used.
    ///
    /// # Panics
    /// If there is no room for a `T` at `address`, or it is not aligned; so for every method that takes an
    /// address.
    #[must_use]
    pub fn object<'a, T: Shareable>(&self, region: &'a Region, address: usize) -> &'a T {
        let place = place::<T>(region, address, 1);
        // SAFETY: aligned and inside the region, which stays mapped for 'a, by `place`; zero bytes or
        // what a rank made of them are a `T` by `Shareable` and the contract, which also rules out
        // accesses that do not go through a `T`.
        unsafe { &*place }
    }

    /// As [`object`](Self::object), for `len` values, one behind the other.
    ///
    /// # Contract
    /// That of [`object`](Self::object).
    #[must_use]
    pub fn objects<'a, T: Shareable>(
        &self,
        region: &'a Region,
        address: usize,
        len: usize,
    ) -> &'a [T] {
        let first = place::<T>(region, address, len);
        // SAFETY: as in `object`, for each element; the range is not over isize::MAX bytes, because
        // mappings are not.
        unsafe { std::slice::from_raw_parts(first, len) }
    }

    /// Words for one thread alone.
    ///
    /// # Contract
    /// Until the `Exclusive` is gone, nothing else in this process accesses these words, and other ranks
    /// only read them, atomically. Any bytes must be a value of `T`.
    #[must_use]
    pub fn exclusive_words<'a, T: Shareable>(
        &self,
        region: &'a Region,
        address: usize,
        len: usize,
    ) -> Exclusive<'a, [T]> {
        let first = place::<T>(region, address, len);
        let words = ptr::slice_from_raw_parts_mut(first.cast_mut(), len);
        // SAFETY: aligned and inside the region, which stays mapped for 'a, by `place`; nobody else in
        // this process accesses the words, by the contract. Reads by other ranks happen to a copy, after
        // write access has been taken away here.
        unsafe { Exclusive::new(words) }
    }

    /// The guarded value, for one thread alone.
    ///
    /// # Contract
    /// Whenever the `Exclusive` is used, no other thread of any rank has an `Exclusive` or an `Inclusive` of
    /// this value, and what those before wrote is seen by this thread.
    #[must_use]
    pub fn exclusive<'a, T: Shareable>(&self, value: &'a Guarded<T>) -> Exclusive<'a, T> {
        // SAFETY: the pointer is that of an UnsafeCell, and valid while it is borrowed; nobody else uses
        // the value meanwhile, by the contract.
        unsafe { Exclusive::new(value.pointer()) }
    }

    /// The guarded value, for one of several readers.
    ///
    /// # Contract
    /// Until the `Inclusive` is gone, no thread of any rank has an `Exclusive` of this value, and what those
    /// before wrote is seen by this thread.
    #[must_use]
    pub fn inclusive<'a, T: Shareable>(&self, value: &'a Guarded<T>) -> Inclusive<'a, T> {
        // SAFETY: the pointer is that of an UnsafeCell, and valid while it is borrowed; nobody changes the
        // value meanwhile, by the contract.
        unsafe { Inclusive::new(value.pointer()) }
    }

    /// Puts a value into a block of the heap.
    ///
    /// # Contract
    /// The block belongs to the caller, and is not given to anyone else until [`take`](Self::take) or
    /// [`release`](Self::release) have given its address back.
    pub fn own<T: Shareable>(&self, region: &Region, address: usize, value: T) -> Owned<T> {
        let place = place::<T>(region, address, 1).cast_mut();
        // SAFETY: aligned and inside the region, by `place`, and the caller's alone, by the contract.
        unsafe { place.write(value) };
        Owned::new(address)
    }

    /// As [`own`](Self::own), with the value that the zero bytes of a fresh block are.
    ///
    /// # Contract
    /// That of [`own`](Self::own); and the block's bytes are zero.
    #[must_use]
    pub fn own_zeroed<T: Shareable>(&self, region: &Region, address: usize) -> Owned<T> {
        let _ = place::<T>(region, address, 1);
        Owned::new(address)
    }

    /// Takes a value out of its block; returns it with the address of the block.
    ///
    /// # Contract
    /// The `Owned` is not used afterwards.
    pub fn take<T: Shareable>(&self, owned: &mut Owned<T>) -> (T, usize) {
        // SAFETY: `owned` owns a valid value, which is not used there again by the contract.
        let value = unsafe { owned.pointer().read() };
        (value, owned.address())
    }

    /// Drops a value in its block; returns the address of the block.
    ///
    /// # Contract
    /// The `Owned` is not used afterwards.
    pub fn release<T: Shareable>(&self, owned: &mut Owned<T>) -> usize {
        // SAFETY: `owned` owns a valid value, which is not used there again by the contract.
        unsafe { owned.pointer().drop_in_place() };
        owned.address()
    }

    /// A pointer that all ranks may have to a value that nobody owns any more.
    ///
    /// # Contract
    /// The `Owned` is not used afterwards, and its block is not given to anyone else.
    #[must_use]
    pub fn leak<T: Shareable>(&self, owned: &mut Owned<T>) -> Ref<T> {
        Ref::new(owned)
    }

    /// The guarded value, for everyone.
    ///
    /// # Contract
    /// While `value` is borrowed, nobody changes the value, and what was written to it before is seen by this
    /// thread.
    #[must_use]
    pub fn settled<'a, T: Shareable>(&self, value: &'a Guarded<T>) -> &'a T {
        // SAFETY: the pointer is that of an UnsafeCell, and valid while it is borrowed; nobody changes the
        // value meanwhile, by the contract.
        unsafe { &*value.pointer() }
    }

    /// An empty buffer for `capacity` values in a block of the heap.
    ///
    /// # Contract
    /// The block belongs to the caller, and is not given to anyone else until [`Buffer::release`] has given
    /// its address back.
    #[must_use]
    pub fn buffer<T: Shareable>(
        &self,
        region: &Region,
        address: usize,
        capacity: usize,
    ) -> Buffer<T> {
        let _ = place::<T>(region, address, capacity);
        Buffer::new(address, capacity)
    }
}

impl Region {
    /// A part of the application view as atomic integers, by its address.
    ///
    /// # Panics
    /// If the part is not inside the region or not aligned.
    #[must_use]
    pub fn words_at<W: Word>(&self, address: usize, len: usize) -> &[W] {
        let offset = address.checked_sub(self.base()).expect("the words are inside the region");
        self.words(offset, len).expect("the words are inside the region and aligned")
    }
}

/// The first of `len` values of type `T` at an address of the application view.
fn place<T>(region: &Region, address: usize, len: usize) -> *const T {
    let bytes = size_of::<T>().checked_mul(len);
    let end = bytes.and_then(|bytes| address.checked_add(bytes));
    let region_end = region.base() + region.bytes();
    assert!(
        address >= region.base() && end.is_some_and(|end| end <= region_end),
        "values are inside the region at {:#x}..{region_end:#x}: {len} of {} bytes at {address:#x}",
        region.base(),
        size_of::<T>()
    );
    assert!(
        address.is_multiple_of(align_of::<T>()),
        "values are aligned to {}: {address:#x}",
        align_of::<T>()
    );
    // The region has exposed its address.
    ptr::with_exposed_provenance(address)
}

static ASSUMED: AtomicBool = AtomicBool::new(false);
