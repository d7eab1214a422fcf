//! One memory, many machines.
//!
//! The processes of a job (*ranks*) see the same virtual addresses and use them with plain loads and
//! stores. A page that is not here faults, the runtime fetches it, and the access goes on. Accesses of
//! different ranks are sequentially consistent.
//!
//! ```no_run
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! let node = dsm::Node::join()?;
//! let counter = &node.words::<AtomicU64>(0, 1)?[0];
//! counter.fetch_add(1, Ordering::SeqCst);
//! node.barrier()?;
//! assert_eq!(counter.load(Ordering::SeqCst), u64::from(node.nodes()));
//! node.finalize()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! Started by `dsmexec`, the program is a rank of its job; started by hand, it is a job of one rank.
//!
//! # Values of Rust types
//!
//! [`Node::words`] gives bare words. The types of this crate hold values in shared memory that safe code cannot race
//! on: what two ranks may touch at once is an atomic or behind a lock, and what is in a [`Box`] belongs to whoever
//! has the box.
//!
//! ```no_run
//! use dsm::{Box, Condvar, Mutex, Shareable, Vec};
//!
//! #[derive(Shareable)]
//! struct Queue {
//!     jobs: Mutex<Vec<Option<Box<Job>>>>,
//!     filled: Condvar,
//! }
//!
//! #[derive(Shareable)]
//! struct Job {
//!     number: u64,
//!     cells: [f64; 1000],
//! }
//!
//! let node = dsm::Node::join()?;
//! let queue = node.named::<Queue>("queue")?; // zero bytes: an empty vector, idle locks
//! if node.rank() == 0 {
//!     queue.jobs.lock().push(Some(Box::new(Job { number: 1, cells: [0.0; 1000] })));
//!     queue.filled.notify_one();
//! } else if node.rank() == 1 {
//!     let mut jobs = queue.filled.wait_while(queue.jobs.lock(), |jobs| jobs.is_empty());
//!     let job = jobs.pop().flatten(); // this rank's now: it is freed here
//! }
//! # Ok::<(), std::boxed::Box<dyn std::error::Error>>(())
//! ```
//!
//! - To meet: [`Node::named`], [`Node::named_with`] for what is made once, [`Node::named_array`];
//!   [`Node::named_slice`] for numbers that all load and store, [`Node::named_parts`] for numbers of which each rank
//!   has a part as `&mut [T]`.
//! - To lock: [`Mutex`], [`RwLock`], [`Condvar`], [`Semaphore`], [`Barrier`], [`Once`], [`OnceLock`], which may be
//!   anywhere in shared memory, in any number. Atomics are those of `std`; [`AtOwner`] has operations for counters
//!   that all ranks use.
//! - To allocate: [`Box`], [`Vec`], and [`Ref`] for what stays until the job ends. Any rank frees what any rank
//!   allocated.
//! - A type of a program's own is [`Shareable`] by `#[derive(Shareable)]`, which checks that its fields mean the same
//!   on every rank: no references, no `String`, no `std` collections and locks. Zero bytes must be a value, so an
//!   enum has a variant that is 0, and boxes are in an `Option`.
//!
//! A lock that a thread has already, or whose rank has left the job, panics. There is no poisoning: a guard that is
//! dropped by a panic unlocks, and leaves the value as it is.
//!
//! A program whose signal handlers touch shared memory may be interrupted in the middle of an allocation, and then the
//! thread that brings the page must not wait for the same allocator. [`Allocator`] is one that never waits; libdsm has
//! it, and a program in Rust makes it its `#[global_allocator]` if it has such handlers.
//!
//! The methods of [`Node`] that take addresses as `usize` are what all this is made of, and the C interface. They know
//! nothing of types: used on the memory of a typed value, they break what its type promises.
#![forbid(unsafe_code)]

mod allocation;
mod calls;
mod counters;
mod descriptors;
mod driver;
mod fatal;
mod heap;
mod launch;
mod locks;
mod node;
mod parker;
mod pr204;
mod room;
mod service;
mod settings;
mod supervisor;
mod sync;
mod typed;

pub use calls::CallError;
pub use counters::Stats;
pub use dsm_core::Access;
pub use dsm_derive::{Shareable, ZeroIsNone};
pub use dsm_mem::shared::{Ref, Shareable, ZeroIsNone};
pub use dsm_mem::{
    Allocator, FaultsError, Finding, RegionError, Word, WordsError, is_forked_child, probe,
};
pub use dsm_net::rendezvous::RendezvousError;
pub use heap::HeapError;
pub use launch::{JobError, StreamError};
pub use node::{JoinError, Node};
pub use pr204::ForeignError;
pub use settings::{PeerProfile, SETTINGS, SettingError, check_setting};
pub use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize,
};
pub use sync::{BarrierRole, SyncError};
pub use typed::{
    AtOwner, Barrier, Box, Condvar, Element, Mutex, MutexGuard, NamedError, Once, OnceLock, Others,
    Parts, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, Slice, Vec, View, Wake,
};

// The derive macros name this crate by its name.
extern crate self as dsm;
