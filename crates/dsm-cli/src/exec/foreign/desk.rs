use crate::nonblocking::{Arrival, Outbox, Wanted, read};
use dsm_net::pr204::{
    Announcement, AnnouncementReader, FormatError, LaunchBlock, MACHINE_BYTES, WrapProfile,
};
use rustix::event::PollFlags;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process;
use thiserror::Error;

/// dsmexec's side of the conversation with one foreign wrapper. It neither waits nor knows the time.
#[derive(Debug)]
pub(crate) struct Desk {
    profile: WrapProfile,
    seat: Seat,
    nodes: u16,
    /// Closed when the wrapper has announced itself: nobody else is expected.
    listener: Option<TcpListener>,
    guest: Option<TcpStream>,
    reader: AnnouncementReader,
    outbox: Outbox,
    manners: Manners,
}

/// What the wrapper of one rank is told on its command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) rank: u16,
    /// Where dsmexec listens for it.
    pub(crate) at: SocketAddrV4,
    /// What it is to give back.
    pub(crate) tokens: [i32; 2],
}

/// How far the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    /// It has not announced itself.
    Expected,
    Announced,
    /// It is being told who the ranks are, or has been.
    Told,
}

/// What a wrapper did that it should not.
#[derive(Debug, Error)]
pub(crate) enum DeskError {
    #[error("it said {0}")]
    Format(#[from] FormatError),
    #[error("it gave back {found:?}, expected {expected:?}")]
    Tokens { found: [i32; 2], expected: [i32; 2] },
    #[error("it called itself rank {found}")]
    Rank { found: u16 },
    #[error("its connection failed: {0}")]
    Socket(#[from] io::Error),
}

impl Seat {
    /// The arguments before the program's name.
    pub(crate) fn words(&self, profile: WrapProfile) -> Vec<String> {
        let mut words = vec![self.at.ip().to_string(), self.at.port().to_string()];
        match profile {
            WrapProfile::Ref => words.extend(self.tokens.map(|token| token.to_string())),
            WrapProfile::Seed => (),
            WrapProfile::Rank => words.push(self.rank.to_string()),
        }
        words
    }
}

impl Desk {
    /// Listens for the wrapper of `rank`, at this address of this machine.
    ///
    /// # Errors
    /// If the kernel has no socket, or not this address.
    pub(crate) fn open(
        profile: WrapProfile,
        rank: u16,
        nodes: usize,
        address: Ipv4Addr,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0))?;
        listener.set_nonblocking(true)?;
        let SocketAddr::V4(at) = listener.local_addr()? else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        let nodes = u16::try_from(nodes).expect("the number of ranks was checked");
        // The first is for people who look at the process list, the second against mistaken callers.
        let seal = (u32::from(at.port()) << 15) ^ process::id();
        let tokens = [rank.into(), (seal & 0x7fff_ffff).cast_signed()];
        Ok(Self {
            profile,
            seat: Seat { rank, at, tokens },
            nodes,
            listener: Some(listener),
            guest: None,
            reader: AnnouncementReader::new(profile, nodes),
            outbox: Outbox::default(),
            manners: Manners::Expected,
        })
    }

    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }

    pub(super) fn has_announced(&self) -> bool {
        self.manners != Manners::Expected
    }

    /// What to wait for, if anything.
    pub(super) fn wanted<T>(&self, who: T) -> Option<Wanted<'_, T>> {
        if let Some(guest) = &self.guest {
            let out = if self.outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            return Some(Wanted(who, guest.as_fd(), PollFlags::IN | out));
        }
        self.listener.as_ref().map(|listener| Wanted(who, listener.as_fd(), PollFlags::IN))
    }

    /// The listener or the connection is ready; gives the announcement when it is complete.
    ///
    /// # Errors
    /// If the wrapper breaks its profile.
    pub(super) fn on_ready(&mut self) -> Result<Option<Announcement>, DeskError> {
        if self.guest.is_none() {
            self.accept()?;
        }
        self.flush();
        while let Some(guest) = &self.guest {
            let mut buffer = [0; MACHINE_BYTES];
            if self.manners != Manners::Expected {
                // What it says now is for nobody.
                if read(guest, &mut buffer) == Arrival::End {
                    self.guest = None;
                }
                return Ok(None);
            }
            let room = self.reader.wanted().min(buffer.len());
            match read(guest, &mut buffer[..room]) {
                Arrival::NotYet => return Ok(None),
                Arrival::End => self.on_early_end()?,
                Arrival::Bytes(bytes) => {
                    if let Some(announcement) = self.reader.push(bytes)? {
                        return self.on_announced(announcement).map(Some);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Tells the wrapper, or the program it has become, who the ranks are.
    pub(super) fn tell(&mut self, block: &LaunchBlock) {
        self.manners = Manners::Told;
        self.outbox.push(self.profile.answer(block));
        self.flush();
    }

    fn accept(&mut self) -> Result<(), DeskError> {
        let Some(listener) = &self.listener else { return Ok(()) };
        match listener.accept() {
            Ok((guest, _)) => {
                guest.set_nonblocking(true)?;
                self.outbox.push(self.profile.greeting(self.seat.rank, self.nodes));
                self.guest = Some(guest);
                Ok(())
            }
            // Who knocked is gone again.
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn on_announced(&mut self, announcement: Announcement) -> Result<Announcement, DeskError> {
        let (found, expected) = (announcement.tokens, self.seat.tokens);
        if self.profile == WrapProfile::Ref && found != expected {
            return Err(DeskError::Tokens { found, expected });
        }
        if let Some(found) = announcement.rank.filter(|rank| *rank != self.seat.rank) {
            return Err(DeskError::Rank { found });
        }
        self.manners = Manners::Announced;
        self.listener = None;
        Ok(announcement)
    }

    fn on_early_end(&mut self) -> Result<(), DeskError> {
        self.guest = None;
        self.outbox.clear();
        match self.reader.short() {
            // Somebody looked what port this is: the wrapper is still to come.
            FormatError::Short { got: 0, .. } => Ok(()),
            short => Err(short.into()),
        }
    }

    fn flush(&mut self) {
        let Some(guest) = &self.guest else { return self.outbox.clear() };
        if self.outbox.flush(guest).is_err() {
            // A program that is not of the family ends without having read anything.
            self.outbox.clear();
            self.guest = None;
        }
        let done = self.manners == Manners::Told && self.outbox.is_empty();
        if done && self.profile == WrapProfile::Rank {
            self.guest = None;
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}
