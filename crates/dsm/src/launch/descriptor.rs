//! Descriptors that a launcher has handed over: what they must be, and what they are.

use super::JobError;
use dsm_mem::{inherited_fd, with_inherited_fd};
use rustix::io::{Errno, FdFlags, fcntl_getfd};
use rustix::net::sockopt::socket_type;
use rustix::net::{SocketAddrAny, SocketType, getpeername, getsockname};
use std::env;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

/// What a descriptor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The launcher speaks there.
    Launcher,
    /// Other ranks connect there, once it listens.
    Listener,
}

impl Purpose {
    fn expected(self) -> &'static str {
        match self {
            Self::Launcher => "a connected stream socket",
            Self::Listener => "a bound TCP/IPv4 socket",
        }
    }

    fn is_met_by(self, descriptor: BorrowedFd<'_>) -> bool {
        if socket_type(descriptor) != Ok(SocketType::STREAM) {
            return false;
        }
        match self {
            Self::Launcher => getpeername(descriptor).is_ok(),
            Self::Listener => {
                let is_connected = getpeername(descriptor) != Err(Errno::NOTCONN);
                !is_connected && getsockname(descriptor).is_ok_and(is_bound)
            }
        }
    }
}

/// The number of a descriptor, if the variable is there.
pub(crate) fn number_of(variable: &'static str) -> Result<Option<i32>, JobError> {
    let Some(value) = env::var_os(variable) else { return Ok(None) };
    let value = value.to_string_lossy().into_owned();
    let expected = "the number of an open descriptor";
    let number = value.parse().map_err(|_| JobError::Variable { variable, value, expected });
    number.map(Some)
}

/// Takes over the descriptor of this number, whatever it is.
pub(crate) fn take_over(variable: &'static str, number: i32) -> Result<OwnedFd, JobError> {
    inherited_fd(number).map_err(|source| JobError::Descriptor { variable, number, source })
}

/// Takes over the descriptor of this number if it is what it is said to be.
pub(super) fn take_over_for(
    purpose: Purpose,
    variable: &'static str,
    number: i32,
) -> Result<OwnedFd, JobError> {
    let met = with_inherited_fd(number, |descriptor| purpose.is_met_by(descriptor));
    match met.map_err(|source| JobError::Descriptor { variable, number, source })? {
        true => take_over(variable, number),
        false => Err(JobError::NotSuch { variable, number, expected: purpose.expected() }),
    }
}

/// Whether nobody needs to say what the descriptor is for: it is of this kind, and the process was
/// started with it. What the program has opened itself is usually closed by exec.
pub(super) fn is_evidently_for(purpose: Purpose, number: i32) -> bool {
    let look = |descriptor: BorrowedFd<'_>| {
        let survives_exec = fcntl_getfd(descriptor).is_ok_and(|it| !it.contains(FdFlags::CLOEXEC));
        survives_exec && purpose.is_met_by(descriptor)
    };
    with_inherited_fd(number, look).unwrap_or(false)
}

fn is_bound(address: SocketAddrAny) -> bool {
    matches!(SocketAddr::try_from(address), Ok(SocketAddr::V4(address)) if address.port() != 0)
}
