//! What a driver does with what the program's threads have locked now and then: it waits for none of
//! them, and tries again.

use super::Driver;
use crate::allocation::free_for_peer;
use crate::locks::{Holder, Recalled};
use dsm_core::{Access, Answer, Ask, Call, CallId, Input, ObjectId, Rank, Task};
use dsm_mem::Operation;
use std::time::Duration;

/// Something to do with what the program's threads have locked now and then.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Lend { object: ObjectId, access: Access },
    Recall { object: ObjectId, keep: Access },
    Serve { asker: Rank, id: CallId, task: Task },
}

impl Driver {
    /// Does something with what the program's threads have locked now and then: at once, or after what
    /// waits already.
    pub(super) fn do_soon(&mut self, deed: Deed) {
        self.deeds.push_back(deed);
        self.do_deeds();
    }

    /// Does what can be done now, in order.
    pub(super) fn do_deeds(&mut self) {
        while let Some(&deed) = self.deeds.front() {
            if self.attempt(deed).is_none() {
                return;
            }
            self.deeds.pop_front();
        }
    }

    /// `None` if a thread of the program is in the way. It may be in a signal handler that waits for a page:
    /// the driver does not wait for it.
    fn attempt(&mut self, deed: Deed) -> Option<()> {
        match deed {
            Deed::Lend { object, access } => self.locks.lend(object, access)?,
            Deed::Recall { object, keep } => {
                if self.locks.recall(object, keep)? == Recalled::Surrendered {
                    let call = Call::Surrender { object, keep };
                    self.followups.push_back(Input::Call { id: CallId(u64::MAX), call });
                }
            }
            Deed::Serve { asker, id, task } => {
                let answer = self.run_task(task)?;
                self.followups.push_back(Input::Served { asker, id, answer });
            }
        }
        Some(())
    }

    /// Runs an operation on a word, if it is one: at once, because the page may leave with the next output.
    pub(super) fn operate(&self, task: Task) -> Option<Answer> {
        let (object, operation) = match task {
            Task::Add { object, value } => (object, Operation::Add { value }),
            Task::Swap { object, expected, desired } => {
                (object, Operation::Swap { expected, desired })
            }
            Task::Free { .. } | Task::Inspect { .. } => return None,
        };
        Some(Answer::Value(self.region.operate(offset_of(object), operation)))
    }

    /// Does what a rank asks for with what the program's threads have locked now and then.
    fn run_task(&self, task: Task) -> Option<Answer> {
        Some(match task {
            Task::Add { .. } | Task::Swap { .. } => unreachable!("operations were run at once"),
            Task::Free { object } => {
                let address = self.region.base() + offset_of(object);
                let (answer, emptied) = free_for_peer(&self.arena, address)?;
                if let Some(run) = emptied {
                    let object = ObjectId(((run - self.region.base()) / WORD_BYTES) as u64);
                    self.calls.post(Call::Ask { object, ask: Ask::RunGive });
                }
                answer
            }
            Task::Inspect { object, access } => match self.locks.try_inspect(object, access)? {
                Some(Holder { thread, waits_for }) => {
                    Answer::Held { rank: self.rank, thread, waits_for }
                }
                None => Answer::Done,
            },
        })
    }
}

fn offset_of(object: ObjectId) -> usize {
    usize::try_from(object.0).expect("words are in the region") * WORD_BYTES
}

/// Objects are numbered by words of this size.
pub(super) const WORD_BYTES: usize = 8;
/// After which time to look again whether a thread of the program is out of the way.
pub(super) const TRY_AGAIN: Duration = Duration::from_micros(50);
