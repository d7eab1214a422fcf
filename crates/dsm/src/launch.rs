//! How a process learns which job it is in: from a launcher of ours, or from one of the PR204 family.
//!
//! It knows the environment and descriptors a process was started with, and nothing of pages.

mod error;

pub use error::JobError;

use crate::settings::PeerProfile;
use crate::supervisor::Supervisor;
use dsm_core::Rank;
use dsm_net::launch::{JobKey, Node, Status};
use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// What a process was told of its job.
///
/// Invariant: `rank` is one of `nodes`.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) told: Told,
    pub(crate) rank: Rank,
    /// All ranks, in rank order.
    pub(crate) nodes: Vec<Node>,
    /// This rank's own socket, which listens.
    pub(crate) listener: TcpListener,
    /// What keeps strangers out; `None` if the launcher gave none.
    pub(crate) key: Option<JobKey>,
    /// Whom to tell what becomes of this rank, if anybody wants to know.
    pub(crate) supervisor: Option<Arc<Supervisor>>,
}

/// By whom a process was told its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// By a dsmwrap of ours, which goes on to watch it.
    Native,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
        })
    }
}

impl Found {
    /// What the launcher left for this process; `None` if no launcher started it.
    ///
    /// # Errors
    /// If there is something that is not the description of a job.
    pub(crate) fn find() -> Result<Option<Self>, JobError> {
        Supervisor::find()
    }

    /// Tells whoever wants to know what becomes of this rank.
    pub(crate) fn tell(&self, status: &Status) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(status);
        }
    }

    /// Says once, on rank 0, that nothing protects what the ranks say to each other.
    pub(crate) fn announce(&self, peer: PeerProfile) {
        if self.key.is_some() || self.rank != Rank(0) || self.nodes.len() == 1 {
            return;
        }
        let (told, nodes, peer) = (self.told, self.nodes.len(), peer.as_str());
        let line = format!(
            "dsm: launch profile {told}, peer profile {peer}: the connections between the {nodes} ranks \
             are plaintext and unauthenticated\n"
        );
        // Standard error may be closed; who closed it wants no word.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    /// Where the ranks listen, in rank order.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }
}
