use crate::Element;
use std::fmt;
use std::ops::{Bound, RangeBounds};

/// Numbers in shared memory that are loaded here, and may be stored by other ranks at any time.
///
/// An element is loaded whole, by a plain instruction; a load sees the newest store of any rank. Copies are the same
/// view.
pub struct View<'n, T: Element> {
    words: &'n [T::Word],
}

impl<'n, T: Element> View<'n, T> {
    pub(super) fn new(words: &'n [T::Word]) -> Self {
        Self { words }
    }

    /// How many elements.
    #[must_use]
    pub fn len(self) -> usize {
        self.words.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.words.is_empty()
    }

    /// The element at `index`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn get(self, index: usize) -> T {
        T::load(&self.words[index])
    }

    /// The elements, each as it is when it is its turn.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = T> + ExactSizeIterator + 'n {
        self.words.iter().map(T::load)
    }

    /// Copies all elements from here.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn read_into(self, values: &mut [T]) {
        assert_eq!(self.len(), values.len(), "as many elements are read as there are");
        for (value, word) in values.iter_mut().zip(self.words) {
            *value = T::load(word);
        }
    }

    /// Some of the elements.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    #[track_caller]
    pub fn slice(self, range: impl RangeBounds<usize>) -> Self {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => *before + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => *last + 1,
            Bound::Excluded(to) => *to,
            Bound::Unbounded => self.len(),
        };
        Self { words: &self.words[from..to] }
    }

    /// What a view shows can be stored to by whoever has this.
    pub(super) fn words(self) -> &'n [T::Word] {
        self.words
    }
}

impl<T: Element> Clone for View<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Element> Copy for View<'_, T> {}

impl<T: Element> fmt::Debug for View<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
