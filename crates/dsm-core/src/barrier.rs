#[cfg(feature = "mutants")]
mod situation;

#[cfg(feature = "mutants")]
pub use situation::{BarrierEvent, BarrierSituation, BarrierState};

use crate::io::Outputs;
use crate::message::{Answer, BarrierKind, CallId, Message};
use crate::mutant::{Mutant, Planted};
use crate::{Epoch, Output, Rank, Violation};
use alloc::collections::BTreeMap;

/// The barrier of all ranks: each arrives at the coordinator, which releases all.
///
/// Invariant: ranks differ by at most one barrier passed, since nobody is released before all arrived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Barrier {
    nodes: u16,
    planted: Planted,
    passed: Epoch,
    waiting: Option<(CallId, BarrierKind)>,
    /// At the coordinator only.
    arrived: BTreeMap<Rank, BarrierKind>,
}

impl Barrier {
    pub(crate) fn new(nodes: u16, planted: Planted) -> Self {
        Self { nodes, planted, passed: Epoch(0), waiting: None, arrived: BTreeMap::new() }
    }

    pub(crate) fn on_call(&mut self, id: CallId, kind: BarrierKind, out: &mut Outputs) {
        if self.waiting.is_some() {
            return out.push(Output::Answered { id, answer: Answer::Busy });
        }
        self.waiting = Some((id, kind));
        out.send(COORDINATOR, Message::BarrierArrive { kind, epoch: self.passed }, None);
    }

    pub(crate) fn on_arrive(
        &mut self,
        from: Rank,
        kind: BarrierKind,
        epoch: Epoch,
        out: &mut Outputs,
    ) -> Result<(), &'static str> {
        if epoch != self.passed {
            return Err("a rank arrives at the barrier that all passed to");
        }
        if self.arrived.insert(from, kind).is_some() {
            return Err("a rank arrives at a barrier once");
        }
        let absent = u16::from(self.planted.is(Mutant::BarrierShort));
        let missed = self.planted.is(Mutant::MismatchMissed);
        let early = kind == BarrierKind::Finalize && self.planted.is(Mutant::FinalizeShort);
        if let Some(violation) = self.mismatch().filter(|_| !missed) {
            out.push(Output::Fail { violation });
        } else if early || self.arrived.len() == usize::from(self.nodes - absent) {
            self.release(kind, epoch, out);
        }
        Ok(())
    }

    fn release(&mut self, kind: BarrierKind, epoch: Epoch, out: &mut Outputs) {
        if !self.planted.is(Mutant::ArrivalsKept) {
            self.arrived.clear();
        }
        let told = self.nodes - u16::from(self.planted.is(Mutant::RankUnreleased));
        for rank in (0..told).map(Rank) {
            out.send(rank, Message::BarrierRelease { kind, epoch }, None);
            if self.planted.is(Mutant::ReleasedTwice) {
                out.send(rank, Message::BarrierRelease { kind, epoch }, None);
            }
        }
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
                if from == COORDINATOR && waiting == kind && epoch == self.passed =>
            {
                self.waiting = self.waiting.filter(|_| self.planted.is(Mutant::CallKept));
                self.passed = self.passed.next();
                out.push(Output::Answered { id, answer: Answer::Done });
                Ok(())
            }
            _ => Err("the coordinator releases a barrier this rank waits at"),
        }
    }

    fn mismatch(&self) -> Option<Violation> {
        let at = |kind| self.arrived.iter().find(|(_, k)| **k == kind).map(|(rank, _)| *rank);
        let (waiting, leaving) = (at(BarrierKind::Program)?, at(BarrierKind::Finalize)?);
        Some(Violation::BarrierMismatch { waiting, leaving })
    }
}

/// The rank that counts arrivals.
pub(crate) const COORDINATOR: Rank = Rank(0);
