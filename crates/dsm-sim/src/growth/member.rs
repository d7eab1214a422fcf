use crate::Op;
use crate::locks::Locks;
use dsm_core::{CallId, Engine, ObjectId, PageId};
use std::collections::{BTreeMap, VecDeque};

/// One rank: an engine, its processor and its link, and one thread.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) engine: Engine,
    /// Until when its runtime is busy.
    pub(super) processor_free: u64,
    /// Until when its link is, in each direction.
    pub(super) out_free: u64,
    pub(super) in_free: u64,
    /// What its thread has still to do; the first is under way.
    pub(super) script: VecDeque<Op>,
    pub(super) waits: Waits,
    pub(super) locks: Locks,
    /// The lock that the thread has with a token that came for it.
    pub(super) came: Option<ObjectId>,
    /// The run of the heap that the thread got last.
    pub(super) run: Option<PageId>,
    /// When the hold times end that run.
    pub(super) held: BTreeMap<PageId, u64>,
    /// Messages one after the other without which the thread would not be where it is.
    pub(super) hops: u32,
    /// When it had done its script.
    pub(super) done_at: u64,
    pub(super) traffic: Traffic,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Nothing,
    Page(PageId),
    Lock(ObjectId),
    Answer(CallId),
}

/// What went in and out of a rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) sent: u64,
    pub(super) sent_bytes: u64,
    pub(super) received: u64,
}

impl Member {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            engine,
            processor_free: 0,
            out_free: 0,
            in_free: 0,
            script: VecDeque::new(),
            waits: Waits::Nothing,
            locks: Locks::default(),
            came: None,
            run: None,
            held: BTreeMap::new(),
            hops: 0,
            done_at: 0,
            traffic: Traffic::default(),
        }
    }
}

impl Traffic {
    /// Messages that its processor had to do with.
    pub(super) fn handled(&self) -> u64 {
        self.sent + self.received
    }
}
