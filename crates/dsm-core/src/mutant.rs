//! Bugs planted on purpose, so that dsm-sim can show that it finds them.
//!
//! Only the `mutants` feature can plant one; without it every question is answered "no" at compile time.

/// Declares the bugs, each with what it is in words.
macro_rules! mutants {
    ($(#[doc = $what:literal] $name:ident,)*) => {
        /// A bug the engine can be built with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(
            not(feature = "mutants"),
            allow(unreachable_pub, reason = "public with the feature only")
        )]
        pub enum Mutant {
            $(#[doc = $what] $name,)*
        }

        #[cfg(feature = "mutants")]
        impl Mutant {
            /// Every planted bug.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What the engine does wrong.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self {
                    $(Self::$name => $what.trim_ascii(),)*
                }
            }
        }
    };
}

mutants! {
    // A rank's copies: faults and requests.
    /// A fault on a page that another thread's fault already brought is not answered.
    ResumeForgotten,
    /// A clean exclusive copy is opened for writing and still believed to be read only.
    UpgradeUnnoticed,
    /// A shared copy is opened for writing without asking, as if it were the only one.
    SharedWritten,
    /// The home opens its unused page and still believes that nobody ever used it.
    FreshUnnoticed,
    /// A fault sends a request although one for its page is under way.
    RequestRepeated,

    // A rank's copies: grants.
    /// A page granted to be read is opened for writing.
    GrantOverstepped,
    /// The content that came with a grant is taken for zero.
    ContentIgnored,
    /// A grant does not end the request it answers.
    RequestRemembered,
    /// A granted copy keeps the epoch of the copy before it.
    GrantUnnumbered,
    /// Demands that waited for a grant are not looked at when it comes.
    GrantUndrained,

    // A rank's copies: hold times.
    /// Demands are met during the hold time.
    HoldIgnored,
    /// A hold time never ends.
    HoldForever,
    /// Demands that waited for the end of a hold time are not looked at when it comes.
    HoldOverUnheard,

    // A rank's copies: demands.
    /// A demand that cannot be met at once is lost.
    DemandForgotten,
    /// Of the demands put off, the first is met and the others are lost.
    DemandsCut,
    /// A demand that overtook its grant is met with the copy that is there.
    DemandBeforeGrant,
    /// A forward that overtook its grant is lost: the page is not here.
    ForwardDropped,
    /// A sharer acks an invalidation that overtook its grant, and keeps the copy that comes.
    AckBeforeGrant,
    /// A sharer acks an invalidation before it takes the access away.
    AckBeforeDrop,
    /// An ack names another copy than the one that went.
    AckMisnumbered,
    /// An owner that hands the page to a writer keeps a copy to read.
    OwnerKeepsCopy,
    /// An owner that hands out a shared copy believes its own to be the only one.
    OwnerStaysExclusive,
    /// An owner that hands out a shared copy gives its own the epoch of that one.
    KeptCopyRenumbered,
    /// The owner copies the page out before it takes the write access away: a store in between is lost.
    SendBeforeProtect,
    /// A page that was used is handed over as if it were zero.
    ZeroForUsed,
    /// A page never written is handed over with the bytes that happen to be there.
    FreshAttached,
    /// The home hands its unused page over and still believes to have it.
    FreshKept,
    /// A copy to write becomes one to read without the write access being taken away.
    DowngradeUnprotected,
    /// A copy is dropped without the access being taken away.
    DropUnprotected,

    // The directory: requests.
    /// A page never used is handed out as if its content were somewhere.
    FreshMistaken,
    /// A reader is served from the old owner while the sharers' acks for a writer are awaited.
    ReadDuringTransfer,
    /// A writer is served while the sharers' acks for another one are awaited.
    WriteDuringTransfer,
    /// A reader is told that its copy is the only one.
    ExclusiveWhileShared,
    /// The home is asked for the content whoever the owner is.
    HomeAsked,
    /// Who gets the only copy of a page to read is entered as one of several readers.
    MoveUnlisted,
    /// A reader is not entered in the copyset.
    ReaderForgotten,
    /// A reader is entered with the epoch of the owner's copy.
    ReaderMisnumbered,

    // The directory: writers.
    /// The home hands the page to a writer without waiting for the sharers' acks.
    GrantBeforeAcks,
    /// The first ack lets the writer in.
    OneAckEnough,
    /// The sharers are told to drop their copies and stay in the copyset.
    SharersKept,
    /// One sharer is not told to drop its copy.
    SharerSkipped,
    /// When a sharer becomes the writer, its own copy is invalidated.
    RequesterInvalidated,
    /// When a sharer becomes the writer, the owner's copy is not invalidated.
    OwnerSpared,
    /// A writer is granted the right alone, as if it still had a copy.
    UpgradeAssumed,
    /// The grant to a writer does not advance the page's epoch.
    WriteUncounted,
    /// A writer does not become the owner.
    OwnerUnchanged,
    /// A writer becomes the owner with the epoch of the owner before it.
    OwnerMisnumbered,
    /// The owner that handed its copy to a writer is kept as a sharer.
    OldOwnerListed,
    /// Who waited behind a writer is not served after it.
    QueueForgotten,
    /// Who waited behind a writer that waited behind a writer is not served after it.
    QueueCut,
    /// Of those that wait behind a writer, the one that came last is served first.
    QueueReversed,

    // Homes of pages that the first rank claims.
    /// A registrar names everybody who claims a page its home.
    ClaimGranted,
    /// A registrar tells who claims a page second that it is the home itself.
    HomeMisnamed,
    /// A registrar forgets that it touched a page itself.
    TouchUnlisted,
    /// Only the first claim of a page is answered.
    ClaimUnanswered,
    /// Of what waits for a page's home, the first is done and the others are lost.
    TouchForgotten,
    /// A rank that is asked for a page before it is told to be the home says that it is not.
    PresumptionRefused,

    // The barrier.
    /// The barrier opens when all ranks but one are there.
    BarrierShort,
    /// The end of the job does not wait for all ranks.
    FinalizeShort,
    /// One rank is not told that the barrier opened.
    RankUnreleased,
    /// Every rank is told twice that the barrier opened.
    ReleasedTwice,
    /// Arrivals at one barrier count for the next one.
    ArrivalsKept,
    /// A thread that passed the barrier is still believed to wait there.
    CallKept,
    /// The coordinator does not notice that a rank leaves the job while another waits at the program's barrier.
    MismatchMissed,
    /// A rank arrives at the one above it without waiting for those below it.
    SubtreeShort,
    /// A rank that was released does not release those below it.
    ReleaseKept,
    /// The coordinator does not tell the other ranks that one leaves the job.
    LeaverUntold,
    /// A rank that is told that another one leaves the job forgets it before it waits at the program's barrier.
    LeaverForgotten,
    /// A rank that is told that another one leaves takes the barrier it waits at for the one after it.
    LeaverMisdated,

    // Tokens of locks.
    /// A token that another rank wants is not recalled.
    RecallForgotten,
    /// A token is given up while this rank's threads have it.
    TokenGivenEarly,
    /// A token is handed on and kept.
    TokenKept,
    /// A token that was recalled from readers for a reader is not lent to them again.
    RelendForgotten,
    /// A token surrendered is believed to be lent still.
    LentForever,
    /// A token to read is lent as if it were one to write.
    LendOverstepped,
    /// A token that is lent is lent once more when it is asked for.
    LentTwice,
    /// Who has to give a token up is asked to keep it to read.
    RecallTooMild,

    // What comes with a lock.
    /// Pages kept for who has a lock are not sent when it is unlocked.
    PinForgotten,
    /// A token that waited for its pages is not lent when they are here.
    WithheldForever,

    // Condition variables.
    /// Of the threads that wait, the one that came last is remembered.
    WaiterUnlisted,
    /// A thread that leaves the queue of a condition variable stays in it.
    LeaverKept,
    /// A signal takes the first waiter from the queue and does not wake it.
    WakeUpLost,
    /// A signal wakes two threads instead of one.
    WakeUpSpurious,
    /// A signal wakes the one that came last.
    SignalToLast,
    /// A broadcast wakes the first and forgets the others.
    BroadcastShort,
    /// A thread that was woken while it left is told that it was not.
    LeaverMisled,

    // Semaphores.
    /// A post wakes the one that came last.
    PostToLast,
    /// A post at a semaphore where nobody waits is forgotten.
    PostLost,
    /// A post that wakes a thread raises the value too.
    PostDoubled,
    /// A wait does not lower the value.
    ValueKept,
    /// A semaphore is set although threads wait, who are forgotten.
    SetBlindly,

    // Barriers of a count.
    /// Threads that name another count meet all the same.
    CountIgnored,
    /// The barrier opens one thread early.
    GatheringShort,
    /// The thread that came last is not told that the barrier opened.
    GatheringUnreleased,
    /// Every thread is told that it is the one.
    SerialToAll,

    // Operations, and calls to other ranks.
    /// An operation is run by a rank that may not write the page.
    OperatedUnowned,
    /// An operation that waits for its page is not run when the page comes.
    ErrandUnheard,
    /// The home hands an operation on as if it were its own.
    AskerForgotten,
    /// Of the answers to a probe the first counts, whatever it says.
    FirstProbeEnough,

    // Runs of the heap.
    /// A run given back is free before its pages are zero.
    RunUncleared,
    /// A run that is taken stays free.
    RunTwice,
    /// A run is free when one rank has made its pages zero.
    OneReclaimEnough,
    /// A page that is cleared is believed to be as it was.
    ClearForgotten,
    /// Memory of a page that is open is given back.
    ClearedOpen,
    /// Free runs that touch each other stay two.
    RunsApart,
    /// Who asks while a run is made zero is told that there is none.
    RefusedEarly,
    /// Who waits for a run that is made zero is not told when it is.
    TakerForgotten,

    // The engine.
    /// Of several messages of a rank to itself only the first is heard.
    OwnMessageLost,
    /// The loss of a peer is not answered.
    PeerLossIgnored,
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

    /// What is right, or what is wrong where this bug is planted.
    pub(crate) fn bend<T>(self, mutant: Mutant, right: T, wrong: T) -> T {
        if self.is(mutant) { wrong } else { right }
    }
}
