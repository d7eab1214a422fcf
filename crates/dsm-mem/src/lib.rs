//! The shared region of one rank and its faults.
//!
//! A [`Region`] is one memory mapped twice: the *application view*, at the address that all ranks
//! agree on, and the *service view*, through which the driver thread reads and fills pages. A rank alone
//! in its job has the application view only.
//! [`Faults`] stops the threads that touch a page of the application view without the access they
//! need, tells the driver, and opens pages for them. Two mechanisms do that, with the same contract:
//! userfaultfd, and mprotect with a SIGSEGV handler.
//!
//! This crate knows nothing of other ranks, of messages or of the protocol.
#![allow(unsafe_code, reason = "mappings, fault handling and signal handlers need it")]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(not(target_os = "linux"))]
compile_error!("dsm-mem needs Linux");
#[cfg(not(target_pointer_width = "64"))]
compile_error!("dsm-mem needs 64-bit addresses");

mod acknowledged;
mod allocator;
mod faults;
mod fence;
mod fork;
mod handler;
mod hidden;
mod inquiry;
mod line;
mod mapping;
mod operation;
mod probe;
mod process;
mod region;
mod rights;
mod runs;
mod scheduling;
mod sentry;
pub mod shared;
mod signals;
mod sigsegv;
mod spare_stack;
mod stopped;
mod uffd;
mod userfault;
mod words;

pub use acknowledged::bytes_acknowledged;
pub use allocator::Allocator;
pub use faults::{Choice, Fault, Faults, FaultsError, ThreadId, UnknownChoice};
pub use fork::is_forked_child;
pub use hidden::Hidden;
pub use inquiry::inquiries;
pub use operation::Operation;
pub use probe::{Finding, probe};
pub use process::{end_process, inherited_fd, with_inherited_fd};
pub use region::{Layout, Region, RegionError};
pub use signals::{Blocked, block_signals, unblock_signals};
pub use stopped::{ServeStopped, StoppedThread};
pub use words::{Word, WordsError};
