use super::Shareable;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::ptr;

/// Room for values in a block of the heap, some of it used.
///
/// Zero bytes are a buffer without room. It may itself be in shared memory: who has it alone has its values.
/// When it is dropped, values and block stay.
///
/// Invariant: `len <= capacity`; the first `len` values at `address` are this buffer's alone, as is the room up
/// to `capacity`.
#[repr(C)]
pub struct Buffer<T> {
    /// 0 without room.
    address: usize,
    len: usize,
    capacity: usize,
    values: PhantomData<T>,
}

// SAFETY: integers, which are a buffer without room when they are zero. What it points to is in shared memory,
// values that every rank may use.
unsafe impl<T: Shareable> Shareable for Buffer<T> {}

impl<T: Shareable> Buffer<T> {
    /// For [`Custody`](super::Custody), which has checked the block.
    pub(super) fn new(address: usize, capacity: usize) -> Self {
        Self { address, len: 0, capacity, values: PhantomData }
    }

    /// Without room.
    #[must_use]
    pub const fn empty() -> Self {
        Self { address: 0, len: 0, capacity: 0, values: PhantomData }
    }

    /// How many values there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Puts a value behind the others.
    ///
    /// # Errors
    /// The value, if there is no room.
    pub fn push(&mut self, value: T) -> Result<(), T> {
        if self.len == self.capacity {
            return Err(value);
        }
        let place = self.first().wrapping_add(self.len);
        // SAFETY: inside the room that is ours by the invariant, and not used yet.
        unsafe { place.write(value) };
        self.len += 1;
        Ok(())
    }

    /// Takes the last value out.
    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        let place = self.first().wrapping_add(self.len);
        // SAFETY: it was a value of ours, and is behind the last one now, so it is not used there again.
        Some(unsafe { place.read() })
    }

    /// Drops the values from the one at `len` on.
    pub fn truncate(&mut self, len: usize) {
        if let Some(surplus) = self.len.checked_sub(len) {
            let first = self.first().wrapping_add(len);
            // Before they are dropped: a panic must not lead to dropping them again.
            self.len = len;
            // SAFETY: values of ours, none of which is used again.
            unsafe { ptr::slice_from_raw_parts_mut(first, surplus).drop_in_place() };
        }
    }

    /// Moves all values of another buffer here, behind those that are here.
    ///
    /// # Panics
    /// If there is no room for them.
    pub fn append(&mut self, other: &mut Self) {
        let room = self.capacity - self.len;
        assert!(other.len <= room, "there is room for what is appended: {} into {room}", other.len);
        let place = self.first().wrapping_add(self.len);
        let moved = mem::take(&mut other.len);
        // SAFETY: `moved` values of the other buffer, which are not used there again, go into as much room of
        // this one. Both belong to one buffer alone, so they do not overlap.
        unsafe { ptr::copy_nonoverlapping(other.first(), place, moved) };
        self.len += moved;
    }

    /// Drops the values; returns the address of the block, if there is one, which is the caller's from now
    /// on.
    pub fn release(mut self) -> Option<usize> {
        self.truncate(0);
        (self.address != 0).then_some(self.address)
    }

    fn first(&self) -> *mut T {
        match self.address {
            0 => ptr::dangling_mut(),
            address => ptr::with_exposed_provenance_mut(address),
        }
    }
}

impl<T: Shareable> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` values of ours by the invariant, aligned and inside the region, not over isize::MAX
        // bytes because mappings are not; or none, at an aligned address. As for `Owned`, the region's
        // addresses stay reserved.
        unsafe { std::slice::from_raw_parts(self.first(), self.len) }
    }
}

impl<T: Shareable> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`; `self` is the only owner and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.first(), self.len) }
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
