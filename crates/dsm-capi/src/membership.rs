//! The one node of this process. C has no handle to pass, so it is a static.

use crate::error::Failure;
use dsm::{JoinError, Node};
use std::io::{self, Write};
use std::sync::{PoisonError, RwLock};

/// Where this process stands. It moves down this list and never back.
enum Membership {
    Never,
    /// A thread is in `dsm_init`, which waits for the other ranks.
    Joining,
    Joined(Node),
    /// `dsm_init` failed, or `dsm_finalize` was called.
    Over,
}

/// What `dsm_init` tells the program.
pub(crate) struct Place {
    pub(crate) rank: u16,
    pub(crate) nodes: u16,
    pub(crate) base: usize,
}

/// Joins the job. A failure is told on standard error, unless the process has called before.
pub(crate) fn join() -> Result<Place, Failure> {
    match exchange(Membership::Joining, |now| matches!(now, Membership::Never)) {
        Some(_) => {}
        None => return Err(Failure::Again),
    }
    // The lock is free meanwhile: other threads may ask what there is to know.
    match Node::join() {
        Ok(node) => {
            let place = Place { rank: node.rank(), nodes: node.nodes(), base: node.base() };
            exchange(Membership::Joined(node), |_| true);
            Ok(place)
        }
        Err(error) => {
            exchange(Membership::Over, |_| true);
            if let JoinError::Again = error {
                return Err(Failure::Again);
            }
            let failure = Failure::Join(error);
            // Standard error may be closed; the caller learns of the failure all the same.
            let _ = io::stderr().write_all(format!("dsm: {failure}\n").as_bytes());
            Err(failure)
        }
    }
}

/// Leaves the job, after the calls under way in other threads. Does nothing outside a job.
pub(crate) fn leave() -> Result<(), Failure> {
    match exchange(Membership::Over, |now| matches!(now, Membership::Joined(_))) {
        Some(Membership::Joined(node)) => Ok(node.finalize()?),
        _ => Ok(()),
    }
}

/// What `ask` says of this process's node; `None` outside a job.
pub(crate) fn with_node<T>(ask: impl FnOnce(&Node) -> T) -> Option<T> {
    match &*MEMBERSHIP.read().unwrap_or_else(PoisonError::into_inner) {
        Membership::Joined(node) => Some(ask(node)),
        _ => None,
    }
}

/// Replaces the membership if `may` accepts the present one, and gives the old one.
fn exchange(next: Membership, may: impl FnOnce(&Membership) -> bool) -> Option<Membership> {
    // A panic of a reader poisons nothing, and no code here panics between two states.
    let mut membership = MEMBERSHIP.write().unwrap_or_else(PoisonError::into_inner);
    may(&membership).then(|| std::mem::replace(&mut *membership, next))
}

static MEMBERSHIP: RwLock<Membership> = RwLock::new(Membership::Never);
