use crate::tape::Tape;
use crate::{Faults, Op, Setup, planted};
use dsm_core::{Access, BarrierKind, CallId, Config, Engine, Output, PageId, Rank, Space};
use std::cell::OnceCell;
use std::collections::{BTreeSet, VecDeque};
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;

/// One rank: its engine, what its driver has yet to carry out, and its threads.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) engine: Engine,
    /// The outputs of the latest input that are not carried out yet.
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) threads: Vec<Thread>,
    /// Faults that the driver has read and not told the engine yet.
    pub(crate) faults: VecDeque<(PageId, Access)>,
    /// Pages whose minimum hold time runs.
    pub(crate) held: BTreeSet<PageId>,
    pub(crate) life: Life,
    /// The peers whose loss it was told of.
    pub(crate) lost: BTreeSet<Rank>,
    /// What all of this feeds to a hash; forgotten when anything changes.
    tape: OnceCell<Tape>,
}

/// One thread of a program.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    script: Arc<[Op]>,
    next: usize,
    pub(crate) state: ThreadState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ThreadState {
    Running,
    /// Stopped at a fault until it is resumed.
    Stopped {
        page: PageId,
        access: Access,
        fault: Fault,
    },
    /// Waits until its call is granted.
    Calling(CallId),
}

/// Whether a rank still takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Up,
    /// It crashed, or ended the job for a good reason.
    Down,
}

/// Whether the driver knows of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    Unread,
    Read,
}

impl Node {
    pub(crate) fn new(rank: Rank, setup: &Setup) -> Self {
        let space = Space::of_pages(setup.nodes(), setup.pages);
        let config = Config { rank, space, hold: setup.hold };
        let engine = planted::engine(config, setup.mutant);
        let scripts = setup.scripts[usize::from(rank.0)].iter();
        Self {
            engine,
            outputs: VecDeque::new(),
            threads: scripts.cloned().map(Thread::new).collect(),
            faults: VecDeque::new(),
            held: BTreeSet::new(),
            life: Life::Up,
            lost: BTreeSet::new(),
            tape: OnceCell::new(),
        }
    }

    /// Whether the driver may take its next input.
    pub(crate) fn is_idle(&self) -> bool {
        self.outputs.is_empty()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life == Life::Up
    }

    /// Whether some thread waits at this barrier.
    pub(crate) fn waits_at(&self, kind: BarrierKind) -> bool {
        let waits = |thread: &Thread| matches!(thread.state, ThreadState::Calling(_));
        let mut waiting = self.threads.iter().filter(|thread| waits(thread));
        waiting.any(|thread| thread.op().and_then(Op::barrier) == Some(kind))
    }

    /// Nothing happens here any more.
    pub(crate) fn go_down(&mut self) {
        self.life = Life::Down;
        self.outputs.clear();
        self.faults.clear();
        self.held.clear();
    }

    /// Whether there are faults to read.
    pub(crate) fn has_unread_fault(&self) -> bool {
        self.threads.iter().any(|thread| thread.unread_fault().is_some())
    }

    /// The driver reads the faults of all threads that are still stopped.
    pub(crate) fn read_faults(&mut self) {
        for thread in &mut self.threads {
            if let Some((page, access)) = thread.unread_fault() {
                self.faults.push_back((page, access));
                thread.state = ThreadState::Stopped { page, access, fault: Fault::Read };
            }
        }
    }

    pub(crate) fn tape(&self) -> &Tape {
        self.tape.get_or_init(|| {
            let mut tape = Tape::default();
            self.engine.hash(&mut tape);
            self.outputs.hash(&mut tape);
            self.faults.hash(&mut tape);
            self.held.hash(&mut tape);
            self.life.hash(&mut tape);
            self.lost.hash(&mut tape);
            for thread in &self.threads {
                tape.push(thread.next as u64);
                thread.state.hash(&mut tape);
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
            threads: self.threads.clone(),
            faults: self.faults.clone(),
            held: self.held.clone(),
            life: self.life,
            lost: self.lost.clone(),
            tape: OnceCell::new(),
        }
    }
}

impl Thread {
    pub(crate) fn new(script: Arc<[Op]>) -> Self {
        Self { script, next: 0, state: ThreadState::Running }
    }

    /// What the thread is at, unless it is done.
    pub(crate) fn op(&self) -> Option<Op> {
        self.script.get(self.next).copied()
    }

    /// How many operations it has done.
    pub(crate) fn done(&self) -> usize {
        self.next
    }

    /// Tries again what it stopped at, if it stopped at this page and can be reached.
    pub(crate) fn resume(&mut self, at: PageId, faults: Faults) {
        if let ThreadState::Stopped { page, fault, .. } = self.state
            && page == at
            && (faults != Faults::Posted || fault == Fault::Read)
        {
            self.state = ThreadState::Running;
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, ThreadState::Stopped { .. })
    }

    fn unread_fault(&self) -> Option<(PageId, Access)> {
        match self.state {
            ThreadState::Stopped { page, access, fault: Fault::Unread } => Some((page, access)),
            _ => None,
        }
    }

    pub(crate) fn retire(&mut self) {
        self.next += 1;
        self.state = ThreadState::Running;
    }

    /// How many barriers it has passed or waits at, counted from the first.
    pub(crate) fn barriers_reached(&self) -> usize {
        let at = self.script.iter().take(self.next).filter(|op| op.barrier().is_some()).count();
        at + usize::from(matches!(self.state, ThreadState::Calling(_)))
    }
}

/// Takes a node to change it: a copy of its own, if other worlds hold it too.
pub(crate) fn change(node: &mut Rc<Node>) -> &mut Node {
    let node = Rc::make_mut(node);
    node.tape.take();
    node
}
