#[cfg(feature = "mutants")]
mod situation;
mod tree;

#[cfg(feature = "mutants")]
pub use situation::{BarrierEvent, BarrierSituation, BarrierState, BelowArrived};

use crate::io::Outputs;
use crate::message::{Answer, BarrierKind, CallId, Message};
use crate::mutant::{Mutant, Planted};
use crate::{Epoch, Output, Rank, Violation};
use alloc::collections::BTreeMap;
use tree::Tree;

/// The barrier of all ranks.
///
/// The ranks are a [`Tree`] with the coordinator on top. A rank arrives at the one above it when all below it
/// have, and is released by it; so nobody has to hear or tell more ranks than the tree is wide (Yew, Tzeng and
/// Lawrie, "Distributing Hot-Spot Addressing in Large-Scale Multiprocessors", IEEE Transactions on Computers
/// 36(4), 1987). Who leaves the job arrives at the coordinator directly, and is released by it, so that no rank
/// depends on another one that is gone. The coordinator tells all ranks when the first one leaves: who waits at
/// the program's barrier then waits in vain, which nobody else may know yet.
///
/// Invariant: ranks differ by at most one barrier passed, since nobody is released before all arrived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Barrier {
    rank: Rank,
    tree: Tree,
    planted: Planted,
    passed: Epoch,
    waiting: Option<(CallId, BarrierKind)>,
    /// This rank and those that arrive at it, from their arrival to their release.
    arrived: BTreeMap<Rank, BarrierKind>,
    /// The first rank that left the job, and how many barriers it had passed, as the coordinator told.
    leaving: Option<(Rank, Epoch)>,
}

impl Barrier {
    pub(crate) fn new(rank: Rank, nodes: u16, planted: Planted) -> Self {
        Self {
            rank,
            tree: Tree::new(nodes),
            planted,
            passed: Epoch(0),
            waiting: None,
            arrived: BTreeMap::new(),
            leaving: None,
        }
    }

    /// Explorers make trees of few ranks.
    #[cfg(feature = "mutants")]
    pub(crate) fn set_fan_in(&mut self, fan_in: u16) {
        self.tree.fan_in = fan_in;
    }

    pub(crate) fn on_call(&mut self, id: CallId, kind: BarrierKind, out: &mut Outputs) {
        if self.waiting.is_some() {
            return out.push(Output::Answered { id, answer: Answer::Busy });
        }
        if let Some(leaving) = self.told()
            && kind == BarrierKind::Program
        {
            return self.mismatch(self.rank, leaving, out);
        }
        self.waiting = Some((id, kind));
        let at = match kind {
            BarrierKind::Program => self.rank,
            BarrierKind::Finalize => COORDINATOR,
        };
        out.send(at, Message::BarrierArrive { kind, epoch: self.passed }, None);
    }

    pub(crate) fn on_arrive(
        &mut self,
        from: Rank,
        kind: BarrierKind,
        epoch: Epoch,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        if !self.is_expected(from, kind) {
            return Err("a rank arrives at the one above it, and leaves at the coordinator");
        }
        if epoch != self.passed {
            return Err("a rank arrives at the barrier that all passed to");
        }
        // Until now all agree: the first speaks for them.
        let before = self.arrived.first_key_value().map(|(&rank, &kind)| (rank, kind));
        if self.arrived.insert(from, kind).is_some() {
            return Err("a rank arrives at a barrier once");
        }
        match before.filter(|_| !self.planted.is(Mutant::MismatchMissed)) {
            Some((waiting, BarrierKind::Program)) if kind == BarrierKind::Finalize => {
                self.mismatch(waiting, from, out);
            }
            Some((leaving, BarrierKind::Finalize)) if kind == BarrierKind::Program => {
                self.mismatch(from, leaving, out);
            }
            _ => {
                if kind == BarrierKind::Finalize && before.is_none() {
                    self.tell_leaving(from, epoch, out);
                }
                if self.is_complete(kind) {
                    self.pass_on(kind, epoch, out);
                }
            }
        }
        Ok(())
    }

    fn is_expected(&self, from: Rank, kind: BarrierKind) -> bool {
        match kind {
            BarrierKind::Program => from == self.rank || self.tree.above(from) == Some(self.rank),
            BarrierKind::Finalize => self.rank == COORDINATOR,
        }
    }

    /// How many ranks arrive here, this one too.
    fn awaited(&self, kind: BarrierKind) -> usize {
        match kind {
            BarrierKind::Program => 1 + self.tree.below(self.rank).len(),
            BarrierKind::Finalize => usize::from(self.tree.nodes),
        }
    }

