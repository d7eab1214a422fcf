//! Values of Rust types in shared memory, which safe code cannot race on.
//!
//! What two ranks may touch at the same time is an atomic, or behind a lock; what is behind a lock is reached
//! through a guard; what is in a [`Box`] or a [`Vec`] belongs to whoever has that. A type says with [`Shareable`]
//! that its values mean the same on every rank.
//!
//! The types find their node by themselves: a process joins one job. They have no state of their own beside
//! eight bytes that give a lock its address, so a structure in shared memory may have as many as it likes, and
//! fresh zero bytes are idle locks and empty containers.
//!
//! A lock that is misused, by a thread that has it already or by a rank that has left the job, panics: no
//! program can go on from there. A panic in a thread that has a guard unlocks, as the end of its scope does,
//! and leaves the value as it is: there is no poisoning. A rank whose main thread panics ends, and the job with
//! it.
//!
//! References to named objects borrow the node, and so cannot be used once it is finalized. A [`Box`], a [`Vec`]
//! and a [`Ref`] can outlive it: dropping one then does nothing, and using one in a job of several ranks ends
//! the process with SIGSEGV.

mod anchor;
mod at_owner;
mod barrier;
mod boxed;
mod condvar;
mod element;
mod mutex;
mod named;
mod once;
mod parts;
mod rwlock;
mod semaphore;
mod slice;
mod vec;
mod view;

pub use at_owner::AtOwner;
pub use barrier::Barrier;
pub use boxed::Box;
pub use condvar::{Condvar, Wake};
pub use element::Element;
pub use mutex::{Mutex, MutexGuard};
pub use named::NamedError;
pub use once::{Once, OnceLock};
pub use parts::{Others, Parts};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::Semaphore;
pub use slice::Slice;
pub use vec::Vec;
pub use view::View;

use crate::{HeapError, Node, SyncError};
use anchor::Anchor;
use dsm_mem::shared::Custody;
use std::fmt::Display;
use std::sync::OnceLock as LocalOnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

#[cfg(doc)]
use crate::{Ref, Shareable};

/// The node of this process, and the right to decide who may use its memory.
#[derive(Debug)]
struct Current {
    node: Node,
    custody: Custody,
}

/// Makes a node that has joined its job the one that the types use. The node given does not leave the job when
/// it is dropped.
pub(crate) fn enter(twin: Node) {
    let custody = Custody::assume().expect("a process joins once");
    CURRENT.set(Current { node: twin, custody }).expect("a process joins once");
}

/// From now on nothing that is dropped is freed: the rank's pages are about to go.
pub(crate) fn leave() {
    LEFT.store(true, SeqCst);
}

fn has_left() -> bool {
    LEFT.load(SeqCst)
}

#[track_caller]
fn current() -> &'static Current {
    CURRENT
        .get()
        .expect("a process uses shared memory after it has joined a job: `dsm::Node::join`")
}

impl Current {
    /// A block of the heap for `len` values.
    fn allocate<T>(&self, len: usize) -> Result<usize, HeapError> {
        let bytes = size_of::<T>().checked_mul(len);
        let bytes = bytes.ok_or(HeapError::Exhausted { bytes: usize::MAX })?;
        self.node.allocate(bytes, align_of::<T>())
    }

    fn free(&self, address: usize) {
        match self.node.free(address) {
            Ok(()) | Err(HeapError::Left) => (),
            Err(error) => assert!(thread::panicking(), "blocks are freed by their owner: {error}"),
        }
    }
}

/// What a guard makes of the answer when it unlocks. The rank may have left the job meanwhile; then nobody
/// waits for the lock.
fn unlocked(result: Result<(), SyncError>, anchor: &Anchor) {
    match result {
        Ok(()) | Err(SyncError::Left) => (),
        // A wait that ended with a panic may have lost the lock.
        Err(error) => assert!(thread::panicking(), "guards have the lock at {anchor}: {error}"),
    }
}

/// The answer of an operation that fails only if it is misused.
#[track_caller]
fn expect<T>(result: Result<T, SyncError>, operation: &str, place: &impl Display) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("cannot {operation} at {place}: {error}"),
    }
}

static CURRENT: LocalOnceLock<Current> = LocalOnceLock::new();
static LEFT: AtomicBool = AtomicBool::new(false);
