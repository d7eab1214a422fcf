use dsm::{Node, WordsError};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// The shared area as words of each size that is promised to be accessed at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells<'a> {
    w8: &'a [AtomicU8],
    w16: &'a [AtomicU16],
    w32: &'a [AtomicU32],
    w64: &'a [AtomicU64],
}

/// The size of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// 1 byte.
    W8,
    /// 2 bytes.
    W16,
    /// 4 bytes.
    W32,
    /// 8 bytes.
    W64,
}

impl Width {
    pub(super) const ALL: [Self; 4] = [Self::W8, Self::W16, Self::W32, Self::W64];

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::W8 => 1,
            Self::W16 => 2,
            Self::W32 => 4,
            Self::W64 => 8,
        }
    }
}

impl<'a> Cells<'a> {
    pub(super) fn new(node: &'a Node, bytes: usize) -> Result<Self, WordsError> {
        Ok(Self {
            w8: node.words(0, bytes)?,
            w16: node.words(0, bytes / 2)?,
            w32: node.words(0, bytes / 4)?,
            w64: node.words(0, bytes / 8)?,
        })
    }

    /// Calls with the words of this size.
    pub(super) fn with<R>(&self, width: Width, visit: impl Visit<R>) -> R {
        match width {
            Width::W8 => visit.visit(self.w8),
            Width::W16 => visit.visit(self.w16),
            Width::W32 => visit.visit(self.w32),
            Width::W64 => visit.visit(self.w64),
        }
    }
}

/// Work on words of any size.
pub(super) trait Visit<R> {
    fn visit<C: Cell>(self, cells: &[C]) -> R;
}

/// A word of any size.
pub(super) trait Cell: Sync {
    fn load(&self, ordering: Ordering) -> u64;
    /// Stores the low bits of the value.
    fn store(&self, value: u64, ordering: Ordering);
}

macro_rules! cell {
    ($($atomic:ty: $integer:ty),*) => {$(
        impl Cell for $atomic {
            fn load(&self, ordering: Ordering) -> u64 {
                self.load(ordering).into()
            }

            #[allow(clippy::cast_possible_truncation, reason = "values fit the words they are for")]
            fn store(&self, value: u64, ordering: Ordering) {
                self.store(value as $integer, ordering);
            }
        }
    )*};
}

cell!(AtomicU8: u8, AtomicU16: u16, AtomicU32: u32, AtomicU64: u64);
