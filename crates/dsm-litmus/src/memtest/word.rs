use dsm::{Node, WordsError};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

/// A shared word of one of the sizes that are promised to be accessed at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word<'a> {
    W16(&'a AtomicU16),
    W32(&'a AtomicU32),
    W64(&'a AtomicU64),
}

/// Where a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: usize,
    pub(super) bytes: usize,
}

impl<'a> Word<'a> {
    pub(super) fn at(node: &'a Node, place: Place) -> Result<Self, WordsError> {
        let Place { offset, bytes } = place;
        Ok(match bytes {
            2 => Self::W16(&node.words(offset, 1)?[0]),
            4 => Self::W32(&node.words(offset, 1)?[0]),
            _ => Self::W64(&node.words(offset, 1)?[0]),
        })
    }

    pub(super) fn load(self, ordering: Ordering) -> u64 {
        match self {
            Self::W16(word) => word.load(ordering).into(),
            Self::W32(word) => word.load(ordering).into(),
            Self::W64(word) => word.load(ordering),
        }
    }

    pub(super) fn store(self, value: u64, ordering: Ordering) {
        match self {
            Self::W16(word) => word.store(w16(value), ordering),
            Self::W32(word) => word.store(w32(value), ordering),
            Self::W64(word) => word.store(value, ordering),
        }
    }

    pub(super) fn swap(self, value: u64) -> u64 {
        match self {
            Self::W16(word) => word.swap(w16(value), SeqCst).into(),
            Self::W32(word) => word.swap(w32(value), SeqCst).into(),
            Self::W64(word) => word.swap(value, SeqCst),
        }
    }

    /// What was found; it was replaced if it was as expected.
    pub(super) fn compare_exchange(self, expected: u64, new: u64) -> Result<u64, u64> {
        match self {
            Self::W16(word) => word
                .compare_exchange(w16(expected), w16(new), SeqCst, SeqCst)
                .map(u64::from)
                .map_err(u64::from),
            Self::W32(word) => word
                .compare_exchange(w32(expected), w32(new), SeqCst, SeqCst)
                .map(u64::from)
                .map_err(u64::from),
            Self::W64(word) => word.compare_exchange(expected, new, SeqCst, SeqCst),
        }
    }
}

fn w16(value: u64) -> u16 {
    u16::try_from(value).expect("values are drawn for their word")
}

fn w32(value: u64) -> u32 {
    u32::try_from(value).expect("values are drawn for their word")
}
