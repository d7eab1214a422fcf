//! Started by dsmexec on each machine: receives the job, starts its rank and supervises it.

use std::process::ExitCode;

fn main() -> ExitCode {
    dsm_cli::wrap::run(std::env::args_os())
}
