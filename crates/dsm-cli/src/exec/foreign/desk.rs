use crate::exec::exchange::is_lack;
use crate::exec::knocks::Knocks;
use crate::nonblocking::{Arrival, Outbox, Wanted, read};
use dsm_net::pr204::{
    Announcement, AnnouncementReader, FormatError, LaunchBlock, MACHINE_BYTES, WrapProfile,
};
use rustix::event::PollFlags;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process;
use std::time::Instant;
use thiserror::Error;

/// dsmexec's side of the conversation with one foreign wrapper. It neither waits nor knows the time.
#[derive(Debug)]
pub(crate) struct Desk {
    profile: WrapProfile,
    seat: Seat,
    nodes: u16,
    /// Closed when the wrapper has announced itself: nobody else is expected.
    listener: Option<TcpListener>,
    /// Whoever has connected; then only who has announced itself.
    guests: Vec<Guest>,
    manners: Manners,
    knocks: Knocks,
    /// What was wrong with what the last that was turned away said, if it said something: it may have been
    /// the wrapper.
    complaint: Option<DeskError>,
}

/// A connection: the wrapper's, or that of a stranger who will not say the right thing.
#[derive(Debug)]
struct Guest {
    stream: TcpStream,
    from: SocketAddr,
    reader: AnnouncementReader,
    outbox: Outbox,
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
            guests: Vec::new(),
            manners: Manners::Expected,
            knocks: Knocks::default(),
            complaint: None,
        })
    }

    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }

    pub(super) fn has_announced(&self) -> bool {
        self.manners != Manners::Expected
    }

    /// What was wrong with what others said where the wrapper was to announce itself, which it has not.
    pub(super) fn complaint(&self) -> Option<&DeskError> {
        self.complaint.as_ref().filter(|_| !self.has_announced())
    }

    /// Who else has connected than the wrapper, for people; told once.
    pub(super) fn strangers(&mut self) -> Option<String> {
        self.knocks.rest()
    }

    /// What to wait for, if anything.
    pub(super) fn wanted<T: Copy>(&self, who: T) -> impl Iterator<Item = Wanted<'_, T>> {
        let listener = self.listener.iter();
        let listener = listener.map(move |it| Wanted(who, it.as_fd(), PollFlags::IN));
        listener.chain(self.guests.iter().map(move |guest| {
            let out = if guest.outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            Wanted(who, guest.stream.as_fd(), PollFlags::IN | out)
        }))
    }

    /// The listener or a connection is ready; gives the announcement when it is complete. Who says something
    /// else is turned away: it need not be the wrapper.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn on_ready(&mut self) -> Result<Option<Announcement>, DeskError> {
        self.accept()?;
        for mut guest in std::mem::take(&mut self.guests) {
            // A program that is not of the family may end without having read anything.
            if guest.outbox.flush(&guest.stream).is_err() {
                continue;
            }
            match self.manners {
                Manners::Expected => match guest.hear().and_then(|heard| self.checked(heard)) {
                    Ok(Heard::Nothing) => self.guests.push(guest),
                    Ok(Heard::End) => (),
                    Ok(Heard::Announcement(announcement)) => {
                        self.on_announced(guest);
                        return Ok(Some(announcement));
                    }
                    Err(error) => self.turn_away(&guest, error),
                },
                // What it says now is for nobody.
                Manners::Announced | Manners::Told => {
                    let ended = read(&guest.stream, &mut [0; MACHINE_BYTES]) == Arrival::End;
                    if !ended && !self.is_done_with(&guest) {
                        self.guests.push(guest);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Tells the wrapper, or the program it has become, who the ranks are.
    pub(super) fn tell(&mut self, block: &LaunchBlock) {
        self.manners = Manners::Told;
        let Some(mut guest) = self.guests.pop() else { return };
        guest.outbox.push(self.profile.answer(block));
        if guest.outbox.flush(&guest.stream).is_ok() && !self.is_done_with(&guest) {
            self.guests.push(guest);
        }
    }

    /// Other launchers close the connection too, where the wrapper keeps it from the program.
    fn is_done_with(&self, guest: &Guest) -> bool {
        let told = self.manners == Manners::Told && guest.outbox.is_empty();
        told && self.profile == WrapProfile::Rank
    }

    fn accept(&mut self) -> Result<(), DeskError> {
        let Some(listener) = &self.listener else { return Ok(()) };
        match listener.accept() {
            Ok((stream, from)) => {
                stream.set_nonblocking(true)?;
                let reader = AnnouncementReader::new(self.profile, self.nodes);
                let mut outbox = Outbox::default();
                outbox.push(self.profile.greeting(self.seat.rank, self.nodes));
                if self.guests.len() == MAX_GUESTS {
                    self.send_oldest_away();
                }
                self.guests.push(Guest { stream, from, reader, outbox });
                Ok(())
            }
            Err(error) if is_lack(&error) && !self.guests.is_empty() => {
                self.send_oldest_away();
                Ok(())
            }
            // Who knocked is gone again.
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Who has been silent for longest is no wrapper.
    fn send_oldest_away(&mut self) {
        let guest = self.guests.remove(0);
        self.knocks.on_turned_away(guest.from, None, Instant::now());
    }

    fn turn_away(&mut self, guest: &Guest, error: DeskError) {
        let said = match &error {
            DeskError::Format(said) => said.to_string(),
            other => other.to_string(),
        };
        self.knocks.on_turned_away(guest.from, Some(said), Instant::now());
        self.complaint = Some(error);
    }

    /// Whether an announcement is that of this desk's wrapper.
    fn checked(&self, heard: Heard) -> Result<Heard, DeskError> {
        let Heard::Announcement(announcement) = &heard else { return Ok(heard) };
        let (found, expected) = (announcement.tokens, self.seat.tokens);
        if self.profile == WrapProfile::Ref && found != expected {
            return Err(DeskError::Tokens { found, expected });
        }
        if let Some(found) = announcement.rank.filter(|rank| *rank != self.seat.rank) {
            return Err(DeskError::Rank { found });
        }
        Ok(heard)
    }

    fn on_announced(&mut self, guest: Guest) {
        self.manners = Manners::Announced;
        self.listener = None;
        self.guests = vec![guest];
    }
}

/// What a connection has brought.
#[derive(Debug)]
enum Heard {
    Nothing,
    Announcement(Announcement),
    End,
}

impl Guest {
    fn hear(&mut self) -> Result<Heard, DeskError> {
        let mut buffer = [0; MACHINE_BYTES];
        loop {
            let room = self.reader.wanted().min(buffer.len());
            match read(&self.stream, &mut buffer[..room]) {
                Arrival::NotYet => return Ok(Heard::Nothing),
                Arrival::Bytes(bytes) => {
                    if let Some(announcement) = self.reader.push(bytes)? {
                        return Ok(Heard::Announcement(announcement));
                    }
                }
                Arrival::End => {
                    return match self.reader.short() {
                        // Somebody looked what port this is: the wrapper is still to come.
                        FormatError::Short { got: 0, .. } => Ok(Heard::End),
                        short => Err(short.into()),
                    };
                }
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}

/// Connections that are kept until the wrapper has announced itself.
const MAX_GUESTS: usize = 8;
