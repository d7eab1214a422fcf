use crate::Mode;
use dsm_core::{Access, Call, ObjectId};
use std::collections::{BTreeMap, VecDeque};

/// The locks of one rank as its threads see them: what the engine lent of each token, which threads of
/// the rank have the lock, which wait.
///
/// The rules of the table in the runtime (crate `dsm`, `locks`), without its speed: first come, first
/// served; a lock changes hands directly; while another rank waits for the token, so many times and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Locks {
    entries: BTreeMap<ObjectId, Entry>,
}

/// One lock. Whoever waits first cannot enter: users keep it out, the engine was asked for what it needs, or
/// the token has to go first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Entry {
    /// What the engine lent.
    right: Access,
    /// What the engine was asked for and has not lent since.
    asked: Access,
    recall: Option<Recall>,
    /// The token came from another rank, and nobody has had the lock since.
    is_new: bool,
    users: Vec<(usize, Mode)>,
    queue: VecDeque<(usize, Mode)>,
}

/// Another rank wants the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Recall {
    /// What may stay here.
    keep: Access,
    /// How often the lock changed hands here since.
    handovers: u8,
}

/// What came of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// The thread has it, with a token that was here.
    Taken,
    /// The thread has it, with a token that came from another rank for it.
    Came,
    /// Others of this rank have it, or wait for those that have it.
    Used,
    /// The token is elsewhere.
    Elsewhere,
}

/// What follows from a change.
#[derive(Debug, Default)]
#[must_use = "threads wait for it"]
pub(crate) struct Change {
    /// Threads that have the lock from now on, in this order.
    pub(crate) admitted: Vec<usize>,
    /// Which of them the token came from another rank for.
    pub(crate) came: Option<usize>,
    /// What the engine is told, in this order.
    pub(crate) calls: Vec<Call>,
}

impl Locks {
    /// Takes a lock if nothing stands against it.
    pub(crate) fn take(&mut self, object: ObjectId, thread: usize, mode: Mode) -> Take {
        let Some(entry) = self.entries.get_mut(&object) else { return Take::Elsewhere };
        if !entry.admits(mode) {
            return Take::Used;
        }
        if !entry.queue.is_empty() || !entry.may_enter(mode) {
            return if entry.users.is_empty() { Take::Elsewhere } else { Take::Used };
        }
        if entry.enter(thread, mode) { Take::Came } else { Take::Taken }
    }

    pub(crate) fn queue_up(&mut self, object: ObjectId, thread: usize, mode: Mode) -> Change {
        let entry = self.entries.entry(object).or_insert_with(Entry::new);
        entry.queue.push_back((thread, mode));
        self.advance(object)
    }

    /// Takes a thread out of the queue; `None` if it is not in it.
    pub(crate) fn walk_away(&mut self, object: ObjectId, thread: usize) -> Option<Change> {
        let queue = &mut self.entries.get_mut(&object)?.queue;
        let at = queue.iter().position(|waiter| waiter.0 == thread)?;
        queue.remove(at);
        Some(self.advance(object))
    }

    /// `None` if the thread does not have the lock.
    pub(crate) fn release(&mut self, object: ObjectId, thread: usize) -> Option<Change> {
        let users = &mut self.entries.get_mut(&object)?.users;
        let at = users.iter().position(|user| user.0 == thread)?;
        users.remove(at);
        Some(self.advance(object))
    }

    pub(crate) fn lend(&mut self, object: ObjectId, access: Access) -> Change {
        let entry = self.entries.entry(object).or_insert_with(Entry::new);
        if access > entry.right {
            entry.is_new = true;
            // It may be less than what was asked for last: whoever needs more asks again.
            entry.asked = Access::None;
        }
        entry.right = access;
        self.advance(object)
    }

