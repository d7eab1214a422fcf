//! Bugs planted on purpose, so that dsm-sim can show that it finds them.
//!
//! Only the `mutants` feature can plant one; without it every question is answered "no" at compile time.

/// A bug the engine can be built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    not(feature = "mutants"),
    allow(unreachable_pub, reason = "public with the feature only")
)]
pub enum Mutant {
    /// The owner copies the page out before it takes the write access away: a store in between is lost.
    SendBeforeProtect,
    /// The home hands the page to a writer without waiting for the sharers' acks.
    GrantBeforeAcks,
}

/// The bug planted in one engine, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Planted {
    #[cfg(feature = "mutants")]
    pub(crate) mutant: Option<Mutant>,
}

impl Planted {
    #[cfg(feature = "mutants")]
    pub(crate) fn is(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    #[cfg(not(feature = "mutants"))]
    pub(crate) const fn is(self, _: Mutant) -> bool {
        false
    }
}
