//! dsmwrap under a launcher of another member of the PR204 family: it tells that launcher where its rank
//! listens, learns where all others do, and becomes the program, which finds what it learnt on descriptor 3.

mod dialogue;
mod error;
mod invitation;

use super::block_socket::BlockSocket;
use super::family;
use super::find::Surroundings;
use crate::exit_code::ExitCode;
use dialogue::{Dialogue, Learnt};
use dsm_net::launch::{JOB_FD, LISTEN_FD};
use dsm_net::pr204::{ETE7, WrapProfile};
use error::ForeignError;
use invitation::Invitation;
use rustix::io::{FdFlags, fcntl_setfd};
use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command};

/// The variable that says in whose words the launcher speaks, where the arguments alone do not.
const PROFILE: &str = "DSM_WRAP_PROFILE";

/// Becomes the program that a launcher of the family wants; returns only if that is not to be.
/// `name` is argv\[0\].
pub(super) fn run(name: &OsString, arguments: &[OsString]) -> process::ExitCode {
    let profile = env::var_os(PROFILE).filter(|value| !value.is_empty());
    let Err(error) = Invitation::parse(profile.as_deref(), name, arguments)
        .and_then(|invitation| accept(&invitation));
    super::print(&mut io::stderr(), &format!("dsmwrap: {error}"), error.exit_code())
}

fn accept(invitation: &Invitation) -> Result<Infallible, ForeignError> {
    let directory =
        env::current_dir().map_err(ForeignError::kernel("find the working directory"))?;
    let around = Surroundings::new(directory.as_os_str().as_bytes(), &[]);
    // Before the launcher is told of a rank that will not be.
    let path = around.find(invitation.program.as_bytes()).map_err(ForeignError::Program)?;
    let dialogue = Dialogue::open(invitation)?;
    let warning = format!(
        "dsmwrap: profile {}: the connection to {}:{} is plaintext and unauthenticated",
        invitation.profile.name(),
        invitation.host,
        invitation.port
    );
    super::print(&mut io::stderr(), &warning, ExitCode::SUCCESS);
    let learnt = dialogue.run()?;
    let [theirs, listener, launcher] = put_aside(learnt)?;
    let descriptors = ForeignError::kernel("pass on descriptors");
    let _placed = family::place(&theirs, &listener).map_err(descriptors)?;
    if invitation.profile != WrapProfile::Rank {
        // Other wrappers hand this very connection to the program: while it is open, the rank lives.
        let kept = fcntl_setfd(&launcher, FdFlags::empty());
        kept.map_err(|errno| ForeignError::kernel("pass on descriptors")(errno.into()))?;
    }
    let error = command(invitation, &around, &path).exec();
    Err(ForeignError::Execute { path, source: error })
}

/// The socket with the block, the listener and the connection to the launcher, out of the way of 3 and 4;
/// nothing else that was opened is left.
fn put_aside(learnt: Learnt) -> Result<[OwnedFd; 3], ForeignError> {
    let Learnt { launcher, listener, block } = learnt;
    let bytes = block.encode().len();
    let (socket, theirs) =
        BlockSocket::new(&block).map_err(ForeignError::kernel("make a socket"))?;
    if !socket.is_complete() {
        return Err(ForeignError::Room { bytes });
    }
    let aside =
        || Ok([family::aside(&theirs)?, family::aside(&listener)?, family::aside(&launcher)?]);
    aside().map_err(ForeignError::kernel("pass on descriptors"))
}

fn command(invitation: &Invitation, around: &Surroundings, path: &Path) -> Command {
    let mut command = Command::new(path);
    for name in [JOB_FD, LISTEN_FD].iter().chain(&ETE7) {
        // Of a job that the launcher itself may be a part of.
        command.env_remove(name);
    }
    command
        .arg0(&invitation.program)
        .args(&invitation.args)
        .envs(family::variables())
        .envs(around.path().map(|search| ("PATH", search)));
    command
}
