use super::block_socket::BlockSocket;
use super::family;
use dsm_net::launch::{Job, LISTEN_FD, LaunchProfile, Node, Start};
use dsm_net::pr204::{ETE7, LaunchBlock, MAX_NODES, Record};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// What a program is told in the words of the PR204 family.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) variables: Vec<(&'static str, String)>,
    pub(super) family: Option<Family>,
}

/// The descriptors that become 3 and 4, and the other end of the first.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) launcher: OwnedFd,
    pub(super) listener: OwnedFd,
    pub(super) block: BlockSocket,
}

impl Told {
    /// `listener` is the rank's.
    ///
    /// # Errors
    /// If the kernel has no socket or descriptor, or the job has more ranks than the format.
    pub(super) fn new(start: &Start, listener: BorrowedFd<'_>) -> io::Result<Self> {
        match start.profile {
            LaunchProfile::Native => Ok(Self { variables: Vec::new(), family: None }),
            LaunchProfile::Ete7(at) => {
                let Job { rank, nodes, .. } = &start.job;
                let host = at.ip().to_string();
                let values =
                    [host, at.port().to_string(), rank.to_string(), nodes.len().to_string()];
                Ok(Self { variables: ETE7.into_iter().zip(values).collect(), family: None })
            }
            LaunchProfile::Pr204 => {
                let (block, launcher) = BlockSocket::new(&block_of(&start.job)?)?;
                let family = Family {
                    launcher: family::aside(&launcher)?,
                    listener: family::aside(&listener)?,
                    block,
                };
                let mut variables = Vec::from(family::variables());
                let listener = variables[1].1.clone();
                variables.push((LISTEN_FD, listener));
                Ok(Self { variables, family: Some(family) })
            }
        }
    }

    /// The descriptors of the stage that are to become 3 and 4.
    pub(super) fn numbers(&self) -> Option<[RawFd; 2]> {
        let family = self.family.as_ref()?;
        Some([family.launcher.as_raw_fd(), family.listener.as_raw_fd()])
    }
}

/// The job as programs of the family read it. Addresses stand for themselves, whatever names a host has.
fn block_of(job: &Job) -> io::Result<LaunchBlock> {
    if job.nodes.len() > usize::from(MAX_NODES) {
        return Err(Errno::TOOBIG.into());
    }
    let record = |(rank, node): (u16, &Node)| {
        let machine = node.address.ip().to_string();
        Record { rank, machine, port: node.address.port() }
    };
    Ok(LaunchBlock { rank: job.rank, records: (0..).zip(&job.nodes).map(record).collect() })
}
