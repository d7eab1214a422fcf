//! Bugs planted on purpose, so that dsm-sim can show that it finds them.

/// A bug the engine can be built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    not(feature = "mutants"),
    allow(unreachable_pub, reason = "public with the feature only")
)]
pub enum Mutant {
    /// A request is sent on to the rank it came from.
    ForwardToSource,
    /// A request that finds no page is dropped.
    RequestDropped,
    /// A request that finds its page on its way here is dropped.
    EarlyRequestDropped,
    /// A request that finds its page held is dropped.
    HeldRequestDropped,
    /// What waits for a page is not looked at when the hold is over.
    HoldOverUnheard,
    /// Of the requests that wait for a page, those after the first are lost when it goes.
    QueueCut,
    /// A page is copied out before the access is taken away.
    SentBeforeRemoved,
    /// A page is handed over and kept.
    TwoOwners,
    /// A rank does not note whom it gave a page to.
    OwnerUnnoted,
    /// Whoever was announced last is believed to be the owner.
    LastAnnouncementWins,
    /// A page is announced to its new owner alone.
    MoveUnannounced,
    /// The first finalize that is heard counts for all.
    FinalizeEarly,
    /// A second request is sent while one is outstanding.
    TwoOutstanding,
    /// A request that had to wait for its turn is never sent.
    TurnForgotten,
    /// The threads stopped on a page are not let go on when it comes.
    ResumeForgotten,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Every planted bug.
    pub const ALL: [Self; 15] = [
        Self::ForwardToSource,
        Self::RequestDropped,
        Self::EarlyRequestDropped,
        Self::HeldRequestDropped,
        Self::HoldOverUnheard,
        Self::QueueCut,
        Self::SentBeforeRemoved,
        Self::TwoOwners,
        Self::OwnerUnnoted,
        Self::LastAnnouncementWins,
        Self::MoveUnannounced,
        Self::FinalizeEarly,
        Self::TwoOutstanding,
        Self::TurnForgotten,
        Self::ResumeForgotten,
    ];
}

/// The bug planted in one engine, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Planted {
    #[cfg(feature = "mutants")]
    pub(super) mutant: Option<Mutant>,
}

impl Planted {
    #[cfg(feature = "mutants")]
    pub(super) fn is(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    #[cfg(not(feature = "mutants"))]
    pub(super) const fn is(self, _: Mutant) -> bool {
        false
    }
}
