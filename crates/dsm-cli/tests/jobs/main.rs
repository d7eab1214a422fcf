//! dsmexec and dsmwrap as real processes on this machine. What needs an sshd is in `tests/lab`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what a test takes for granted fails the test")]

mod arguments;
mod doctor;
mod ends;
mod harness;
mod input;
mod other_shell;
mod output;
mod refusals;
mod wrapper;
