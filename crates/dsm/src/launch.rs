//! How a process learns which job it is in: from a launcher of ours, or from one of the PR204 family.
//!
//! It knows the environment and descriptors a process was started with, and nothing of pages.

mod descriptor;
mod error;
mod ete7;
mod pr204;
mod stream;

pub(crate) use descriptor::{number_of, take_over};
pub use error::{JobError, StreamError};

use crate::settings::PeerProfile;
use crate::supervisor::Supervisor;
use dsm_core::Rank;
use dsm_net::launch::{JobId, JobKey, Node, Status};
use dsm_net::pr204::{LaunchBlock, Record};
use dsm_net::rendezvous::Refusals;
use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use stream::Deadline;

/// What a process was told of its job.
///
/// Invariant: `rank` is one of `nodes`.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) told: Told,
    /// Which job; 0 if the launcher does not number its jobs.
    pub(crate) job: JobId,
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
    /// By a launch block on a descriptor.
    Pr204,
    /// By a launcher that listens.
    Ete7,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Pr204 => "pr204",
            Self::Ete7 => "ete7",
        })
    }
}

impl Found {
    /// What the launcher left for this process; `None` if no launcher started it. Our own launcher comes
    /// first, then what the environment names, and descriptors that nothing names last.
    ///
    /// # Errors
    /// If there is something that is not the description of a job, or does not come in time.
    pub(crate) fn find(patience: Duration) -> Result<Option<Self>, JobError> {
        let deadline = Deadline::after(patience);
        if let Some(mut found) = Supervisor::find()? {
            pr204::close();
            // Ranks with a key are all of this family, and know where each of them listens.
            if found.key.is_none() && found.nodes.len() > 1 {
                ete7::attend(&mut found, deadline)?;
            }
            return Ok(Some(found));
        }
        for find in [pr204::find, ete7::find, pr204::find_bare] {
            if let Some(found) = find(deadline)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What a launcher of the PR204 family has told. It gives no key and watches nobody.
    fn told_by_family(
        told: Told,
        listener: TcpListener,
        block: LaunchBlock,
    ) -> Result<Self, JobError> {
        let own = listener.local_addr().map_err(JobError::Listen)?;
        let mut nodes = Vec::with_capacity(block.records.len());
        for record in block.records {
            // Its own name may mean something to the others alone.
            let address = if record.rank == block.rank { own } else { locate(&record)? };
            nodes.push(Node { host: record.machine, address });
        }
        let (rank, key, supervisor) = (Rank(block.rank), None, None);
        Ok(Self { told, job: JobId(0), rank, nodes, listener, key, supervisor })
    }

    /// Tells whoever wants to know what becomes of this rank.
    pub(crate) fn tell(&self, status: &Status) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(status);
        }
    }

    /// Says once that nothing protects what the ranks say to each other: on rank 0, but on every rank of ours
    /// where rank 0 may be foreign, and the launcher too.
    pub(crate) fn announce(&self, peer: PeerProfile) {
        let may_be_foreign = self.told != Told::Native && peer != PeerProfile::Native;
        let speaks = self.rank == Rank(0) || may_be_foreign;
        if self.key.is_some() || !speaks || self.nodes.len() == 1 {
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

    /// What it means if a rank refuses a connection.
    pub(crate) fn refusals(&self) -> Refusals {
        match self.told {
            Told::Native | Told::Ete7 => Refusals::Final,
            Told::Pr204 => Refusals::Early,
        }
    }

    /// Where the ranks listen, in rank order.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }
}

/// Where a rank listens, as the system resolves its machine's name; IPv4 if it has both.
fn locate(record: &Record) -> Result<SocketAddr, JobError> {
    let Record { rank, machine, port } = record;
    let found = (machine.as_str(), *port).to_socket_addrs();
    let first = found.and_then(|addresses| {
        let first = addresses.min_by_key(SocketAddr::is_ipv6);
        first.ok_or_else(|| io::Error::other("it has no address"))
    });
    first.map_err(|source| JobError::Machine { rank: *rank, machine: machine.clone(), source })
}
