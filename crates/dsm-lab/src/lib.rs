//! What tests of whole jobs stand on: hosts with sshds, jobs on them over a real ssh, and what the jobs said.
//!
//! For developers; not installed. Every helper panics, with all output there is, when something is not as it must be: a
//! test has no better use for an error.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "this is a part of tests")]

mod host;
mod job;
mod keys;
mod lab;
mod network;
mod process;
mod products;
mod user;

pub use job::{Job, Running};
pub use lab::{Lab, cannot_run, has};
pub use process::{Ended, Line, Process, Stream};
pub use user::User;
