use crate::{Shareable, Word};
use std::fmt;
use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize, Ordering::Relaxed,
};

/// Numbers of up to 64 bits, which a [`Slice`](crate::Slice) loads and stores at once.
///
/// Sealed. Any bytes are a value.
pub trait Element: sealed::Sealed + Shareable + Copy + PartialEq + fmt::Debug {
    /// The atomic of the same size.
    type Word: Word + fmt::Debug;

    /// Loads it, whole: a plain instruction, without an order of its own.
    fn load(word: &Self::Word) -> Self;

    /// Stores it, whole: a plain instruction, without an order of its own.
    fn store(self, word: &Self::Word);
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! integers {
    ($($name:ty: $word:ty;)*) => {$(
        impl sealed::Sealed for $name {}

        impl Element for $name {
            type Word = $word;

            fn load(word: &$word) -> Self {
                word.load(Relaxed)
            }

            fn store(self, word: &$word) {
                word.store(self, Relaxed);
            }
        }
    )*};
}

integers! {
    u8: AtomicU8;
    u16: AtomicU16;
    u32: AtomicU32;
    u64: AtomicU64;
    usize: AtomicUsize;
    i8: AtomicI8;
    i16: AtomicI16;
    i32: AtomicI32;
    i64: AtomicI64;
    isize: AtomicIsize;
}

macro_rules! floats {
    ($($name:ty: $word:ty;)*) => {$(
        impl sealed::Sealed for $name {}

        impl Element for $name {
            type Word = $word;

            fn load(word: &$word) -> Self {
                Self::from_bits(word.load(Relaxed))
            }

            fn store(self, word: &$word) {
                word.store(self.to_bits(), Relaxed);
            }
        }
    )*};
}

floats! {
    f32: AtomicU32;
    f64: AtomicU64;
}
