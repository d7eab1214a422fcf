//! `launch/ete7`: the environment says where the launcher listens, and the rank opens its own socket.

use super::stream::{Deadline, read_block, send};
use super::{Found, JobError, StreamError, Told, locate};
use dsm_net::pr204::{BlockReader, Contribution, ETE7, LaunchBlock, MAX_NODES, Record};
use std::env;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::Duration;

/// Where the launcher listens, and who it says this rank is.
struct Launcher {
    host: String,
    port: u16,
    rank: u16,
    nodes: u16,
}

/// What the launcher said, if the environment names one. It must name it completely.
pub(super) fn find(deadline: Deadline) -> Result<Option<Found>, JobError> {
    let Some(launcher) = Launcher::from_environment()? else { return Ok(None) };
    let asked = launcher.ask(deadline);
    let (listener, block) = asked.map_err(|source| launcher.blame(source))?;
    Found::told_by_family(Told::Ete7, listener, block).map(Some)
}

/// Meets the other programs at a launcher of ours that also listens, if the environment names it: those
/// without this library wait there for all ranks, and listen where only they themselves say.
pub(super) fn attend(found: &mut Found, deadline: Deadline) -> Result<(), JobError> {
    let Some(launcher) = Launcher::from_environment()? else { return Ok(()) };
    let own = found.nodes[usize::from(found.rank.0)].address;
    let told = launcher.connect(deadline).map_err(StreamError::from);
    let told = told.and_then(|stream| launcher.tell(&stream, own, deadline));
    let block = told.map_err(|source| launcher.blame(source))?;
    for (node, record) in found.nodes.iter_mut().zip(&block.records) {
        if record.rank != found.rank.0 {
            node.address = locate(record)?;
        }
    }
    Ok(())
}

impl Launcher {
    fn from_environment() -> Result<Option<Self>, JobError> {
        let values = ETE7.map(|variable| {
            env::var_os(variable).map(|value| value.to_string_lossy().into_owned())
        });
        let Some(first) = values.iter().position(Option::is_some) else { return Ok(None) };
        if let Some(missing) = values.iter().position(Option::is_none) {
            return Err(JobError::Unset { present: ETE7[first], missing: ETE7[missing] });
        }
        let [host, port, rank, nodes] = values.map(Option::unwrap_or_default);
        let number = |index: usize, value: &str, from: u16, to: u16, expected| {
            let number = value.parse().ok().filter(|number| (from..=to).contains(number));
            let (variable, value) = (ETE7[index], value.to_owned());
            number.ok_or(JobError::Variable { variable, value, expected })
        };
        if host.is_empty() {
            let (variable, value) = (ETE7[0], host);
            return Err(JobError::Variable { variable, value, expected: "a host" });
        }
        let port = number(1, &port, 1, u16::MAX, "a port, 1 to 65535")?;
        let nodes = number(3, &nodes, 1, MAX_NODES, "a number of ranks, 1 to 256")?;
        let rank = number(2, &rank, 0, nodes - 1, "a rank, 0 up to less than the number of ranks")?;
        Ok(Some(Self { host, port, rank, nodes }))
    }

    /// Tells the launcher where this rank listens, and hears where all do.
    fn ask(&self, deadline: Deadline) -> Result<(TcpListener, LaunchBlock), StreamError> {
        let stream = self.connect(deadline)?;
        // Whoever reaches this rank's machine as the launcher does reaches the address it is asked from.
        let listener = TcpListener::bind((stream.local_addr()?.ip(), 0))?;
        let block = self.tell(&stream, listener.local_addr()?, deadline)?;
        Ok((listener, block))
    }

    fn tell(
        &self,
        stream: &TcpStream,
        listener: SocketAddr,
        deadline: Deadline,
    ) -> Result<LaunchBlock, StreamError> {
        let (rank, machine, port) = (self.rank, listener.ip().to_string(), listener.port());
        let blob = Record { rank, machine, port }.encode().to_vec();
        send(stream.as_fd(), &Contribution { rank, blob }.encode(), deadline)?;
        read_block(stream.as_fd(), BlockReader::of_job(rank, self.nodes), deadline)
    }

    fn blame(&self, source: StreamError) -> JobError {
        JobError::Ask { host: self.host.clone(), port: self.port, source }
    }

    fn connect(&self, deadline: Deadline) -> io::Result<TcpStream> {
        let mut addresses: Vec<SocketAddr> =
            (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let mut failure = io::Error::other("it has no address");
        for address in addresses {
            let timeout = CONNECT_TIMEOUT.min(deadline.left().max(Duration::from_millis(1)));
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
