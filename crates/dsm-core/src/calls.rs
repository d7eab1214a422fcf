#[cfg(feature = "mutants")]
mod situation;

#[cfg(feature = "mutants")]
pub use situation::{CallEvent, CallSituation, CallState};

use crate::io::Outputs;
use crate::message::{Answer, Ask, CallId, Message};
use crate::mutant::{Mutant, Planted};
use crate::{Access, ObjectId, Output, Rank, Space};
use alloc::collections::{BTreeMap, BTreeSet};

/// The calls of this rank's threads that other ranks answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Calls {
    rank: Rank,
    space: Space,
    planted: Planted,
    under_way: BTreeMap<CallId, UnderWay>,
}

/// What answers a call may still have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum UnderWay {
    /// One, from this rank; an operation is answered by whichever rank owns the page.
    Single { ask: Ask, from: Rank },
    /// [`Answer::Queued`], then [`Answer::Woken`].
    Queueing { home: Rank },
    /// [`Answer::Woken`].
    Waiting { home: Rank },
    /// One, after which the waiter has no more if it was not woken.
    Leaving { waiter: CallId, home: Rank },
    /// One from each of these; the thread hears the first that says something, or the last.
    Probing { left: BTreeSet<Rank>, told: bool },
}

impl Calls {
    pub(crate) fn new(rank: Rank, space: Space, planted: Planted) -> Self {
        Self { rank, space, planted, under_way: BTreeMap::new() }
    }

    pub(crate) fn on_ask(
        &mut self,
        id: CallId,
        object: ObjectId,
        ask: Ask,
        to: Rank,
        out: &mut Outputs,
    ) {
        self.begin(id, ask, to);
        out.send(to, Message::Ask { asker: self.rank, id, object, ask }, None);
    }

    /// A call is under way, which this rank will answer.
    pub(crate) fn begin(&mut self, id: CallId, ask: Ask, from: Rank) {
        let under_way = match ask {
            Ask::CondWait => UnderWay::Queueing { home: from },
            Ask::CondLeave { waiter } => UnderWay::Leaving { waiter, home: from },
            _ => UnderWay::Single { ask, from },
        };
        self.under_way.insert(id, under_way);
    }

    pub(crate) fn on_probe(
        &mut self,
        id: CallId,
        object: ObjectId,
        access: Access,
        out: &mut Outputs,
    ) {
        let others = (0..self.space.nodes).map(Rank).filter(|&rank| rank != self.rank);
        let left: BTreeSet<Rank> = others.collect();
        if left.is_empty() {
            return out.push(Output::Answered { id, answer: Answer::Done });
        }
        for &to in &left {
            let ask = Ask::Inspect { access };
            out.send(to, Message::Ask { asker: self.rank, id, object, ask }, None);
        }
        self.under_way.insert(id, UnderWay::Probing { left, told: false });
    }

    pub(crate) fn on_answer(
        &mut self,
        from: Rank,
        id: CallId,
        answer: Answer,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let call = self.under_way.get_mut(&id).ok_or("an answer belongs to a call under way")?;
        match (&mut *call, answer) {
            (UnderWay::Single { ask, from: asked }, _) => {
                if *asked != from && !is_operation(*ask) {
                    return Err("the rank answers that was asked");
                }
                if !answers(*ask, answer, &self.space) {
                    return Err("an answer fits the question");
                }
                self.under_way.remove(&id);
            }
            (&mut UnderWay::Queueing { home }, Answer::Queued) if home == from => {
                *call = UnderWay::Waiting { home };
            }
            (UnderWay::Waiting { home }, Answer::Woken) if *home == from => {
                self.under_way.remove(&id);
            }
            (UnderWay::Queueing { .. } | UnderWay::Waiting { .. }, _) => {
                return Err("a waiter is queued, then woken, by the home");
            }
            (&mut UnderWay::Leaving { waiter, home }, Answer::Done | Answer::Woken)
                if home == from =>
            {
                self.under_way.remove(&id);
                if answer == Answer::Done {
                    self.under_way.remove(&waiter);
                }
            }
            (UnderWay::Leaving { .. }, _) => return Err("who leaves was woken or not"),
            (UnderWay::Probing { left, told }, Answer::Done | Answer::Held { .. }) => {
                if !left.remove(&from) {
                    return Err("a rank says once whether a lock is held");
                }
                let is_last = left.is_empty();
                let early = self.planted.is(Mutant::FirstProbeEnough);
                let is_news = !*told && (is_last || early || answer != Answer::Done);
                *told |= is_news;
                if is_last {
                    self.under_way.remove(&id);
                }
                if !is_news {
                    return Ok(());
                }
            }
            (UnderWay::Probing { .. }, _) => return Err("a lock is held or not"),
        }
        out.push(Output::Answered { id, answer });
        Ok(())
    }
}

fn is_operation(ask: Ask) -> bool {
    matches!(ask, Ask::Add { .. } | Ask::Swap { .. })
}

/// Whether something can be the answer to a question that has one.
fn answers(ask: Ask, answer: Answer, space: &Space) -> bool {
    match (ask, answer) {
        (
            Ask::CondSignal
            | Ask::CondBroadcast
            | Ask::CondDestroy
            | Ask::SemaphoreInit { .. }
            | Ask::SemaphoreWait
            | Ask::SemaphoreTry
            | Ask::SemaphorePost
            | Ask::SemaphoreDestroy
            | Ask::BarrierWait { .. }
            | Ask::RunGive
            | Ask::BlockFree
            | Ask::Inspect { .. },
            Answer::Done,
        )
        | (Ask::CondDestroy | Ask::SemaphoreInit { .. } | Ask::SemaphoreDestroy, Answer::Busy)
        | (Ask::SemaphoreTry, Answer::Empty)
        | (Ask::SemaphorePost, Answer::Overflow)
        | (Ask::BarrierWait { .. }, Answer::Serial | Answer::CountDiffers)
        | (Ask::Add { .. } | Ask::Swap { .. }, Answer::Value(_))
        | (Ask::RunTake { .. }, Answer::Exhausted)
        | (Ask::RunGive | Ask::RunOwner | Ask::BlockFree, Answer::NotTaken)
        | (Ask::RunOwner, Answer::Owner(_))
        | (Ask::BlockFree, Answer::Free)
        | (Ask::Inspect { .. }, Answer::Held { .. }) => true,
        (Ask::RunTake { pages }, Answer::Run(first)) => {
            first.0 >= space.area_pages && first.0.saturating_add(pages) <= space.pages
        }
        _ => false,
    }
}
