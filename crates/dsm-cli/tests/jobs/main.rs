//! dsmexec and dsmwrap as real processes on this machine. What needs an sshd is in `tests/lab`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what a test takes for granted fails the test")]
#![allow(clippy::print_stdout, reason = "the figures are part of the result")]

mod arguments;
mod doctor;
mod ends;
mod flood;
mod harness;
mod input;
mod many_ranks;
mod odd_machines;
mod other_shell;
mod output;
mod placement;
mod pr204;
mod pr204_launchers;
mod pr204_wrappers;
mod process_life;
mod programs;
mod refusals;
mod relay;
mod report;
mod secrets;
mod stats;
mod strangers;
mod waits;
mod wrapper;
