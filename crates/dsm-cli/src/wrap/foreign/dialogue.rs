use super::error::ForeignError;
use super::invitation::Invitation;
use crate::nonblocking::{Arrival, Outbox, Wanted, read, wait};
use crate::words;
use dsm_net::pr204::{Announcement, BlockReader, FormatError, LaunchBlock, WrapProfile};
use rustix::event::PollFlags;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The conversation with a foreign launcher: where this rank listens, and where all do.
#[derive(Debug)]
pub(super) struct Dialogue<'a> {
    invitation: &'a Invitation,
    launcher: TcpStream,
    listener: TcpListener,
    /// Where the listener is: where the launcher is reached from.
    address: SocketAddrV4,
    outbox: Outbox,
    /// From now to the end of the block.
    patience: Duration,
}

/// What it comes to.
#[derive(Debug)]
pub(super) struct Learnt {
    pub(super) launcher: TcpStream,
    pub(super) listener: TcpListener,
    pub(super) block: LaunchBlock,
}

impl<'a> Dialogue<'a> {
    /// Connects to the launcher, which may not be listening yet, and listens for other ranks.
    ///
    /// # Errors
    /// If there is no launcher within ten seconds, or no socket.
    pub(super) fn open(invitation: &'a Invitation) -> Result<Self, ForeignError> {
        let launcher = connect(invitation)?;
        let listen = || {
            let SocketAddr::V4(local) = launcher.local_addr()? else {
                return Err(io::Error::other("no IPv4 address"));
            };
            let listener = TcpListener::bind((*local.ip(), 0))?;
            rustix::net::listen(&listener, BACKLOG)?;
            launcher.set_nonblocking(true)?;
            let port = listener.local_addr()?.port();
            Ok((listener, SocketAddrV4::new(*local.ip(), port)))
        };
        let (listener, address) =
            listen().map_err(ForeignError::kernel("listen for other ranks"))?;
        let (outbox, patience) = (Outbox::default(), PATIENCE);
        Ok(Self { invitation, launcher, listener, address, outbox, patience })
    }

    /// Announces this rank and reads who all are. The launcher may wait for the wrappers of other hosts.
    ///
    /// # Errors
    /// If the launcher goes, breaks its profile, or says nothing for a minute.
    pub(super) fn run(mut self) -> Result<Learnt, ForeignError> {
        let profile = self.invitation.profile;
        let mut reader = self.invitation.rank.map_or_else(BlockReader::new, BlockReader::of_rank);
        let mut announced = false;
        let until = Instant::now() + self.patience;
        let block = loop {
            // The reference's wrapper speaks first, the others when they are greeted.
            if !announced && (profile == WrapProfile::Ref || reader.has_header()) {
                announced = true;
                self.outbox.push(self.announcement().encode(profile));
            }
            self.outbox
                .flush(&self.launcher)
                .map_err(|error| self.lost(words::of_error(&error)))?;
            if let Some(block) = self.receive(&mut reader, until)? {
                break block;
            }
        };
        let said = block.records[usize::from(block.rank)].port;
        let here = self.address.port();
        if said != here {
            let Invitation { host, port, .. } = self.invitation.clone();
            let rank = block.rank;
            return Err(ForeignError::Elsewhere { host, port, rank, said, port_here: here });
        }
        Ok(Learnt { launcher: self.launcher, listener: self.listener, block })
    }