    /// Another rank wants the token, of which only `keep` may stay. `None`: it will be surrendered later, or
    /// was a moment ago.
    pub(crate) fn recall(&mut self, object: ObjectId, keep: Access) -> Option<Change> {
        let entry = self.entries.get_mut(&object)?;
        if entry.right == Access::None {
            return None;
        }
        if entry.used() <= keep {
            entry.right = entry.right.min(keep);
            return Some(self.advance(object));
        }
        match &mut entry.recall {
            Some(recall) => recall.keep = recall.keep.min(keep),
            None => entry.recall = Some(Recall { keep, handovers: 0 }),
        }
        None
    }

    /// Whether a thread of this rank has the lock in a way that rules this access out.
    pub(crate) fn rules_out(&self, object: ObjectId, access: Access) -> bool {
        let Some(entry) = self.entries.get(&object) else { return false };
        entry.users.iter().any(|(_, mode)| access.max(mode.access()) == Access::Write)
    }

    pub(crate) fn mode_of(&self, object: ObjectId, thread: usize) -> Option<Mode> {
        let users = &self.entries.get(&object)?.users;
        users.iter().find(|user| user.0 == thread).map(|user| user.1)
    }

    /// What threads of this rank have of a lock.
    pub(crate) fn used(&self, object: ObjectId) -> Access {
        self.entries.get(&object).map_or(Access::None, Entry::used)
    }

    /// What the engine lent of a lock.
    pub(crate) fn right(&self, object: ObjectId) -> Access {
        self.entries.get(&object).map_or(Access::None, |entry| entry.right)
    }

    /// What the engine lent, for each lock that this rank has to do with.
    pub(crate) fn rights(&self) -> impl Iterator<Item = (ObjectId, Access)> {
        self.entries.iter().map(|(&object, entry)| (object, entry.right))
    }

    /// Lets in who may enter, gives back what is due, asks for what is missing.
    fn advance(&mut self, object: ObjectId) -> Change {
        let mut change = Change::default();
        let Some(entry) = self.entries.get_mut(&object) else { return change };
        while let Some(&(thread, mode)) = entry.queue.front()
            && entry.admits(mode)
            && entry.may_enter(mode)
        {
            entry.queue.pop_front();
            if entry.enter(thread, mode) {
                change.came = Some(thread);
            }
            change.admitted.push(thread);
        }
        if entry.recall.is_some() && entry.users.is_empty() {
            entry.recall = None;
            entry.right = Access::None;
            change.calls.push(Call::Surrender { object, keep: Access::None });
        }
        let needed = entry.queue.front().map_or(Access::None, |(_, mode)| mode.access());
        if entry.right < needed && entry.asked == Access::None {
            entry.asked = needed;
            change.calls.push(Call::Acquire { object, access: needed });
        }
        if entry.is_blank() {
            self.entries.remove(&object);
        }
        change
    }
}

impl Entry {
    fn new() -> Self {
        let (right, asked) = (Access::None, Access::None);
        let (users, queue) = (Vec::new(), VecDeque::new());
        Self { right, asked, recall: None, is_new: false, users, queue }
    }

    /// Whether those that have the lock let another one in.
    fn admits(&self, mode: Mode) -> bool {
        self.users.is_empty() || (mode == Mode::Read && self.used() == Access::Read)
    }

    /// Whether the token lets a thread in that the users let in.
    fn may_enter(&self, mode: Mode) -> bool {
        self.right >= mode.access()
            && self.recall.is_none_or(|recall| {
                recall.keep < mode.access() && recall.handovers < LOCAL_HANDOVERS
            })
    }

    /// Whether the token came from another rank for this thread.
    fn enter(&mut self, thread: usize, mode: Mode) -> bool {
        if let Some(recall) = &mut self.recall {
            recall.handovers += 1;
        }
        self.users.push((thread, mode));
        self.users.sort_unstable();
        std::mem::take(&mut self.is_new)
    }

    fn used(&self) -> Access {
        self.users.iter().map(|(_, mode)| mode.access()).max().unwrap_or(Access::None)
    }

    fn is_blank(&self) -> bool {
        self.right == Access::None && self.asked == Access::None && self.queue.is_empty()
    }
}

/// How often a lock changes hands among the threads of a rank while another rank waits for it. Any number
/// will do; a small one is reached in small worlds.
const LOCAL_HANDOVERS: u8 = 1;
