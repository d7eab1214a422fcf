//! The programs `dsmexec`, `dsmwrap` and `dsm`; the files in `src/bin` only call what is here.
//!
//! Nothing here touches shared memory: a job is started, watched and ended by frames on pipes.
#![forbid(unsafe_code)]

pub mod exec;
pub mod wrap;

mod exit_code;
mod nonblocking;
mod signal_name;
mod words;
