use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize,
};
use thiserror::Error;

/// The types that shared memory can be used as: atomic integers.
///
/// Sealed. Any bytes are a valid value, and other threads and other ranks may change it.
pub trait Word: sealed::Sealed + Sync + 'static {}

/// Why a part of the region cannot be used as words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WordsError {
    /// The words would reach past the end of the region.
    #[error(
        "cannot use {len} words of {word_bytes} bytes at offset {byte_offset}: the region has {region_bytes} bytes"
    )]
    OutOfBounds {
        /// Where the words would begin.
        byte_offset: usize,
        /// How many.
        len: usize,
        /// Bytes of one.
        word_bytes: usize,
        /// Bytes of the region.
        region_bytes: usize,
    },
    /// The words would not be aligned.
    #[error("cannot use words of {word_bytes} bytes at offset {byte_offset}: not a multiple")]
    Unaligned {
        /// Where the words would begin.
        byte_offset: usize,
        /// Bytes of one.
        word_bytes: usize,
    },
}

/// Checks that `len` words of type `W` at `byte_offset` lie inside a region, aligned.
pub(crate) fn check<W: Word>(
    byte_offset: usize,
    len: usize,
    region_bytes: usize,
) -> Result<(), WordsError> {
    let word_bytes = size_of::<W>();
    if !byte_offset.is_multiple_of(word_bytes) {
        return Err(WordsError::Unaligned { byte_offset, word_bytes });
    }
    let end = len.checked_mul(word_bytes).and_then(|bytes| byte_offset.checked_add(bytes));
    match end {
        Some(end) if end <= region_bytes => Ok(()),
        _ => Err(WordsError::OutOfBounds { byte_offset, len, word_bytes, region_bytes }),
    }
}

mod sealed {
    /// # Safety
    /// Implemented for atomic integers only: no invalid bytes, interior mutability, alignment equal to
    /// the size.
    pub unsafe trait Sealed {}
}

macro_rules! words {
    ($($atomic:ty),*) => {$(
        // SAFETY: an atomic integer of the standard library; on 64-bit targets its alignment is its
        // size.
        unsafe impl sealed::Sealed for $atomic {}
        impl Word for $atomic {}
    )*};
}

words!(AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize);
words!(AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize);