    /// Waits for the launcher, and reads what it says.
    fn receive(
        &self,
        reader: &mut BlockReader,
        until: Instant,
    ) -> Result<Option<LaunchBlock>, ForeignError> {
        let out = if self.outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        let wanted = [Wanted((), self.launcher.as_fd(), PollFlags::IN | out)];
        let ready = wait(&wanted, until).map_err(ForeignError::kernel("wait for the launcher"))?;
        let Invitation { host, port, .. } = self.invitation;
        if ready.is_empty() && Instant::now() >= until {
            return Err(ForeignError::Late {
                host: host.clone(),
                port: *port,
                patience: self.patience,
            });
        }
        let mut buffer = [0; 16 << 10];
        let room = reader.wanted().min(buffer.len());
        let format = |source| ForeignError::Format { host: host.clone(), port: *port, source };
        match read(&self.launcher, &mut buffer[..room]) {
            Arrival::Bytes(bytes) => reader.push(bytes).map_err(format),
            Arrival::NotYet => Ok(None),
            Arrival::End => Err(match reader.short() {
                FormatError::Short { got, .. } if got == self.greeting_bytes(reader) => {
                    self.lost("it closed the connection".into())
                }
                short => format(short),
            }),
        }
    }

    /// What a launcher says at once: one that ends behind it is gone rather than wrong.
    fn greeting_bytes(&self, reader: &BlockReader) -> usize {
        match self.invitation.profile {
            WrapProfile::Seed if reader.has_header() => 8,
            WrapProfile::Rank if reader.has_header() => 4,
            _ => 0,
        }
    }

    /// An address, not a name: it is the same to everybody.
    fn announcement(&self) -> Announcement {
        let Invitation { tokens, rank, .. } = *self.invitation;
        Announcement {
            machine: self.address.ip().to_string(),
            pid: i32::try_from(std::process::id()).ok(),
            port: self.address.port(),
            tokens,
            rank,
        }
    }

    fn lost(&self, cause: String) -> ForeignError {
        let Invitation { host, port, .. } = self.invitation.clone();
        ForeignError::Lost { host, port, cause }
    }
}

/// Tries every IPv4 address of the launcher's host until one answers.
fn connect(invitation: &Invitation) -> Result<TcpStream, ForeignError> {
    let addresses = addresses(invitation)?;
    let until = Instant::now() + CONNECT;
    loop {
        let mut last = None;
        for address in &addresses {
            let left = until.saturating_duration_since(Instant::now()).max(PAUSE);
            match TcpStream::connect_timeout(&SocketAddr::V4(*address), left) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        if Instant::now() + PAUSE >= until {
            let Invitation { host, port, .. } = invitation.clone();
            let cause = last.map_or_else(String::new, |error| words::of_error(&error));
            return Err(ForeignError::Connect { host, port, cause });
        }
        // That somebody begins to listen is no event here.
        wait::<()>(&[], Instant::now() + PAUSE).map_err(ForeignError::kernel("wait"))?;
    }
}

fn addresses(invitation: &Invitation) -> Result<Vec<SocketAddrV4>, ForeignError> {
    let Invitation { host, port, .. } = invitation;
    let fail = |cause| ForeignError::Host { host: host.clone(), cause };
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(vec![SocketAddrV4::new(address, *port)]);
    }
    let found =
        (host.as_str(), *port).to_socket_addrs().map_err(|error| fail(words::of_error(&error)))?;
    let found: Vec<_> = found
        .filter_map(|address| match address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        })
        .collect();
    if found.is_empty() { Err(fail("it has none".into())) } else { Ok(found) }
}

/// For the launcher to listen.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);
/// From the connection to the end of the block: other hosts may be slow to be reached.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that wait for the rank to accept them: every other rank may connect at once.
const BACKLOG: i32 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_that_says_nothing_is_given_up() {
        let launcher = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = launcher.local_addr().unwrap().port();
        for profile in WrapProfile::ALL {
            let rank = (profile == WrapProfile::Rank).then_some(0);
            let (host, program) = ("127.0.0.1".to_owned(), "true".into());
            let invitation =
                Invitation { profile, host, port, tokens: [0; 2], rank, program, args: Vec::new() };
            let mut dialogue = Dialogue::open(&invitation).unwrap();
            assert_eq!(dialogue.patience, PATIENCE);
            dialogue.patience = Duration::from_millis(50);
            let error = dialogue.run().unwrap_err();
            assert!(matches!(error, ForeignError::Late { .. }), "{error}");
        }
    }
}
