//! `dsmwrap`: the parent of one rank on the rank's machine. It obeys frames on its standard input,
//! reports on its standard output, and lets nothing live on when dsmexec is gone. Started by a launcher
//! of the PR204 family it speaks that launcher's words instead, and becomes the program.

mod block_socket;
mod elf;
mod family;
mod find;
mod foreign;
mod input;
mod launch_pipe;
mod memory;
mod program;
mod rank_socket;
mod stage;
mod supervisor;
mod told;

use crate::exit_code::ExitCode;
pub(crate) use input::{Input, Taken};
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process;

/// Runs dsmwrap with these arguments, argv\[0\] included.
///
/// They are `job=ID rank=N`, there for people who look at the process list, or those of the stage between
/// dsmwrap and its program, or what a foreign dsmexec of the PR204 family gives its own dsmwrap.
#[must_use]
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> process::ExitCode {
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    let first = arguments.first().map(|first| first.as_encoded_bytes()).unwrap_or_default();
    if first == stage::FLAG.as_bytes() {
        return stage::run(arguments.into_iter().skip(1));
    }
    if first == b"--version" {
        let version = concat!("dsmwrap ", env!("CARGO_PKG_VERSION"));
        return print(&mut io::stdout(), version, ExitCode::SUCCESS);
    }
    if !first.starts_with(b"job=") {
        return foreign::run(&name, &arguments);
    }
    if io::stdin().is_terminal() {
        let what =
            "dsmwrap: started by dsmexec, never by hand: expected its orders on standard input";
        return print(&mut io::stderr(), what, ExitCode::USAGE);
    }
    match supervisor::Supervisor::new().and_then(supervisor::Supervisor::run) {
        Ok(()) => process::ExitCode::SUCCESS,
        Err(error) => print(&mut io::stderr(), &format!("dsmwrap: {error}"), ExitCode::INTERNAL),
    }
}

fn print(to: &mut impl Write, line: &str, code: ExitCode) -> process::ExitCode {
    // Nobody is left to be told that nobody listens.
    let _ = writeln!(to, "{line}");
    code.into()
}
