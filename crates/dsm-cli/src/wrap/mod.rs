//! `dsmwrap`: the parent of one rank on the rank's machine. It obeys frames on its standard input,
//! reports on its standard output, and lets nothing live on when dsmexec is gone.

mod elf;
mod find;
mod input;
mod launch_pipe;
mod program;
mod rank_socket;
mod stage;
mod supervisor;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Runs dsmwrap with these arguments, without argv\[0\].
///
/// They are `job=ID rank=N`, there for people who look at the process list, or those of the stage
/// between dsmwrap and its program.
#[must_use]
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let first = arguments.next();
    if first.as_deref() == Some(stage::FLAG.as_ref()) {
        return stage::run(arguments);
    }
    if first.as_deref() == Some("--version".as_ref()) {
        return print(&mut io::stdout(), concat!("dsmwrap ", env!("CARGO_PKG_VERSION")), 0);
    }
    let is_option = first.is_some_and(|word| word.as_encoded_bytes().first() == Some(&b'-'));
    if is_option || io::stdin().is_terminal() {
        return print(&mut io::stderr(), "dsmwrap: started by dsmexec, never by hand", 64);
    }
    match supervisor::Supervisor::new().and_then(supervisor::Supervisor::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => print(&mut io::stderr(), &format!("dsmwrap: {error}"), 70),
    }
}

fn print(to: &mut impl Write, line: &str, code: u8) -> ExitCode {
    // Nobody is left to be told that nobody listens.
    let _ = writeln!(to, "{line}");
    ExitCode::from(code)
}
