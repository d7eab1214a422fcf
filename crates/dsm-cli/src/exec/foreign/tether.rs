//! A process that ends with dsmexec: what a foreign wrapper on this machine is started through, since
//! nobody else would end its program if dsmexec were killed.
//!
//! dsmexec executes itself, asks the kernel to be killed with its parent, and becomes the wrapper.

use crate::exit_code::ExitCode;
use crate::words;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command};

/// First argument. Then: dsmexec's process id, the path to execute, argv\[0\] and the arguments.
pub(crate) const FLAG: &str = "--tether";

/// A command that executes `path` with these words, argv\[0\] included. The thread that starts it must
/// live as long as the job: its end is what the kernel takes for the parent's.
pub(super) fn command(path: &Path, words: &[OsString]) -> Command {
    let pid = rustix::process::getpid().as_raw_nonzero();
    let mut command = Command::new("/proc/self/exe");
    command.arg0("dsmexec").arg(FLAG).arg(pid.to_string()).arg(path).args(words);
    command
}

/// Becomes the wrapper; returns only if it cannot.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> process::ExitCode {
    let parent = arguments.next().and_then(|word| word.to_str()?.parse().ok());
    let (Some(parent), Some(path), Some(name)) = (parent, arguments.next(), arguments.next())
    else {
        return ExitCode::USAGE.into();
    };
    // The signal is sent when the parent dies from here on; whether it died before must be asked after.
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err()
        || getppid() != Pid::from_raw(parent)
    {
        return ExitCode::INTERNAL.into();
    }
    let error = Command::new(&path).arg0(name).args(arguments).exec();
    tell(&path, &error);
    // As a shell has it.
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => process::ExitCode::from(127),
        _ => process::ExitCode::from(126),
    }
}

fn tell(path: &OsStr, error: &io::Error) {
    let line = format!("dsmexec: cannot execute {}: {}\n", path.display(), words::of_error(error));
    // Nobody is left to be told that nobody listens.
    let _ = io::stderr().write_all(line.as_bytes());
}
