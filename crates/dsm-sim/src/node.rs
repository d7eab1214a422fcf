use crate::locks::{Change, Locks};
use crate::tape::Tape;
use crate::thread::{Fault, Thread, ThreadState};
use crate::{Op, Setup, planted};
use dsm_core::{Access, BarrierKind, Call, Config, Engine, Input, ObjectId, Output, PageId, Rank};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hash;
use std::rc::Rc;

/// One rank: its engine, what its driver has yet to carry out, and its threads.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) engine: Engine,
    /// The outputs of the latest input that are not carried out yet.
    pub(crate) outputs: VecDeque<Output>,
    /// What the driver tells the engine when they are carried out, before anything else.
    pub(crate) followups: VecDeque<Input>,
    /// What threads asked of the engine that they do not wait for.
    pub(crate) calls: VecDeque<Call>,
    pub(crate) locks: Locks,
    pub(crate) threads: Vec<Thread>,
    /// Faults that the driver has read and not told the engine yet, each with the lock it came under.
    pub(crate) faults: VecDeque<(PageId, Access, Option<ObjectId>)>,
    /// Pages whose minimum hold time runs.
    pub(crate) held: BTreeSet<PageId>,
    /// Pages whose time runs that they stay at most until a lock is unlocked; those that went stay in it.
    pub(crate) pinned: BTreeSet<PageId>,
    /// Those of them that are here.
    pub(crate) kept: BTreeSet<PageId>,
    /// Which lock a page comes with.
    pub(crate) carries: BTreeMap<PageId, ObjectId>,
    /// The lock that is being given up.
    pub(crate) surrendered: Option<ObjectId>,
    pub(crate) life: Life,
    /// The peers whose loss it was told of.
    pub(crate) lost: BTreeSet<Rank>,
    /// What all of this feeds to a hash; forgotten when anything changes.
    tape: OnceCell<Tape>,
}

/// Whether a rank still takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Up,
    /// It crashed, or ended the job for a good reason.
    Down,
}

impl Node {
    pub(crate) fn new(rank: Rank, setup: &Setup) -> Self {
        let config = Config { rank, space: setup.space(), hold: setup.hold };
        let engine = planted::engine(config, setup);
        let scripts = setup.scripts[usize::from(rank.0)].iter();
        Self {
            engine,
            outputs: VecDeque::new(),
            followups: VecDeque::new(),
            calls: VecDeque::new(),
            locks: Locks::default(),
            threads: scripts.cloned().map(Thread::new).collect(),
            faults: VecDeque::new(),
            held: BTreeSet::new(),
            pinned: BTreeSet::new(),
            kept: BTreeSet::new(),
            carries: BTreeMap::new(),
            surrendered: None,
            life: Life::Up,
            lost: BTreeSet::new(),
            tape: OnceCell::new(),
        }
    }

    /// Whether the driver may take its next input.
    pub(crate) fn is_idle(&self) -> bool {
        self.outputs.is_empty() && self.followups.is_empty()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life == Life::Up
    }

    /// Whether some thread waits at this barrier.
    pub(crate) fn waits_at(&self, kind: BarrierKind) -> bool {
        let mut waiting = self.threads.iter().filter(|thread| thread.waits_at_barrier());
        waiting.any(|thread| thread.op().and_then(Op::barrier) == Some(kind))
    }

    /// How many barriers of all ranks it has passed or waits at, counted from the first.
    pub(crate) fn barriers_reached(&self) -> usize {
        self.threads.iter().map(Thread::barriers_reached).sum()
    }

    /// Nothing happens here any more.
    pub(crate) fn go_down(&mut self) {
        self.life = Life::Down;
        self.outputs.clear();
        self.followups.clear();
        self.calls.clear();
        self.locks = Locks::default();
        self.faults.clear();
        self.held.clear();
        self.pinned.clear();
        self.kept.clear();
    }

    /// A thread gives a lock back; `None` if it does not have it.
    pub(crate) fn release(&mut self, lock: ObjectId, thread: usize) -> Option<Change> {
        let changed = self.locks.release(lock, thread)?;
        self.threads[thread].came.take_if(|came| *came == lock);
        Some(changed)
    }

    /// Whether there are faults to read.
    pub(crate) fn has_unread_fault(&self) -> bool {
        self.threads.iter().any(|thread| thread.unread_fault().is_some())
    }

    /// The driver reads the faults of all threads that are still stopped.
    pub(crate) fn read_faults(&mut self) {
        for thread in &mut self.threads {
            if let Some((page, access)) = thread.unread_fault() {
                self.faults.push_back((page, access, thread.came));
                thread.state = ThreadState::Stopped { page, access, fault: Fault::Read };
            }
        }
    }

    pub(crate) fn tape(&self) -> &Tape {
        self.tape.get_or_init(|| {
            let mut tape = Tape::default();
            self.engine.hash(&mut tape);
            self.outputs.hash(&mut tape);
            self.followups.hash(&mut tape);
            self.calls.hash(&mut tape);
            self.locks.hash(&mut tape);
            self.faults.hash(&mut tape);
            self.held.hash(&mut tape);
            self.pinned.hash(&mut tape);
            self.kept.hash(&mut tape);
            self.carries.hash(&mut tape);
            self.surrendered.hash(&mut tape);
            self.life.hash(&mut tape);
            self.lost.hash(&mut tape);
            for thread in &self.threads {
                tape.push(thread.done() as u64);
                thread.state.hash(&mut tape);
                thread.runs.hash(&mut tape);
                thread.came.hash(&mut tape);
                tape.push(thread.saw);
            }
            tape
        })
    }
}

impl Clone for Node {
    /// A copy is about to change, so it takes no tape along.
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            outputs: self.outputs.clone(),
            followups: self.followups.clone(),
            calls: self.calls.clone(),
            locks: self.locks.clone(),
            threads: self.threads.clone(),
            faults: self.faults.clone(),
            held: self.held.clone(),
            pinned: self.pinned.clone(),
            kept: self.kept.clone(),
            carries: self.carries.clone(),
            surrendered: self.surrendered,
            life: self.life,
            lost: self.lost.clone(),
            tape: OnceCell::new(),
        }
    }
}

/// Takes a node to change it: a copy of its own, if other worlds hold it too.
pub(crate) fn change(node: &mut Rc<Node>) -> &mut Node {
    let node = Rc::make_mut(node);
    node.tape.take();
    node
}
