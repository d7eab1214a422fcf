use crate::handshake::HandshakeError;
use dsm_core::Rank;
use dsm_core::wire::HelloError;
use std::io;
use std::net::SocketAddr;
use thiserror::Error;

/// Why the ranks did not meet.
#[derive(Debug, Error)]
pub enum RendezvousError {
    /// A lower rank cannot be reached.
    #[error("cannot connect to rank {rank} at {address}: {source}")]
    Connect {
        /// The lower rank.
        rank: Rank,
        /// Where it should listen.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A connection broke before the peer's hello was read.
    #[error("contact with rank {rank} at {address} lost during the handshake: {source}")]
    Lost {
        /// The peer.
        rank: Rank,
        /// Where it listens, or called from.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Who answers for a peer does not know their key, or somebody is in between.
    #[error("cannot trust rank {rank} at {address}: {source}")]
    Unauthentic {
        /// The lower rank.
        rank: Rank,
        /// Where it listens.
        address: SocketAddr,
        /// What is wrong.
        source: HandshakeError,
    },
    /// A peer is set up differently.
    #[error("cannot join rank {rank}: {source}")]
    Refused {
        /// The peer.
        rank: Rank,
        /// What differs.
        source: HelloError,
    },
    /// The time is up.
    #[error("rank {missing} did not call dsm_init within {waited_s} s")]
    Missing {
        /// The lowest rank that is missing.
        missing: Rank,
        /// How long it was waited for.
        waited_s: u64,
    },
    /// The launcher has gone or ended the job.
    #[error("the launcher ended the job before all ranks called dsm_init")]
    Ended,
    /// Waiting or accepting failed.
    #[error("{operation} failed while the ranks met: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

pub(super) fn system(operation: &'static str) -> impl FnOnce(io::Error) -> RendezvousError {
    move |source| RendezvousError::System { operation, source }
}
