//! The one node of this process. C has no handle to pass, so it is a static.

use crate::error::Failure;
use dsm::{JoinError, Node, is_forked_child};
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// Where this process stands. It moves down this list and never back.
const NEVER: u8 = 0;
/// A thread is in `dsm_init`, which waits for the other ranks.
const JOINING: u8 = 1;
const JOINED: u8 = 2;
/// `dsm_init` failed, or `dsm_finalize` was called.
const OVER: u8 = 3;

/// What `dsm_init` tells the program.
pub(crate) struct Place {
    pub(crate) rank: u16,
    pub(crate) nodes: u16,
    pub(crate) base: usize,
}

/// Joins the job. A failure is told on standard error, unless the process has called before.
pub(crate) fn join() -> Result<Place, Failure> {
    if !advance(NEVER, JOINING) {
        return Err(Failure::Again);
    }
    match Node::join() {
        Ok(node) => {
            let node = NODE.get_or_init(|| node);
            let place = Place { rank: node.rank(), nodes: node.nodes(), base: node.base() };
            advance(JOINING, JOINED);
            Ok(place)
        }
        Err(error) => {
            advance(JOINING, OVER);
            if let JoinError::Again = error {
                return Err(Failure::Again);
            }
            let failure = Failure::Join(error);
            tell(&failure);
            Err(failure)
        }
    }
}

/// Leaves the job; calls of other threads that wait end, and later ones find no job. Does nothing outside
/// one.
pub(crate) fn leave() -> Result<(), Failure> {
    match NODE.get() {
        Some(node) if !is_forked_child() && advance(JOINED, OVER) => Ok(node.leave()?),
        _ => Ok(()),
    }
}

/// What `ask` says of this process's node; `None` outside a job, as in a forked child, whose parent is in one.
///
/// The node stays as long as the process, whoever still uses it; so asking takes no lock, counts no
/// reference and does not even notice that it is a signal handler that asks.
pub(crate) fn with_node<T>(ask: impl FnOnce(&Node) -> T) -> Option<T> {
    match MEMBERSHIP.load(Ordering::Acquire) {
        JOINED if !is_forked_child() => NODE.get().map(ask),
        _ => None,
    }
}

/// Says something on standard error, which may be closed; the caller learns of it all the same.
pub(crate) fn tell(failure: &Failure) {
    let _ = io::stderr().write_all(format!("dsm: {failure}\n").as_bytes());
}

fn advance(from: u8, to: u8) -> bool {
    MEMBERSHIP.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

static MEMBERSHIP: AtomicU8 = AtomicU8::new(NEVER);

static NODE: OnceLock<Node> = OnceLock::new();
