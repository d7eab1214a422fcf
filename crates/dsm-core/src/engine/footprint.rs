//! How much an engine keeps, for whoever asks how that grows.
//!
//! Only the `mutants` feature has it. The engine's own work is the same with and without.

use crate::Engine;

/// What one rank keeps about pages and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Pages and tokens that this rank has, had, or waits for.
    pub copies: u64,
    /// Directory entries that it has as a home.
    pub entries: u64,
    /// Ranks listed in those entries, beside the owners.
    pub sharers: u64,
    /// Bytes of all of this, without what the trees around it leave free.
    pub bytes: u64,
}

impl Engine {
    /// What this rank keeps about pages and tokens now.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let (copies, directory) = (self.copies.footprint(), self.directory.footprint());
        Footprint { copies: copies.copies, bytes: copies.bytes + directory.bytes, ..directory }
    }
}

/// Bytes of so many things of a type.
pub(crate) fn bytes_of<T>(count: usize) -> u64 {
    (count * size_of::<T>()) as u64
}
