//! The one node of this process. C has no handle to pass, so it is a static.

use crate::error::Failure;
use dsm::{JoinError, Node};
use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Where this process stands. It moves down this list and never back.
enum Membership {
    Never,
    /// A thread is in `dsm_init`, which waits for the other ranks.
    Joining,
    Joined(Arc<Node>),
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
            exchange(Membership::Joined(Arc::new(node)), |_| true);
            IS_JOINED.store(true, Ordering::Release);
            Ok(place)
        }
        Err(error) => {
            exchange(Membership::Over, |_| true);
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
    IS_JOINED.store(false, Ordering::Release);
    let was = exchange(Membership::Over, |now| matches!(now, Membership::Joined(_)));
    // A thread that is ending has dropped its own already.
    let _ = OWN.try_with(|own| own.replace(None));
    match was {
        Some(Membership::Joined(node)) => Ok(node.leave()?),
        _ => Ok(()),
    }
}

/// What `ask` says of this process's node; `None` outside a job.
///
/// Each thread has a reference of its own: threads that lock different mutexes write no common word, and
/// one that waits keeps nobody from leaving the job.
pub(crate) fn with_node<T>(ask: impl FnOnce(&Node) -> T) -> Option<T> {
    if !IS_JOINED.load(Ordering::Acquire) {
        let _ = OWN.try_with(|own| own.try_borrow_mut().map(|mut own| own.take()));
        return None;
    }
    let mut ask = Some(ask);
    let mut told = None;
    let asked = OWN.try_with(|own| {
        if own.borrow().is_none() {
            own.replace(shared());
        }
        let own = own.borrow();
        told = own.as_deref().zip(ask.take()).map(|(node, ask)| ask(node));
    });
    if asked.is_err() {
        // The thread is ending, and its own reference is gone.
        return shared().as_deref().zip(ask).map(|(node, ask)| ask(node));
    }
    told
}

/// Says something on standard error, which may be closed; the caller learns of it all the same.
pub(crate) fn tell(failure: &Failure) {
    let _ = io::stderr().write_all(format!("dsm: {failure}\n").as_bytes());
}

fn shared() -> Option<Arc<Node>> {
    match &*MEMBERSHIP.read().unwrap_or_else(PoisonError::into_inner) {
        Membership::Joined(node) => Some(Arc::clone(node)),
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

/// Whether [`MEMBERSHIP`] is `Joined`, for those who need to know quickly.
static IS_JOINED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static OWN: RefCell<Option<Arc<Node>>> = const { RefCell::new(None) };
}
