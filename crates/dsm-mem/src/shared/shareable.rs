use std::marker::PhantomData;
use std::mem;
use std::num::{
    NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroIsize, NonZeroU8, NonZeroU16, NonZeroU32,
    NonZeroU64, NonZeroUsize, Wrapping,
};
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize,
};

/// Types whose values may live in shared memory.
///
/// Every rank may find such a value there and use it. So it holds nothing that is valid in one process alone:
/// no references, no raw pointers, no function pointers, no `String`, `std` collection or `std` lock. And
/// fresh shared memory, whose bytes are all zero, is a value: 0, `false`, an idle lock, an empty vector,
/// `None`.
///
/// Derive it: `#[derive(Shareable)]` checks every field. An enum needs `#[repr(u8)]` or another integer, and a
/// variant that is 0.
///
/// Values in shared memory that nobody owns, those of named objects, are never dropped.
///
/// # Safety
/// - Zero bytes are a valid value.
/// - A value may be used by any thread of any process of the job as if that process had made it: what it
///   points to is in shared memory, and it depends on no address and no state of one process.
/// - What `&T` allows to change, is changed by atomic operations or under a lock that excludes the threads of
///   all ranks.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot live in shared memory",
    label = "not `Shareable`",
    note = "what it points to, or how it locks, belongs to one process, or its zero bytes are no value",
    note = "`dsm::Box`, `dsm::Vec`, `dsm::Mutex` and the other types of `dsm` are made for it; a box is in an `Option`",
    note = "for a type of your own: `#[derive(dsm::Shareable)]`"
)]
pub unsafe trait Shareable: Sized + Send + Sync + 'static {
    /// The value that fresh shared memory is.
    #[must_use]
    fn zeroed() -> Self {
        // SAFETY: zero bytes are a value, by the contract of the trait.
        unsafe { mem::zeroed() }
    }

    /// For the derive macro, which asserts here that the fields are `Shareable`.
    #[doc(hidden)]
    fn assert_fields() {}
}

/// Types that have no zero value, so that in an `Option` of them zero bytes are `None`: then the option is
/// [`Shareable`].
///
/// # Safety
/// - `Option<Self>` has the size of `Self`, and its `None` is zero bytes.
/// - The rest of what [`Shareable`] asks for.
#[diagnostic::on_unimplemented(
    message = "`Option<{Self}>` cannot live in shared memory",
    label = "not `ZeroIsNone`",
    note = "in shared memory an option holds a `dsm::Box`, a `dsm::Ref` or a `NonZero` integer, so that zero bytes are `None`",
    note = "for others, take an enum of your own with `#[repr(u8)]` whose first variant is empty, or a `dsm::Vec`"
)]
pub unsafe trait ZeroIsNone: Sized + Send + Sync + 'static {
    /// For the derive macro, which asserts here that the field is `ZeroIsNone`.
    #[doc(hidden)]
    fn assert_fields() {}
}

// SAFETY: zero bytes are `None`, and the rest holds by `ZeroIsNone`.
unsafe impl<T: ZeroIsNone> Shareable for Option<T> {}

// SAFETY: an array has the bytes of its elements, and no others.
unsafe impl<T: Shareable, const N: usize> Shareable for [T; N] {}

// SAFETY: it has no bytes.
unsafe impl<T: ?Sized + Send + Sync + 'static> Shareable for PhantomData<T> {}

// SAFETY: it is transparent.
unsafe impl<T: Shareable> Shareable for Wrapping<T> {}

macro_rules! plain {
    ($($name:ty),* $(,)?) => {$(
        // SAFETY: plain bytes, which point to nothing, or an atomic of them; zero is a value.
        unsafe impl Shareable for $name {}
    )*};
}

plain!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool, char, ());
plain!(AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, AtomicBool);
plain!(AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize);

macro_rules! non_zero {
    ($($name:ty),* $(,)?) => {$(
        // SAFETY: plain bytes; the standard library promises that zero bytes are `None`.
        unsafe impl ZeroIsNone for $name {}
    )*};
}

non_zero!(NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize);
non_zero!(NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroIsize);

macro_rules! tuples {
    ($(($($name:ident)+))*) => {$(
        // SAFETY: a tuple has the bytes of its fields, and padding.
        unsafe impl<$($name: Shareable),+> Shareable for ($($name,)+) {}
    )*};
}

tuples!((A)(A B)(A B C)(A B C D)(A B C D E)(A B C D E F)(A B C D E F G)(A B C D E F G H));
