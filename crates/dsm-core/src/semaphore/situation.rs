//! What a semaphore is in when something is asked of it, for whoever counts which pairs were ever seen.

use super::Semaphores;
use crate::cond::Few;
use crate::{Ask, ObjectId};

/// A semaphore at its home, and what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SemaphoreSituation {
    /// Its value.
    pub value: SemaphoreValue,
    /// Who waits.
    pub waiting: Few,
    /// What is asked.
    pub event: SemaphoreEvent,
}

/// A semaphore's value, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SemaphoreValue {
    /// 0.
    Zero,
    /// More.
    Some,
    /// As much as there can be.
    Highest,
}

/// What can be asked of a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SemaphoreEvent {
    /// To take one once there is one.
    Wait,
    /// To take one if there is one.
    Try,
    /// To give one.
    Post,
    /// To set its value.
    Init,
    /// To end its use.
    Destroy,
}

impl Semaphores {
    pub(crate) fn situation(&self, object: ObjectId, ask: Ask) -> Option<SemaphoreSituation> {
        let event = match ask {
            Ask::SemaphoreWait => SemaphoreEvent::Wait,
            Ask::SemaphoreTry => SemaphoreEvent::Try,
            Ask::SemaphorePost => SemaphoreEvent::Post,
            Ask::SemaphoreInit { .. } => SemaphoreEvent::Init,
            Ask::SemaphoreDestroy => SemaphoreEvent::Destroy,
            _ => return None,
        };
        let semaphore = self.in_use.get(&object);
        let value = match semaphore.map_or(0, |semaphore| semaphore.value) {
            0 => SemaphoreValue::Zero,
            u32::MAX => SemaphoreValue::Highest,
            _ => SemaphoreValue::Some,
        };
        let waiting = Few::of(semaphore.map_or(0, |semaphore| semaphore.queue.len()));
        Some(SemaphoreSituation { value, waiting, event })
    }
}
