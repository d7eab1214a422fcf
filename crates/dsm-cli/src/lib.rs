//! The programs `dsmexec`, `dsmwrap` and `dsm`; the files in `src/bin` only call what is here.
//!
//! A job is started, watched and ended by frames on pipes; only the ranks that `dsm` starts of itself, to try or to measure,
//! touch shared memory.
#![forbid(unsafe_code)]

pub mod exec;
pub mod tool;
pub mod wrap;

mod bench;
mod exit_code;
mod nonblocking;
mod signal_name;
mod words;

pub use exec::hosts_of_machine_file;

/// What dsmexec itself needs of the limit on open descriptors, and a process being started.
const DESCRIPTORS: u64 = 32;
/// What it needs for each rank: three pipes, the process and a way to be woken.
const DESCRIPTORS_PER_RANK: u64 = 5;
/// What it needs besides for a rank with which it speaks by TCP: a listener and a few connections, most of which
/// may be strangers'.
const DESCRIPTORS_PER_GUEST: u64 = 9;
