//! Whole jobs over a real sshd: on this machine, and on three hosts in network namespaces. `make` builds the C programs
//! they start.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are tests"
)]

mod ends;
mod harness_test;
mod memory;
mod neighbours;
mod over_ssh;
mod pr204;
mod resumption;
mod secrets;
mod strangers;
mod stubborn;
mod valgrind;
mod weather;

/// The launcher under test is the one cargo built with these tests.
const TOOLS: &[&str] = &[env!("CARGO_BIN_EXE_dsmexec"), env!("CARGO_BIN_EXE_dsmwrap")];
