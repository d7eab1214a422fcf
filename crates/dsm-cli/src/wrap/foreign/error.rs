use crate::exit_code::ExitCode;
use crate::words;
use dsm_net::launch::{StartFailure, StartStep};
use dsm_net::pr204::{FormatError, WrapProfile};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why a launcher's program was not started.
#[derive(Debug, Error)]
pub(super) enum ForeignError {
    #[error(
        "started by dsmexec, never by hand: expected job=ID rank=N, or, of a foreign dsmexec, HOST PORT TOKEN1 TOKEN2 PROGRAM, IPV4 PORT PROGRAM or HOST PORT RANK PROGRAM"
    )]
    ByHand,
    #[error("DSM_WRAP_PROFILE is {0:?}, expected ref, seed or rank")]
    Profile(OsString),
    #[error("profile {}: expected {}", .0.name(), form(*.0))]
    TooFew(WrapProfile),
    #[error("cannot {verb} {subject}: {cause}", verb = verb(.0), subject = .0.subject, cause = .0.cause)]
    Program(StartFailure),
    #[error("cannot find an IPv4 address of the launcher's host {host}: {cause}")]
    Host { host: String, cause: String },
    #[error("cannot connect to the launcher at {host}:{port}: {cause}")]
    Connect { host: String, port: u16, cause: String },
    #[error("lost the launcher at {host}:{port} before it had said who the ranks are: {cause}")]
    Lost { host: String, port: u16, cause: String },
    #[error("the launcher at {host}:{port} has not said who the ranks are within {} s", .patience.as_secs())]
    Late { host: String, port: u16, patience: Duration },
    #[error("cannot understand the launcher at {host}:{port}: {source}")]
    Format { host: String, port: u16, source: FormatError },
    #[error(
        "cannot understand the launcher at {host}:{port}: it has rank {rank} listen at port {said}, and this rank listens at port {port_here}"
    )]
    Elsewhere { host: String, port: u16, rank: u16, said: u16, port_here: u16 },
    #[error(
        "a socket of this machine does not hold a launch block of {bytes} bytes; raise net.core.wmem_max"
    )]
    Room { bytes: usize },
    #[error("cannot execute {path}: {cause}", path = path.display(), cause = words::of_error(source))]
    Execute { path: PathBuf, source: io::Error },
    #[error("cannot {what}: {cause}", cause = words::of_error(source))]
    Kernel { what: &'static str, source: io::Error },
}

impl ForeignError {
    /// Makes an error of what the kernel said when `what` was tried.
    pub(super) fn kernel(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Kernel { what, source }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::ByHand | Self::TooFew(_) => ExitCode::USAGE,
            Self::Profile(_) => ExitCode::CONFIGURATION,
            Self::Program(failure) => ExitCode::of_errno(failure.errno, ExitCode::CONFIGURATION),
            Self::Execute { source, .. } => {
                ExitCode::of_errno(source.raw_os_error(), ExitCode::CONFIGURATION)
            }
            Self::Host { .. } => ExitCode::UNKNOWN_HOST,
            Self::Connect { .. } => ExitCode::UNREACHABLE,
            Self::Lost { .. } | Self::Late { .. } => ExitCode::CONTACT_LOST,
            Self::Format { .. } | Self::Elsewhere { .. } => ExitCode::PROTOCOL,
            Self::Room { .. } | Self::Kernel { .. } => ExitCode::RESOURCES,
        }
    }
}

fn form(profile: WrapProfile) -> &'static str {
    match profile {
        WrapProfile::Ref => "HOST PORT TOKEN1 TOKEN2 PROGRAM ARGS...",
        WrapProfile::Seed => "IPV4 PORT PROGRAM ARGS...",
        WrapProfile::Rank => "HOST PORT RANK PROGRAM ARGS...",
    }
}

fn verb(failure: &StartFailure) -> &'static str {
    match (failure.step, ExitCode::of_errno(failure.errno, ExitCode::CONFIGURATION)) {
        (StartStep::Directory, _) => "enter directory",
        (StartStep::Find, ExitCode::CONFIGURATION) => "find program",
        _ => "execute",
    }
}
