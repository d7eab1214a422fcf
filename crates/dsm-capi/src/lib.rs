//! The C interface of dsm: what `include/dsm.h` declares, over the crate `dsm`.
//!
//! The header has the contracts. Here stands only what the border needs: pointers, statics, errno, the
//! error of each thread, and a net under every function so that no unwinding reaches C. One file has the
//! functions of one section of the header.
#![allow(unsafe_code, reason = "this is the C border")]

pub mod atomic;
pub mod barrier;
pub mod cond;
pub mod heap;
pub mod membership;
pub mod mutex;
pub mod region;
pub mod rwlock;
pub mod semaphore;
pub mod stats;

mod call;
mod deadline;
mod error;
mod node;

/// The program's `malloc` may be held up by a signal handler of the program that waits for a page, which this library
/// must bring without it.
#[global_allocator]
static ALLOCATOR: dsm::Allocator = dsm::Allocator;
