use super::{Shareable, ZeroIsNone};
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZero;
use std::ops::{Deref, DerefMut};
use std::ptr;

/// A value in a block of the heap, whose only owner this is.
///
/// It is an address, and may itself be in shared memory: another rank that takes it out owns the value. When
/// it is dropped, value and block stay; [`Custody`](super::Custody) takes them back.
#[repr(transparent)]
pub struct Owned<T> {
    address: NonZero<usize>,
    value: PhantomData<T>,
}

// SAFETY: a transparent struct around a NonZero integer, so zero bytes are `None`. What it points to is in
// shared memory, a `T` that every rank may use.
unsafe impl<T: Shareable> ZeroIsNone for Owned<T> {}

impl<T: Shareable> Owned<T> {
    /// For [`Custody`](super::Custody), which has checked the address.
    pub(super) fn new(address: usize) -> Self {
        let address = NonZero::new(address).expect("values are not at address 0");
        Self { address, value: PhantomData }
    }

    /// Where the value is.
    #[must_use]
    pub fn address(&self) -> usize {
        self.address.get()
    }

    pub(super) fn pointer(&self) -> *mut T {
        ptr::with_exposed_provenance_mut(self.address.get())
    }
}

impl<T: Shareable> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the block holds a `T` that this owns, by the contract of who made it. The region stays
        // mapped, or at least its addresses reserved, while the process may have this; after the rank has
        // left the job an access ends the process.
        unsafe { &*self.pointer() }
    }
}

impl<T: Shareable> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`; `self` is the only owner and borrowed mutably.
        unsafe { &mut *self.pointer() }
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for Owned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A pointer to a value in shared memory that stays there until the job ends. All ranks may have copies of it,
/// and it may itself be in shared memory, in an `Option`.
///
/// It comes from a box that was leaked. A use of it after this rank has left the
/// job ends the process.
#[repr(transparent)]
pub struct Ref<T: Shareable> {
    address: NonZero<usize>,
    value: PhantomData<&'static T>,
}

// SAFETY: a transparent struct around a NonZero integer, so zero bytes are `None`. What it points to is in
// shared memory, a `T` that every rank may use.
unsafe impl<T: Shareable> ZeroIsNone for Ref<T> {}

impl<T: Shareable> Ref<T> {
    /// For [`Custody`](super::Custody), which makes sure that nobody owns the value.
    pub(super) fn new(owned: &Owned<T>) -> Self {
        Self { address: owned.address, value: PhantomData }
    }

    /// Where the value is.
    #[must_use]
    pub fn address(self) -> usize {
        self.address.get()
    }
}

impl<T: Shareable> Deref for Ref<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let value: *const T = ptr::with_exposed_provenance(self.address.get());
        // SAFETY: a `T` that nobody owns and nobody frees, so that all have it shared. As for `Owned`, the
        // region's addresses stay reserved.
        unsafe { &*value }
    }
}

impl<T: Shareable> Clone for Ref<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Shareable> Copy for Ref<T> {}

impl<T: Shareable> PartialEq for Ref<T> {
    /// Whether it is the same value, not an equal one.
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<T: Shareable> Eq for Ref<T> {}

impl<T: Shareable + fmt::Debug> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
