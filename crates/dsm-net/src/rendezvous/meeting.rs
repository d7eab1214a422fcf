use super::attempt::Attempt;
use super::greeting::Greeting;
use crate::strangers::Strangers;
use dsm_core::Rank;
use std::collections::{BTreeMap, VecDeque};
use std::net::TcpStream;
use std::time::Instant;

/// How far the ranks are.
pub(super) struct Meeting {
    pub(super) met: BTreeMap<Rank, TcpStream>,
    /// Lower ranks to connect to.
    pub(super) to_ask: BTreeMap<Rank, Attempt>,
    /// Lower ranks, which were sent our hello.
    pub(super) asked: BTreeMap<Rank, (Greeting, Attempt)>,
    /// Lower ranks that did not take a connection, and how often.
    pub(super) silent: BTreeMap<Rank, u32>,
    /// Whoever connected to us and has not shown its key yet, the oldest first.
    pub(super) callers: VecDeque<Greeting>,
    pub(super) strangers: Strangers,
}

impl Meeting {
    pub(super) fn turn_away(&mut self, caller: Greeting) {
        self.strangers.on_turned_away(caller.address, Instant::now());
    }

    pub(super) fn drop_oldest(&mut self) {
        if let Some(caller) = self.callers.pop_front() {
            self.turn_away(caller);
        }
    }

    /// Callers come in the order in which their time is up.
    pub(super) fn drop_late(&mut self, now: Instant) {
        while self.callers.front().is_some_and(|caller| caller.until <= now) {
            self.drop_oldest();
        }
    }
}
