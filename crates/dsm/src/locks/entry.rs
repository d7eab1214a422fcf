#[cfg(test)]
mod explore;

use super::thread::Thread;
use super::users::Users;
use super::{LockError, Mode};
use crate::parker::Parker;
use dsm_core::Access;
use std::collections::VecDeque;
use std::sync::Arc;

/// One lock as this rank sees it: what the engine lent, who of this rank has it, who waits.
///
/// It only says what follows from an event, in a [`Step`]; others carry that out.
///
/// Invariant: the right suffices for the users. The engine is asked at most once, and gets the token back at
/// most once, before it lends again. Whoever waits first cannot enter: users keep it out, or the engine was
/// asked, or the token has to go first.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// What the engine lent of the token.
    right: Access,
    /// What the engine was asked for and has not lent since.
    asked: Access,
    recall: Option<Recall>,
    /// The token came from another rank, and nobody has had the lock since.
    is_new: bool,
    users: Users,
    /// Nobody waits most of the time, and a rank may have millions of locks.
    #[expect(clippy::box_collection, reason = "8 bytes in an idle entry instead of 32")]
    queue: Option<Box<VecDeque<Waiter>>>,
}

/// Another rank wants the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Recall {
    /// What may stay here.
    keep: Access,
    /// How often the lock changed hands here since.
    handovers: u8,
}

/// A thread in the queue, which sleeps until it is told that it has the lock or cannot have it.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) thread: Thread,
    pub(super) mode: Mode,
    pub(super) parker: Arc<Parker<Result<(), LockError>>>,
}

/// What came of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Take {
    /// The thread has it, with a token that was here.
    Local,
    /// The thread has it, with a token that came from another rank for it.
    Remote,
    /// The thread had it already in a way that rules this out.
    Own,
    /// Others of this rank have it, or wait for those that have it.
    Used,
    /// The token is elsewhere.
    Elsewhere,
}

/// What follows from an event, in this order.
#[must_use = "threads wait for it"]
#[derive(Debug, Default)]
pub(super) struct Step {
    /// These have the lock and are to be told.
    pub(super) admitted: Vec<Waiter>,
    /// The engine gets the whole token back.
    pub(super) surrenders: bool,
    /// The engine is asked for this.
    pub(super) acquires: Option<Access>,
    /// The first of the admitted took a token that came from another rank.
    pub(super) is_remote: bool,
    /// This rank has nothing to do with the lock any more.
    pub(super) leaves_blank: bool,
}

impl Entry {
    /// A lock nobody uses, of whose token this rank has that much.
    pub(super) fn new(right: Access) -> Self {
        let users = Users::Nobody;
        Self { right, asked: Access::None, recall: None, is_new: false, users, queue: None }
    }

    /// Takes the lock if nothing stands against it.
    pub(super) fn take(&mut self, thread: Thread, mode: Mode) -> Take {
        match (self.users.mode_of(thread), mode) {
            // The right is there while the thread reads; whoever waits for it to end would wait forever.
            (Some(Mode::Read), Mode::Read) => {
                self.users.enter(thread, mode);
                return Take::Local;
            }
            (Some(_), _) => return Take::Own,
            (None, _) => (),
        }
        if !self.users.admit(mode) {
            return Take::Used;
        }
        if self.queue.is_some() || !self.may_enter(mode) {
            return if self.users == Users::Nobody { Take::Elsewhere } else { Take::Used };
        }
        if self.enter(thread, mode) { Take::Remote } else { Take::Local }
    }

    /// Lets a thread wait for its turn.
    pub(super) fn queue_up(&mut self, waiter: Waiter) -> Step {
        self.queue.get_or_insert_default().push_back(waiter);
        self.advance()
    }

