use super::{current, expect};
use crate::SyncError;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicIsize, AtomicU64, AtomicUsize};

/// Operations on atomics in shared memory that run where the page is, instead of bringing the page here: for
/// counters that many ranks use. They are sequentially consistent, together with all other atomic operations.
///
/// Sealed: the atomics of 64 bits have them.
///
/// ```no_run
/// use dsm::{AtOwner, AtomicU64};
///
/// let node = dsm::Node::join()?;
/// let tickets = node.named::<AtomicU64>("tickets")?;
/// let mine = tickets.fetch_add_at_owner(1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait AtOwner: sealed::Sealed {
    /// The integer.
    type Value;

    /// Adds, wrapping around; returns what was there before.
    ///
    /// # Panics
    /// If the atomic is not in shared memory, or if this rank has left the job.
    fn fetch_add_at_owner(&self, value: Self::Value) -> Self::Value;

    /// Replaces the value if it is `expected`.
    ///
    /// # Errors
    /// What it is instead.
    ///
    /// # Panics
    /// As [`fetch_add_at_owner`](Self::fetch_add_at_owner).
    fn compare_exchange_at_owner(
        &self,
        expected: Self::Value,
        desired: Self::Value,
    ) -> Result<Self::Value, Self::Value>;
}

mod sealed {
    pub trait Sealed {}
}

#[track_caller]
fn done<T>(result: Result<T, SyncError>, address: usize) -> T {
    expect(result, "operate on the word", &format_args!("{address:#x}"))
}

macro_rules! at_owner {
    ($($atomic:ty: $value:ty;)*) => {$(
        impl sealed::Sealed for $atomic {}

        impl AtOwner for $atomic {
            type Value = $value;

            fn fetch_add_at_owner(&self, value: $value) -> $value {
                let address = ptr::from_ref(self).addr();
                let value = u64::from_ne_bytes(value.to_ne_bytes());
                let before = done(current().node.fetch_add(address, value), address);
                <$value>::from_ne_bytes(before.to_ne_bytes())
            }

            fn compare_exchange_at_owner(
                &self,
                expected: $value,
                desired: $value,
            ) -> Result<$value, $value> {
                let address = ptr::from_ref(self).addr();
                let word = |value: $value| u64::from_ne_bytes(value.to_ne_bytes());
                let value = |word: u64| <$value>::from_ne_bytes(word.to_ne_bytes());
                let (expected, desired) = (word(expected), word(desired));
                let node = &current().node;
                done(node.compare_exchange(address, expected, desired), address)
                    .map(value)
                    .map_err(value)
            }
        }
    )*};
}

at_owner! {
    AtomicU64: u64;
    AtomicI64: i64;
    AtomicUsize: usize;
    AtomicIsize: isize;
}
