use crate::{Access, Epoch, ObjectId, PageId, Rank};

/// What one rank's engine says to another's. A page's bytes travel beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// Requester to home: a thread here faulted and wants `access` (read or write).
    Request {
        /// The page faulted on.
        page: PageId,
        /// What the faulting access needs; never [`Access::None`].
        access: Access,
    },
    /// Home to owner: hand the page to `to`.
    Forward {
        /// The page asked for.
        page: PageId,
        /// What `to` gets; the owner keeps a shared copy if this is [`Right::Shared`], else nothing.
        right: Right,
        /// The requester.
        to: Rank,
        /// The epoch of the grant to be sent.
        epoch: Epoch,
        /// The epoch of the owner's own copy: a forward may overtake the grant it follows.
        have: Epoch,
    },
    /// Owner or home to requester: the fault is resolved.
    Grant {
        /// The page granted.
        page: PageId,
        /// What the requester may do from now on.
        right: Right,
        /// The epoch of the requester's copy from now on.
        epoch: Epoch,
        /// Where the content is.
        payload: Payload,
    },
    /// Home to sharer: drop your copy.
    Invalidate {
        /// The page to drop.
        page: PageId,
        /// The epoch of the copy to drop: an invalidation may overtake the grant it follows.
        have: Epoch,
    },
    /// Sharer to home: the copy is gone and every store made through it is visible.
    Ack {
        /// The page dropped.
        page: PageId,
        /// The epoch of the copy dropped.
        epoch: Epoch,
    },
    /// Former owner to home: the only copy, granted to be read, was not written before another rank read the page.
    Unwritten {
        /// The page.
        page: PageId,
        /// The epoch of that copy.
        epoch: Epoch,
    },
    /// To the rank above in the tree of ranks, with the coordinator (rank 0) on top: all of this rank's threads that
    /// take part are here, and all ranks below it are. Who leaves says so to the coordinator, for itself.
    BarrierArrive {
        /// Which barrier.
        kind: BarrierKind,
        /// How many barriers this rank has passed before.
        epoch: Epoch,
    },
    /// To the ranks below, and for the end of the job from the coordinator to all: every rank has arrived.
    BarrierRelease {
        /// Which barrier.
        kind: BarrierKind,
        /// How many barriers were passed before this one.
        epoch: Epoch,
    },
    /// Coordinator to all but `rank`, where not all arrive at it: this rank was the first to leave the job.
    Leaving {
        /// The rank that leaves.
        rank: Rank,
        /// How many barriers it has passed before.
        epoch: Epoch,
    },
    /// A thread of `asker` asks the rank that serves an object.
    Ask {
        /// Whose thread asks: the sender, or for an operation that a home hands on, another rank.
        asker: Rank,
        /// Which of the asker's calls.
        id: CallId,
        /// What it is about.
        object: ObjectId,
        /// What is asked.
        ask: Ask,
    },
    /// To the asker: what became of its call.
    Answer {
        /// Which of the asker's calls.
        id: CallId,
        /// What became of it.
        answer: Answer,
    },
    /// Coordinator to all: nobody uses these pages of the heap any more; their homes make them zero.
    Reclaim {
        /// The first page.
        first: PageId,
        /// How many.
        pages: u64,
    },
    /// To the registrar of a page: a thread here wants to touch it, and this rank does not know its home.
    Claim {
        /// The page.
        page: PageId,
    },
    /// Registrar to who claimed a page: where its home is.
    Home {
        /// The page.
        page: PageId,
        /// The first rank that claimed it.
        home: Rank,
    },
    /// To the coordinator: what this rank is home to of these pages is zero again.
    Reclaimed {
        /// The first page.
        first: PageId,
    },
}

/// Names a call under way among those of its rank, so that its thread can be found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What a thread asks of the rank that serves an object: its home, if nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ask {
    /// Queue up at a condition variable: [`Answer::Queued`], and later [`Answer::Woken`].
    CondWait,
    /// Leave the queue: [`Answer::Done`], or [`Answer::Woken`] when a wake-up was under way.
    CondLeave {
        /// The call that queued up.
        waiter: CallId,
    },
    /// Wake the first that waits, if any.
    CondSignal,
    /// Wake all that wait.
    CondBroadcast,
    /// [`Answer::Busy`] while somebody waits.
    CondDestroy,
    /// Set a semaphore's value: [`Answer::Busy`] while somebody waits.
    SemaphoreInit {
        /// The value.
        value: u32,
    },
    /// Take one, once there is one.
    SemaphoreWait,
    /// Take one, or [`Answer::Empty`].
    SemaphoreTry,
    /// Give one: [`Answer::Overflow`] at the highest value.
    SemaphorePost,
    /// Set it to 0: [`Answer::Busy`] while somebody waits.
    SemaphoreDestroy,
    /// Wait until as many threads have come: [`Answer::Serial`] to the last, [`Answer::Done`] to the
    /// others; [`Answer::CountDiffers`] from what those say that wait.
    BarrierWait {
        /// How many threads meet.
        count: u32,
    },
    /// Add to the word at its owner: [`Answer::Value`] before.
    Add {
        /// What to add; wraps around.
        value: u64,
    },
    /// Replace the word at its owner if it is as expected: [`Answer::Value`] before.
    Swap {
        /// What it must be.
        expected: u64,
        /// What it becomes.
        desired: u64,
    },
    /// At the coordinator: a run of zero pages of the heap. [`Answer::Run`] or [`Answer::Exhausted`].
    RunTake {
        /// How many pages.
        pages: u64,
    },
    /// At the coordinator: the run that begins at the object is not used any more, or
    /// [`Answer::NotTaken`].
    RunGive,
    /// At the coordinator: [`Answer::Owner`] of the run that the object is in, or [`Answer::NotTaken`].
    RunOwner,
    /// At the owner of its run: free a block. [`Answer::NotTaken`] or [`Answer::Free`] if it was not in use.
    BlockFree,
    /// At any rank: whether a thread has a lock in a way that rules this access out.
    /// [`Answer::Held`] or [`Answer::Done`].
    Inspect {
        /// The access that is wanted.
        access: Access,
    },
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// It is done.
    Done,
    /// The thread is in the queue; another answer follows.
    Queued,
    /// The thread was woken.
    Woken,
    /// It is done, and this thread came last.
    Serial,
    /// What the word was before.
    Value(u64),
    /// The first page of a run.
    Run(PageId),
    /// The rank that took a run.
    Owner(Rank),
    /// A thread has the lock.
    Held {
        /// Its rank.
        rank: Rank,
        /// Its number on its host.
        thread: u32,
        /// The lock that it waits for in turn.
        waits_for: Option<ObjectId>,
    },
    /// Others are using it.
    Busy,
    /// A semaphore's value is 0.
    Empty,
    /// A semaphore's value is the highest.
    Overflow,
    /// Threads that meet name different counts.
    CountDiffers,
    /// No run is that long.
    Exhausted,
    /// No run or block begins there.
    NotTaken,
    /// The block is free already.
    Free,
}

/// The right to a page that a grant carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// To read; other ranks may hold copies too.
    Shared,
    /// To read, as the only holder: the holder may write without asking.
    Exclusive,
    /// To write, as the only holder.
    Modified,
}

/// Where the content of a granted page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payload {
    /// In the bytes that follow the message.
    Attached,
    /// The page was never written: all bytes are zero, none follow.
    Zero,
    /// The receiver's own copy is current; only the right changes.
    Held,
}

/// Which of the barriers of all ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BarrierKind {
    /// The program's `dsm_barrier`.
    Program,
    /// The end of the job, `dsm_finalize`.
    Finalize,
}
