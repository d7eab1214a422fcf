use super::{current, has_left};
use crate::{HeapError, Ref, Shareable, ZeroIsNone};
use dsm_mem::shared::Owned;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// A value in the shared heap, with one owner in the job.
///
/// The owner may be a thread of any rank: a box that is put into shared memory, behind a lock, belongs to the rank
/// that takes it out. Whoever drops it frees it. In shared memory it is in an `Option`, as zero bytes are no box:
/// `Option<dsm::Box<T>>` has the size of an address.
///
/// ```no_run
/// use dsm::{Box, Mutex, Shareable};
///
/// #[derive(Shareable)]
/// struct Entry {
///     number: u64,
///     next: Option<Box<Entry>>,
/// }
///
/// let node = dsm::Node::join()?;
/// let list = node.named::<Mutex<Option<Box<Entry>>>>("list")?;
/// let mut first = list.lock();
/// let next = first.take();
/// *first = Some(Box::new(Entry { number: node.rank().into(), next }));
/// # Ok::<(), std::boxed::Box<dyn std::error::Error>>(())
/// ```
#[derive(ZeroIsNone)]
#[repr(transparent)]
pub struct Box<T: Shareable>(Owned<T>);

impl<T: Shareable> Box<T> {
    /// Puts a value into the heap.
    ///
    /// # Panics
    /// If the heap is exhausted; [`try_new`](Self::try_new) says so instead.
    #[must_use]
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::try_new(value).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Puts a value into the heap.
    ///
    /// # Errors
    /// [`HeapError::Exhausted`], [`HeapError::Left`].
    #[track_caller]
    pub fn try_new(value: T) -> Result<Self, HeapError> {
        let current = current();
        let address = current.allocate::<T>(1)?;
        // Contract of `own`: the block was handed out to this box, which frees it when it is dropped.
        Ok(Self(current.custody.own(&current.node.region, address, value)))
    }

    /// The zero value in the heap, which is not touched until it is used: for what is large.
    ///
    /// # Panics
    /// If the heap is exhausted; [`try_zeroed`](Self::try_zeroed) says so instead.
    #[must_use]
    #[track_caller]
    pub fn zeroed() -> Self {
        Self::try_zeroed().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The zero value in the heap, which is not touched until it is used: for what is large.
    ///
    /// # Errors
    /// [`HeapError::Exhausted`], [`HeapError::Left`].
    #[track_caller]
    pub fn try_zeroed() -> Result<Self, HeapError> {
        let current = current();
        let address = current.allocate::<T>(1)?;
        // Contract of `own_zeroed`: as for `own`, and blocks are zero when they are handed out.
        Ok(Self(current.custody.own_zeroed(&current.node.region, address)))
    }

    /// Takes the value out, and frees its memory.
    #[must_use]
    pub fn into_inner(boxed: Self) -> T {
        let mut boxed = ManuallyDrop::new(boxed);
        let current = current();
        // Contract of `take`: `boxed` is not used again, and not dropped.
        let (value, address) = current.custody.take(&mut boxed.0);
        current.free(address);
        value
    }

    /// Gives up ownership: a pointer that all ranks may copy, to a value that stays until the job ends.
    #[must_use]
    pub fn leak(boxed: Self) -> Ref<T> {
        let mut boxed = ManuallyDrop::new(boxed);
        // Contract of `leak`: `boxed` is not used again, and not dropped, so that its block is never freed.
        current().custody.leak(&mut boxed.0)
    }
}

impl<T: Shareable> Deref for Box<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Shareable> DerefMut for Box<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Shareable> Drop for Box<T> {
    /// Drops the value and frees its memory; does nothing once this rank has left the job.
    fn drop(&mut self) {
        if !has_left() {
            let current = current();
            // Contract of `release`: nothing uses the box after its drop.
            let address = current.custody.release(&mut self.0);
            current.free(address);
        }
    }
}

impl<T: Shareable + Default> Default for Box<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Shareable + Clone> Clone for Box<T> {
    fn clone(&self) -> Self {
        Self::new(T::clone(self))
    }
}

impl<T: Shareable + PartialEq> PartialEq for Box<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Shareable + Eq> Eq for Box<T> {}

impl<T: Shareable + fmt::Debug> fmt::Debug for Box<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
