//! What a condition variable is in when something is asked of it, for whoever counts which pairs were ever
//! seen.

use super::{Conds, Waiter};
use crate::{Ask, ObjectId};

/// A condition variable at its home, and what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CondSituation {
    /// Who waits.
    pub waiting: Few,
    /// What is asked.
    pub event: CondEvent,
}

/// How many there are, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Few {
    /// None.
    Zero,
    /// One.
    One,
    /// Two or more.
    More,
}

/// What can be asked of a condition variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CondEvent {
    /// To queue up.
    Wait,
    /// To leave the queue.
    Leave,
    /// The same, by a thread that is not in it any more.
    LeaveWoken,
    /// To wake one.
    Signal,
    /// To wake all.
    Broadcast,
    /// To end its use.
    Destroy,
}

impl Conds {
    pub(crate) fn situation(
        &self,
        object: ObjectId,
        asker: Waiter,
        ask: Ask,
    ) -> Option<CondSituation> {
        let queue = self.queues.get(&object);
        let event = match ask {
            Ask::CondWait => CondEvent::Wait,
            Ask::CondLeave { waiter } => {
                let left = Waiter { rank: asker.rank, id: waiter };
                match queue.is_some_and(|queue| queue.contains(&left)) {
                    true => CondEvent::Leave,
                    false => CondEvent::LeaveWoken,
                }
            }
            Ask::CondSignal => CondEvent::Signal,
            Ask::CondBroadcast => CondEvent::Broadcast,
            Ask::CondDestroy => CondEvent::Destroy,
            _ => return None,
        };
        Some(CondSituation { waiting: Few::of(queue.map_or(0, |queue| queue.len())), event })
    }
}

impl Few {
    pub(crate) fn of(count: usize) -> Self {
        match count {
            0 => Self::Zero,
            1 => Self::One,
            _ => Self::More,
        }
    }
}
