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
#![forbid(unsafe_code)]

mod allocation;
mod calls;
mod counters;
mod driver;
mod fatal;
mod heap;
mod locks;
mod node;
mod parker;
mod service;
mod settings;
mod supervisor;
mod sync;

pub use calls::CallError;
pub use counters::Stats;
pub use dsm_core::Access;
pub use dsm_derive::{Shareable, ZeroIsNone};
pub use dsm_mem::shared::{Ref, Shareable, ZeroIsNone};
pub use dsm_mem::{FaultsError, Finding, RegionError, Word, WordsError, probe};
pub use dsm_net::rendezvous::RendezvousError;
pub use heap::HeapError;
pub use node::{JoinError, Node};
pub use settings::{SETTINGS, SettingError, check_setting};
pub use supervisor::JobError;
pub use sync::{BarrierRole, SyncError};
