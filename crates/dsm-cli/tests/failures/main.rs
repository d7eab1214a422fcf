#![doc = include_str!("README.md")]
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what a test takes for granted fails the test")]
#![allow(clippy::print_stdout, reason = "the figures are part of the result")]

mod busy_process;
mod bystander;
mod case;
mod connection_reset;
mod host_lost;
mod index;
mod launcher_dies;
mod output_lost;
mod rank_dies;
mod rank_stopped;
mod ssh_fails;
mod stolen_buffers;
mod too_little;

/// The launcher under test is the one cargo built with these tests.
const TOOLS: &[&str] = &[env!("CARGO_BIN_EXE_dsmexec"), env!("CARGO_BIN_EXE_dsmwrap")];
