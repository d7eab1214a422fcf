use dsm_core::{Rank, Violation};
use dsm_mem::FaultsError;
use dsm_net::connection::ConnectionError;
use dsm_net::record::RecordError;
use std::io;
use thiserror::Error;

/// Why a rank's driver cannot go on.
#[derive(Debug, Error)]
pub(crate) enum Fatal {
    #[error("{0}")]
    Protocol(Violation),
    #[error("rank {rank} broke the protocol: {source}")]
    Malformed { rank: Rank, source: ConnectionError },
    #[error(
        "rank {rank} broke the protocol: it sent content of page {page} that was not asked for"
    )]
    Unasked { rank: Rank, page: dsm_core::PageId },
    #[error("rank {rank} broke the protocol: {cause}")]
    Foreign { rank: Rank, cause: String },
    #[error("contact with rank {rank} lost: {cause}")]
    ContactLost { rank: Rank, cause: String },
    /// The same, after an attempt to connect again.
    #[error("contact with rank {rank} lost: {cause}")]
    Unresumed { rank: Rank, cause: String },
    #[error(
        "rank {rank} sent a record that does not authenticate: it was changed on the way, repeated, or follows one that is missing"
    )]
    Unauthentic { rank: Rank },
    #[error("the launcher is gone")]
    LauncherGone,
    #[error(transparent)]
    Faults(#[from] FaultsError),
    /// The same, for whoever does not know where the ranks are.
    #[error("{source} (rank {rank} is on {host})")]
    On { rank: Rank, host: String, source: Box<Self> },
    #[error("{operation} failed: {source}")]
    System { operation: &'static str, source: io::Error },
}

impl Fatal {
    /// The exit code of the rank; the table is in docs/running.md.
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Self::System { .. } => 70,
            Self::Faults(_) => 71,
            Self::ContactLost { .. } | Self::Unresumed { .. } | Self::LauncherGone => 75,
            Self::Protocol(_)
            | Self::Malformed { .. }
            | Self::Unauthentic { .. }
            | Self::Unasked { .. }
            | Self::Foreign { .. } => 76,
            Self::On { source, .. } => source.exit_code(),
        }
    }

    /// Adds the host of the rank it is about, of these in rank order.
    pub(crate) fn naming(self, hosts: &[String]) -> Self {
        let rank = match &self {
            Self::ContactLost { rank, .. }
            | Self::Unresumed { rank, .. }
            | Self::Unauthentic { rank, .. }
            | Self::Foreign { rank, .. }
            | Self::Malformed { rank, .. }
            | Self::Unasked { rank, .. } => *rank,
            Self::Protocol(Violation::Unexpected { from, .. }) => *from,
            _ => return self,
        };
        match hosts.get(usize::from(rank.0)) {
            Some(host) => Self::On { rank, host: host.clone(), source: Box::new(self) },
            None => self,
        }
    }

    /// What a failed connection means: a peer that cannot be reached, or one that broke the protocol.
    pub(crate) fn of_peer(rank: Rank, error: ConnectionError) -> Self {
        match error {
            ConnectionError::Socket { .. } => Self::ContactLost { rank, cause: error.to_string() },
            ConnectionError::Record(RecordError::Unauthentic) => Self::Unauthentic { rank },
            source => Self::Malformed { rank, source },
        }
    }
}
