use crate::io::Outputs;
use crate::message::{Answer, Ask, CallId, Message};
use crate::mutant::{Mutant, Planted};
use crate::{Access, ObjectId, Output, Rank};
use alloc::collections::BTreeMap;

/// The calls of this rank's threads that other ranks answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Calls {
    rank: Rank,
    nodes: u16,
    planted: Planted,
    under_way: BTreeMap<CallId, UnderWay>,
}

/// What answers a call may still have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum UnderWay {
    /// One.
    Single,
    /// [`Answer::Queued`], then [`Answer::Woken`].
    Waiting,
    /// One, after which the waiter has no more.
    Leaving { waiter: CallId },
    /// One of each other rank; the thread hears the first that says something, or the last.
    Probing { left: u16, told: bool },
}

impl Calls {
    pub(crate) fn new(rank: Rank, nodes: u16, planted: Planted) -> Self {
        Self { rank, nodes, planted, under_way: BTreeMap::new() }
    }

    pub(crate) fn on_ask(
        &mut self,
        id: CallId,
        object: ObjectId,
        ask: Ask,
        to: Rank,
        out: &mut Outputs,
    ) {
        let under_way = match ask {
            Ask::CondWait => UnderWay::Waiting,
            Ask::CondLeave { waiter } => UnderWay::Leaving { waiter },
            _ => UnderWay::Single,
        };
        self.under_way.insert(id, under_way);
        out.send(to, Message::Ask { asker: self.rank, id, object, ask }, None);
    }

    /// What a thread asks is done at its own rank.
    pub(crate) fn on_own_task(&mut self, id: CallId) {
        self.under_way.insert(id, UnderWay::Single);
    }

    pub(crate) fn on_probe(
        &mut self,
        id: CallId,
        object: ObjectId,
        access: Access,
        out: &mut Outputs,
    ) {
        let left = self.nodes - 1;
        if left == 0 {
            return out.push(Output::Answered { id, answer: Answer::Done });
        }
        self.under_way.insert(id, UnderWay::Probing { left, told: false });
        for to in (0..self.nodes).map(Rank).filter(|&rank| rank != self.rank) {
            let ask = Ask::Inspect { access };
            out.send(to, Message::Ask { asker: self.rank, id, object, ask }, None);
        }
    }

    pub(crate) fn on_answer(
        &mut self,
        id: CallId,
        answer: Answer,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let call = self.under_way.get_mut(&id).ok_or("an answer belongs to a call under way")?;
        match (&mut *call, answer) {
            (UnderWay::Waiting, Answer::Queued) => {}
            (UnderWay::Waiting, Answer::Woken) | (UnderWay::Single, _) => {
                self.under_way.remove(&id);
            }
            (UnderWay::Waiting, _) => return Err("a waiter is queued, then woken"),
            (&mut UnderWay::Leaving { waiter }, _) => {
                self.under_way.remove(&id);
                if answer == Answer::Done {
                    self.under_way.remove(&waiter);
                }
            }
            (UnderWay::Probing { left, told }, _) => {
                *left -= 1;
                let is_last = *left == 0;
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
        }
        out.push(Output::Answered { id, answer });
        Ok(())
    }
}
