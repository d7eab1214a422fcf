//! Starts one rank per line of a machine file, shows what they write, and ends them together.

use std::process::ExitCode;

fn main() -> ExitCode {
    dsm_cli::exec::run(std::env::args_os())
}
