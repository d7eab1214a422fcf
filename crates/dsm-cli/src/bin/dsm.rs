//! Tells what this machine can do for dsm.

use std::process::ExitCode;

fn main() -> ExitCode {
    dsm_cli::tool::run(std::env::args_os())
}
