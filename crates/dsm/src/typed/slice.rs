use crate::{Element, View};
use std::fmt;
use std::ops::{Deref, Range, RangeBounds};

/// Numbers in shared memory that all ranks may load and store at any time.
///
/// An element is loaded and stored whole, by a plain instruction; a load sees the newest store of any rank. To
/// agree on *when* to do so is the program's part: a barrier, a lock. There are no references to the elements, as
/// another rank may change them at any time; [`Parts`](crate::Parts) gives each rank a part of its own as
/// `&mut [T]`, and [`words`](Self::words) the elements as atomics.
///
/// It is a [`View`] that can be stored to. Copies are the same slice.
///
/// ```no_run
/// let node = dsm::Node::join()?;
/// let grid = node.named_slice::<f64>("grid", 4096 * 4096)?;
/// let mine = grid.part(node.rank().into(), node.nodes().into());
/// mine.fill(1.0);
/// node.barrier()?;
/// let sum: f64 = grid.iter().sum();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Slice<'n, T: Element>(View<'n, T>);

impl<'n, T: Element> Slice<'n, T> {
    pub(super) fn new(words: &'n [T::Word]) -> Self {
        Self(View::new(words))
    }

    /// Stores the element at `index`.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn set(self, index: usize, value: T) {
        value.store(&self.words()[index]);
    }

    /// Some of the elements.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    #[track_caller]
    pub fn slice(self, range: impl RangeBounds<usize>) -> Self {
        Self(self.0.slice(range))
    }

    /// One of `parts` parts that differ by one element at most: the one of a rank, among the ranks.
    ///
    /// # Panics
    /// If `index` is not below `parts`.
    #[must_use]
    #[track_caller]
    pub fn part(self, index: usize, parts: usize) -> Self {
        self.slice(part(self.len(), index, parts))
    }

    /// Copies all elements to here.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn write_from(self, values: &[T]) {
        assert_eq!(self.len(), values.len(), "as many elements are written as there are");
        for (value, word) in values.iter().zip(self.words()) {
            value.store(word);
        }
    }

    /// Stores the same value everywhere.
    pub fn fill(self, value: T) {
        for word in self.words() {
            value.store(word);
        }
    }

    /// The elements as atomics, of unsigned integers for floats: see `f64::to_bits`.
    #[must_use]
    pub fn words(self) -> &'n [T::Word] {
        self.0.words()
    }
}

impl<'n, T: Element> Deref for Slice<'n, T> {
    type Target = View<'n, T>;

    fn deref(&self) -> &View<'n, T> {
        &self.0
    }
}

impl<T: Element> Clone for Slice<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Element> Copy for Slice<'_, T> {}

impl<T: Element> fmt::Debug for Slice<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which of `len` things belong to one of `parts` that share them evenly.
#[track_caller]
pub(super) fn part(len: usize, index: usize, parts: usize) -> Range<usize> {
    assert!(index < parts, "cannot take part {index} of {parts}");
    let (each, more) = (len / parts, len % parts);
    let from = each * index + more.min(index);
    from..from + each + usize::from(index < more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn parts_are_even_and_disjoint_and_everything() {
        for (len, parts) in [(0, 1), (1, 3), (7, 3), (12, 4), (1000, 7)] {
            let all: Vec<_> = (0..parts).map(|index| part(len, index, parts)).collect();
            assert_eq!((all[0].start, all[parts - 1].end), (0, len));
            assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start), "{all:?}");
            assert!(all.iter().all(|part| part.len().abs_diff(len / parts) <= 1), "{all:?}");
        }
    }

    #[test]
    fn elements_are_numbers() {
        let words: Vec<AtomicU64> = (0..10).map(|_| AtomicU64::new(0)).collect();
        let slice = Slice::<f64>::new(&words);
        slice.fill(0.5);
        slice.set(3, -1.5);
        slice.slice(4..=5).write_from(&[2.0, 3.0]);
        assert_eq!(slice.iter().sum::<f64>(), 7.0);
        let mut copy = [0.0; 3];
        slice.slice(3..6).read_into(&mut copy);
        assert_eq!((copy, slice.get(3), slice.len()), ([-1.5, 2.0, 3.0], -1.5, 10));
        assert_eq!(slice.part(1, 3).iter().collect::<Vec<_>>(), [2.0, 3.0, 0.5]);
        assert!(slice.slice(10..).is_empty());
    }
}
