//! The stage between dsmwrap and its program: dsmwrap executes itself, the stage prepares what only
//! the process itself can prepare, and becomes the program.
//!
//! How it went is told through a pipe of dsmwrap that the stage opens by its name under `/proc`, so
//! that the kernel closes the stage's end when, and only when, the program is executed:
//! [`READY`], then end of file; or [`READY`], then an error number.

use super::family;
use dsm_mem::inherited_fd;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// First argument of the stage. Then: dsmwrap's process id, the pipe's descriptor there, the descriptors
/// to become 3 and 4 or twice [`NONE`], the path to execute, argv\[0\] and the arguments.
pub(super) const FLAG: &str = "--stage";

/// The stage will execute the program next.
pub(super) const READY: u8 = b'R';

/// A command that starts the stage; `pipe` is the descriptor of the writing end in this process, and
/// `family` are those that the program of the PR204 family finds as 3 and 4.
pub(super) fn command(
    pipe: RawFd,
    family: Option<[RawFd; 2]>,
    path: &Path,
    name: &OsStr,
) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let pid = rustix::process::getpid().as_raw_nonzero();
    command.arg0("dsmwrap").arg(FLAG).arg(pid.to_string()).arg(pipe.to_string());
    let placed = family.unwrap_or([NONE; 2]);
    command.args(placed.map(|fd| fd.to_string())).arg(path).arg(name);
    command
}

/// Becomes the program; returns only if it cannot.
pub(super) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments;
    let (Some(parent), Some(pipe)) = (number(arguments.next()), number(arguments.next())) else {
        return ExitCode::from(64);
    };
    let (Some(launcher), Some(listener)) = (number(arguments.next()), number(arguments.next()))
    else {
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
    // Before anything else is opened, which could be given these numbers.
    let Ok(_placed) = place([launcher, listener]) else {
        return ExitCode::from(71);
    };
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

fn place(family: [RawFd; 2]) -> io::Result<Option<[OwnedFd; 2]>> {
    let [launcher, listener] = match family {
        [NONE, NONE] => return Ok(None),
        family => family.map(inherited_fd),
    };
    family::place(&launcher?, &listener?).map(Some)
}

fn number(argument: Option<OsString>) -> Option<i32> {
    argument?.to_str()?.parse().ok()
}

/// In place of a descriptor.
const NONE: RawFd = -1;
