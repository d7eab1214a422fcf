//! What a barrier with a count is in when a thread comes, for whoever counts which pairs were ever seen.

use super::Gatherings;
use crate::ObjectId;
use crate::cond::Few;

/// A barrier with a count at its home, and a thread that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatheringSituation {
    /// Who waits.
    pub waiting: Few,
    /// Who comes.
    pub event: GatheringEvent,
}

/// Who can come to a barrier with a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatheringEvent {
    /// A thread, and others are missing still.
    Comes,
    /// The last one.
    ComesLast,
    /// A thread that names another count than those that wait.
    Differs,
}

impl Gatherings {
    pub(crate) fn situation(&self, object: ObjectId, count: u32) -> GatheringSituation {
        let (named, waiting) = match self.under_way.get(&object) {
            Some(gathering) => (gathering.count, gathering.arrived.len()),
            None => (count, 0),
        };
        let event = match waiting + 1 >= usize::try_from(count).unwrap_or(usize::MAX) {
            _ if named != count => GatheringEvent::Differs,
            true => GatheringEvent::ComesLast,
            false => GatheringEvent::Comes,
        };
        GatheringSituation { waiting: Few::of(waiting), event }
    }
}
