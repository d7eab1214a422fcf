//! The stage between dsmwrap and its program: dsmwrap executes itself, the stage prepares what only
//! the process itself can prepare, and becomes the program.
//!
//! How it went is told through a pipe of dsmwrap that the stage opens by its name under `/proc`, so
//! that the kernel closes the stage's end when, and only when, the program is executed:
//! [`READY`], then end of file; or [`READY`], then an error number.

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// First argument of the stage. Then: dsmwrap's process id, the pipe's descriptor there, the path to
/// execute, argv\[0\] and the arguments.
pub(super) const FLAG: &str = "--stage";

/// The stage will execute the program next.
pub(super) const READY: u8 = b'R';

/// A command that starts the stage; `pipe` is the descriptor of the writing end in this process.
pub(super) fn command(pipe: i32, path: &Path, name: &OsStr) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let pid = rustix::process::getpid().as_raw_nonzero();
    command.arg0("dsmwrap").arg(FLAG).arg(pid.to_string()).arg(pipe.to_string());
    command.arg(path).arg(name);
    command
}

/// Becomes the program; returns only if it cannot.
pub(super) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments;
    let (Some(parent), Some(pipe)) = (number(arguments.next()), number(arguments.next())) else {
        return ExitCode::from(64);
    };
    let (Some(path), Some(name)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(64);
    };
    // The signal is sent when the parent dies from here on; whether it died before must be asked after.
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err()
        || getppid() != Pid::from_raw(parent)
    {
        return ExitCode::from(70);
    }
    let Ok(mut pipe) = OpenOptions::new().write(true).open(format!("/proc/{parent}/fd/{pipe}"))
    else {
        return ExitCode::from(70);
    };
    if pipe.write_all(&[READY]).is_err() {
        return ExitCode::from(70);
    }
    let error = Command::new(path).arg0(name).args(arguments).exec();
    let errno = error.raw_os_error().unwrap_or_default();
    // If dsmwrap is gone, so is this process.
    let _ = pipe.write_all(&errno.to_le_bytes());
    ExitCode::from(127)
}

fn number(argument: Option<OsString>) -> Option<i32> {
    argument?.to_str()?.parse().ok()
}
