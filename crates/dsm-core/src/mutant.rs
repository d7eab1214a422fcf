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
    /// A sharer acks an invalidation before it takes the access away.
    AckBeforeDrop,
    /// A sharer acks an invalidation that overtook its grant, and keeps the copy that comes.
    AckBeforeGrant,
    /// An owner that hands the page to a writer keeps a copy to read.
    OwnerKeepsCopy,
    /// A clean exclusive copy is opened for writing and still believed to be read only.
    UpgradeUnnoticed,
    /// Demands are met during the hold time.
    HoldIgnored,
    /// A fault on a page that another thread's fault already brought is not answered.
    ResumeForgotten,
    /// A demand that cannot be met at once is lost.
    DemandForgotten,
    /// A reader is not entered in the copyset.
    ReaderForgotten,
    /// A reader is served from the old owner while the sharers' acks for a writer are awaited.
    ReadDuringTransfer,
    /// Who waited behind a writer is not served after it.
    QueueForgotten,
    /// When a sharer becomes the writer, the owner's copy is not invalidated.
    OwnerSpared,
    /// The barrier opens when all ranks but one are there.
    BarrierShort,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Every planted bug.
    pub const ALL: &[Self] = &[
        Self::SendBeforeProtect,
        Self::GrantBeforeAcks,
        Self::AckBeforeDrop,
        Self::AckBeforeGrant,
        Self::OwnerKeepsCopy,
        Self::UpgradeUnnoticed,
        Self::HoldIgnored,
        Self::ResumeForgotten,
        Self::DemandForgotten,
        Self::ReaderForgotten,
        Self::ReadDuringTransfer,
        Self::QueueForgotten,
        Self::OwnerSpared,
        Self::BarrierShort,
    ];
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