    /// Takes a thread out of the queue that does not want to wait any more; `None` if it is not in it.
    /// What the engine was asked for stays under way.
    pub(super) fn walk_away(&mut self, thread: Thread) -> Option<Step> {
        let queue = self.queue.as_mut()?;
        let at = queue.iter().position(|waiter| waiter.thread == thread)?;
        queue.remove(at);
        self.drop_empty_queue();
        Some(self.advance())
    }

    /// Takes back one lock of a thread; `None` if it has none.
    pub(super) fn release(&mut self, thread: Thread) -> Option<Step> {
        self.users.leave(thread).then(|| self.advance())
    }

    /// The engine lends this much of the token from now on.
    ///
    /// # Panics
    /// If it takes something back that is in use, which only a recall may.
    pub(super) fn lend(&mut self, access: Access) -> Step {
        assert!(self.users.access() <= access, "a token in use is taken back by recall alone");
        if access > self.right {
            self.is_new = true;
            // What was asked for, or what others left of the token while the request is under way, which
            // may be for less than is needed by now: whoever needs more asks again.
            self.asked = Access::None;
        }
        self.right = access;
        self.advance()
    }

    /// Another rank wants the token, of which only `keep` may stay here. `None`: it will be surrendered.
    pub(super) fn recall(&mut self, keep: Access) -> Option<Step> {
        if self.right == Access::None {
            // It was surrendered, and the engine will hear of it.
            return None;
        }
        if self.users.access() <= keep {
            self.right = self.right.min(keep);
            return Some(self.advance());
        }
        match &mut self.recall {
            Some(recall) => recall.keep = recall.keep.min(keep),
            None => self.recall = Some(Recall { keep, handovers: 0 }),
        }
        None
    }

    pub(super) fn users(&self) -> &Users {
        &self.users
    }

    /// Those that wait, taken out for good.
    pub(super) fn take_queue(&mut self) -> VecDeque<Waiter> {
        self.queue.take().map(|queue| *queue).unwrap_or_default()
    }

    /// Lets in who may enter, gives back what is due, asks for what is missing.
    fn advance(&mut self) -> Step {
        let mut step = Step::default();
        self.admit(&mut step);
        if self.recall.is_some() && self.users == Users::Nobody {
            self.recall = None;
            self.right = Access::None;
            step.surrenders = true;
        }
        let first = self.queue.as_ref().and_then(|queue| queue.front());
        if let Some(needed) = first.map(|first| first.mode.access())
            && self.right < needed
            && self.asked == Access::None
        {
            self.asked = needed;
            step.acquires = Some(needed);
        }
        step.leaves_blank = self.right == Access::None && self.asked == Access::None;
        step
    }

    fn admit(&mut self, step: &mut Step) {
        while let Some(first) = self.queue.as_ref().and_then(|queue| queue.front()) {
            let (thread, mode) = (first.thread, first.mode);
            if !self.users.admit(mode) || !self.may_enter(mode) {
                return;
            }
            step.is_remote |= self.enter(thread, mode);
            step.admitted.extend(self.queue.as_mut().and_then(|queue| queue.pop_front()));
            self.drop_empty_queue();
        }
    }

    /// Whether the token lets a thread in that the users let in.
    fn may_enter(&self, mode: Mode) -> bool {
        self.right >= mode.access()
            && self.recall.is_none_or(|recall| {
                // Who is content with what may stay enters together with the other rank's threads.
                recall.keep < mode.access() && recall.handovers < LOCAL_HANDOVERS
            })
    }

    /// Whether the token came from another rank for this thread.
    fn enter(&mut self, thread: Thread, mode: Mode) -> bool {
        if let Some(recall) = &mut self.recall {
            recall.handovers += 1;
        }
        self.users.enter(thread, mode);
        std::mem::take(&mut self.is_new)
    }

    fn drop_empty_queue(&mut self) {
        self.queue.take_if(|queue| queue.is_empty());
    }
}

/// How often a lock changes hands among the threads of a rank while another rank waits for it.
pub(super) const LOCAL_HANDOVERS: u8 = 16;