    fn is_complete(&self, kind: BarrierKind) -> bool {
        let early = match kind {
            BarrierKind::Program if self.rank == COORDINATOR => false,
            BarrierKind::Program => self.planted.is(Mutant::SubtreeShort),
            BarrierKind::Finalize => self.planted.is(Mutant::FinalizeShort),
        };
        let absent = usize::from(self.planted.is(Mutant::BarrierShort) && self.awaited(kind) > 1);
        early || self.arrived.len() == self.awaited(kind) - absent
    }

    /// All are here that arrive at this rank.
    fn pass_on(&mut self, kind: BarrierKind, epoch: Epoch, out: &mut Outputs) {
        match self.tree.above(self.rank) {
            Some(above) => out.send(above, Message::BarrierArrive { kind, epoch }, None),
            None => out.send(self.rank, Message::BarrierRelease { kind, epoch }, None),
        }
    }

    /// Where all arrive at the coordinator, it sees by itself who waits in vain.
    fn tell_leaving(&self, rank: Rank, epoch: Epoch, out: &mut Outputs) {
        if self.tree.is_flat() || self.planted.is(Mutant::LeaverUntold) {
            return;
        }
        for to in (0..self.tree.nodes).map(Rank).filter(|&to| to != self.rank && to != rank) {
            out.send(to, Message::Leaving { rank, epoch }, None);
        }
    }

    pub(crate) fn on_leaving(
        &mut self,
        from: Rank,
        rank: Rank,
        epoch: Epoch,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        let waits = self.waiting.map(|(_, kind)| kind);
        // The release of the barrier before may be on its way by others.
        let is_next = epoch == self.passed.next() && waits == Some(BarrierKind::Program);
        let is_first = self.leaving.is_none() && !self.tree.is_flat() && rank != self.rank;
        if from != COORDINATOR || !is_first || !(is_next || epoch == self.passed) {
            return Err("the coordinator tells once who leaves first, and all passed to the same");
        }
        if !self.planted.is(Mutant::LeaverForgotten) {
            self.leaving = Some((rank, epoch));
        }
        let is_now = epoch == self.passed || self.planted.is(Mutant::LeaverMisdated);
        if waits == Some(BarrierKind::Program) && is_now {
            self.mismatch(self.rank, rank, out);
        }
        Ok(())
    }

    /// Who leaves the job at the barrier that this rank comes to next.
    fn told(&self) -> Option<Rank> {
        self.leaving.filter(|(_, epoch)| *epoch == self.passed).map(|(rank, _)| rank)
    }

    pub(crate) fn on_release(
        &mut self,
        from: Rank,
        kind: BarrierKind,
        epoch: Epoch,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        match self.waiting {
            Some((id, waiting))
                if from == self.releases(kind) && waiting == kind && epoch == self.passed =>
            {
                self.waiting = self.waiting.filter(|_| self.planted.is(Mutant::CallKept));
                self.passed = self.passed.next();
                if !self.planted.is(Mutant::ArrivalsKept) {
                    self.arrived.clear();
                }
                self.release(kind, epoch, out);
                out.push(Output::Answered { id, answer: Answer::Done });
                Ok(())
            }
            _ => Err("a rank is released where it arrived, from a barrier that it waits at"),
        }
    }

    /// Who releases this rank.
    fn releases(&self, kind: BarrierKind) -> Rank {
        match kind {
            BarrierKind::Program => self.tree.above(self.rank).unwrap_or(COORDINATOR),
            BarrierKind::Finalize => COORDINATOR,
        }
    }

    /// Releases those that arrived at this rank.
    fn release(&self, kind: BarrierKind, epoch: Epoch, out: &mut Outputs) {
        let below = match kind {
            BarrierKind::Program if self.rank == COORDINATOR => self.tree.below(self.rank),
            BarrierKind::Program if self.planted.is(Mutant::ReleaseKept) => 0..0,
            BarrierKind::Program => self.tree.below(self.rank),
            BarrierKind::Finalize if self.rank == COORDINATOR => 1..self.tree.nodes,
            BarrierKind::Finalize => 0..0,
        };
        let told =
            below.len() - usize::from(self.planted.is(Mutant::RankUnreleased) && !below.is_empty());
        for rank in below.take(told).map(Rank) {
            out.send(rank, Message::BarrierRelease { kind, epoch }, None);
            if self.planted.is(Mutant::ReleasedTwice) {
                out.send(rank, Message::BarrierRelease { kind, epoch }, None);
            }
        }
    }

    fn mismatch(&self, waiting: Rank, leaving: Rank, out: &mut Outputs) {
        out.push(Output::Fail { violation: Violation::BarrierMismatch { waiting, leaving } });
    }
}

/// The rank on top, which also hands out the heap.
pub(crate) const COORDINATOR: Rank = Rank(0);
