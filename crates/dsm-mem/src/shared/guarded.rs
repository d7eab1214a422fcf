use super::Shareable;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A value that others may hold at the same time, so that a borrow of this does not give access to it:
/// [`Custody`](super::Custody) does, for those who have a lock.
#[repr(transparent)]
pub struct Guarded<T>(UnsafeCell<T>);

// SAFETY: a shared borrow gives no access to the value. An `Exclusive` or an `Inclusive` of it does, and who
// makes one answers for that no two threads have conflicting ones. The value is used from several threads
// one after the other, and by readers at once, which `T: Send + Sync` allows.
unsafe impl<T: Send + Sync> Sync for Guarded<T> {}

// SAFETY: transparent, and all access to the value from others is excluded or synchronised.
unsafe impl<T: Shareable> Shareable for Guarded<T> {}

impl<T> Guarded<T> {
    /// With a value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value, while nobody else can have it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }

    pub(super) fn pointer(&self) -> *mut T {
        self.0.get()
    }
}

impl<T> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

/// Access to a value that nobody else has access to.
///
/// It holds a pointer, and borrows when it is dereferenced: between two uses, others may have had the value.
/// It stays in its thread, as locks belong to threads.
pub struct Exclusive<'a, T: ?Sized> {
    value: NonNull<T>,
    borrow: PhantomData<&'a mut T>,
}

// SAFETY: a shared borrow of it gives shared borrows of the value, which `T: Sync` allows.
unsafe impl<T: ?Sized + Sync> Sync for Exclusive<'_, T> {}

impl<T: ?Sized> Exclusive<'_, T> {
    /// # Safety
    /// The pointer is valid for reads and writes for the lifetime of the value, and whenever this is used
    /// nobody else accesses what it points to.
    pub(super) unsafe fn new(value: *mut T) -> Self {
        let value = NonNull::new(value).expect("values are not at address 0");
        Self { value, borrow: PhantomData }
    }
}

impl<T: ?Sized> Deref for Exclusive<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: valid, and accessed by nobody else while this is used, by the contract of `new`.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for Exclusive<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: valid, and accessed by nobody else while this is used, by the contract of `new`.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Exclusive<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Access to a value that others may read at the same time. It stays in its thread, as locks belong to
/// threads.
pub struct Inclusive<'a, T: ?Sized> {
    value: NonNull<T>,
    borrow: PhantomData<&'a T>,
}

// SAFETY: a shared borrow of it gives shared borrows of the value, which `T: Sync` allows.
unsafe impl<T: ?Sized + Sync> Sync for Inclusive<'_, T> {}

impl<T: ?Sized> Inclusive<'_, T> {
    /// # Safety
    /// The pointer is valid for reads for the lifetime of the value, and until this is gone nobody changes
    /// what it points to.
    pub(super) unsafe fn new(value: *mut T) -> Self {
        let value = NonNull::new(value).expect("values are not at address 0");
        Self { value, borrow: PhantomData }
    }
}

impl<T: ?Sized> Deref for Inclusive<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: valid, and changed by nobody while this is here, by the contract of `new`.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Inclusive<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
