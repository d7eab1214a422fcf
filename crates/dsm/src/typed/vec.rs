use super::{current, has_left};
use crate::{HeapError, Shareable};
use dsm_mem::shared::Buffer;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};

/// A growable array in the shared heap, with one owner in the job, like [`Box`](crate::Box).
///
/// Zero bytes are an empty one, which takes no memory. It is a slice of its values; what is to be changed by several
/// ranks is behind a lock. Growing moves the values to another place.
///
/// ```no_run
/// use dsm::{Mutex, Vec};
///
/// let node = dsm::Node::join()?;
/// let found = node.named::<Mutex<Vec<u64>>>("found")?;
/// found.lock().push(node.rank().into());
/// node.barrier()?;
/// assert_eq!(found.lock().len(), usize::from(node.nodes()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Shareable)]
#[repr(transparent)]
pub struct Vec<T: Shareable>(Buffer<T>);

/// The values of a [`Vec`], one by one.
#[derive(Debug)]
pub struct IntoIter<T: Shareable> {
    /// The values to come, the next one last.
    reversed: Vec<T>,
}

impl<T: Shareable> Vec<T> {
    /// An empty one, which takes no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self(Buffer::empty())
    }

    /// An empty one with room for `capacity` values.
    ///
    /// # Panics
    /// If the heap is exhausted; so for everything here that may need memory.
    /// [`try_reserve`](Self::try_reserve) says so instead.
    #[must_use]
    #[track_caller]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut new = Self::new();
        new.reserve(capacity);
        new
    }

    /// How many values there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Makes room for `additional` values more.
    ///
    /// # Errors
    /// [`HeapError::Exhausted`], [`HeapError::Left`]; everything is as before then.
    #[track_caller]
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), HeapError> {
        if additional <= self.capacity() - self.len() {
            return Ok(());
        }
        let exhausted = HeapError::Exhausted { bytes: usize::MAX };
        let needed = self.len().checked_add(additional).ok_or(exhausted)?;
        let capacity = needed.max(self.capacity().saturating_mul(2)).max(FIRST_CAPACITY);
        let current = current();
        let address = current.allocate::<T>(capacity)?;
        // Contract of `buffer`: the block was handed out to this vector, which frees it.
        let larger = current.custody.buffer(&current.node.region, address, capacity);
        let mut smaller = mem::replace(&mut self.0, larger);
        self.0.append(&mut smaller);
        free(smaller);
        Ok(())
    }

    /// Makes room for `additional` values more.
    #[track_caller]
    pub fn reserve(&mut self, additional: usize) {
        self.try_reserve(additional).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Puts a value at the end.
    #[track_caller]
    pub fn push(&mut self, value: T) {
        self.reserve(1);
        let pushed = self.0.push(value);
        assert!(pushed.is_ok(), "there is room for one after it was reserved");
    }

    /// Takes the last value.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Puts a value at `index`, before those that are there.
    ///
    /// # Panics
    /// If `index` is above the length.
    #[track_caller]
    pub fn insert(&mut self, index: usize, value: T) {
        assert!(index <= self.len(), "cannot insert at {index}: the length is {}", self.len());
        self.push(value);
        self[index..].rotate_right(1);
    }

    /// Takes the value at `index`; those behind it move up.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn remove(&mut self, index: usize) -> T {
        self[index..].rotate_left(1);
        self.pop().unwrap_or_else(|| panic!("cannot remove the value at {index}: there is none"))
    }

    /// Takes the value at `index`; the last one takes its place.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn swap_remove(&mut self, index: usize) -> T {
        let last = self.len().saturating_sub(1);
        self.swap(index, last);
        self.pop().unwrap_or_else(|| panic!("cannot remove the value at {index}: there is none"))
    }

    /// Drops the values from the one at `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Drops all values; the room stays.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Puts copies of values at the end.
    #[track_caller]
    pub fn extend_from_slice(&mut self, values: &[T])
    where
        T: Clone,
    {
        self.reserve(values.len());
        self.extend(values.iter().cloned());
    }

    /// Changes the length; copies of `value` are what is missing.
    #[track_caller]
    pub fn resize(&mut self, len: usize, value: T)
    where
        T: Clone,
    {
        self.truncate(len);
        self.reserve(len - self.len());
        while self.len() < len {
            self.push(value.clone());
        }
    }
}

fn free<T: Shareable>(buffer: Buffer<T>) {
    if let Some(address) = buffer.release() {
        current().free(address);
    }
}

impl<T: Shareable> Deref for Vec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Shareable> DerefMut for Vec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T: Shareable> Drop for Vec<T> {
    /// Drops the values and frees their memory; does nothing once this rank has left the job.
    fn drop(&mut self) {
        if !has_left() {
            free(mem::replace(&mut self.0, Buffer::empty()));
        }
    }
}

impl<T: Shareable> Default for Vec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Shareable> Extend<T> for Vec<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        for value in values {
            self.push(value);
        }
    }
}

impl<T: Shareable> FromIterator<T> for Vec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let values = values.into_iter();
        let mut new = Self::with_capacity(values.size_hint().0);
        new.extend(values);
        new
    }
}

impl<T: Shareable> IntoIterator for Vec<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(mut self) -> IntoIter<T> {
        self.reverse();
        IntoIter { reversed: self }
    }
}

impl<'a, T: Shareable> IntoIterator for &'a Vec<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Shareable> IntoIterator for &'a mut Vec<T> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<T: Shareable> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.reversed.pop()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.reversed.len(), Some(self.reversed.len()))
    }
}

impl<T: Shareable> ExactSizeIterator for IntoIter<T> {}

impl<T: Shareable + Clone> Clone for Vec<T> {
    fn clone(&self) -> Self {
        self.iter().cloned().collect()
    }
}

impl<T: Shareable + PartialEq> PartialEq for Vec<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Shareable + Eq> Eq for Vec<T> {}

impl<T: Shareable + fmt::Debug> fmt::Debug for Vec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

const FIRST_CAPACITY: usize = 4;
