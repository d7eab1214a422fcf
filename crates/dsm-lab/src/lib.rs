//! What tests of whole jobs stand on: hosts with sshds, jobs on them over a real ssh, and what the jobs said.
//!
//! For developers; not installed. Every helper panics, with all output there is, when something is not as it must be: a
//! test has no better use for an error.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "this is a part of tests")]

mod campaign;
mod conditions;
mod crew;
mod frame;
mod freezer;
mod host;
mod job;
mod keys;
mod lab;
mod network;
mod process;
mod products;
mod rng;
mod switch;
mod user;
mod wire;

pub use campaign::{Campaign, Kind, seeds};
pub use conditions::{Conditions, Corruption, RATE_QUEUE_BYTES, Resets};
pub use job::{Job, Running};
pub use lab::{Lab, cannot_run, has};
pub use network::Network;
pub use process::{Ended, Line, Process, Stream};
pub use user::User;
pub use wire::Counts;
