//! Lower ranks are connected to.

use super::attempt::Attempt;
use super::meeting::{Meeting, Occasion};
use super::partial::Partial;
use super::{Met, Notice, RendezvousError};
use crate::handshake::{Calling, FIRST_BYTES, HandshakeError, SECOND_BYTES};
use dsm_core::Rank;
use dsm_core::wire::{Preamble, Secrecy};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// A lower rank that is being connected to.
pub(super) struct Asked {
    pub(super) stream: TcpStream,
    attempt: Attempt,
    stage: Stage,
}

enum Stage {
    /// The kernel connects.
    Connecting { calling: Calling, first: [u8; FIRST_BYTES], until: Instant },
    /// It was sent a first message. Its program may be long in coming.
    Called { calling: Calling, second: Partial<SECOND_BYTES> },
}

/// What became of a connection when it was looked at.
enum Progress {
    Waits(Asked),
    Met(Met),
    /// Whether the rank had said something.
    Failed {
        source: io::Error,
        had_begun: bool,
    },
}

impl Asked {
    /// When it has taken too long.
    pub(super) fn until(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Connecting { until, .. } => Some(*until),
            Stage::Called { .. } => None,
        }
    }

    pub(super) fn interest(&self) -> PollFlags {
        match &self.stage {
            Stage::Connecting { .. } => PollFlags::OUT,
            Stage::Called { .. } => PollFlags::IN,
        }
    }

    /// Sends the first message once there is a connection.
    fn proceed(mut self) -> io::Result<Self> {
        let Stage::Connecting { calling, first, until } = self.stage else { return Ok(self) };
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        self.stage = match self.stream.peer_addr() {
            Ok(_) => {
                // A new connection has room for it.
                self.stream.write_all(&first)?;
                Stage::Called { calling, second: Partial::new() }
            }
            Err(_) if Instant::now() >= until => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => Stage::Connecting { calling, first, until },
        };
        Ok(self)
    }
}

impl Meeting<'_> {
    /// Connects to the lower ranks whose time has come.
    pub(super) fn ask(&mut self) -> Result<(), RendezvousError> {
        let now = Instant::now();
        let due = self.to_ask.extract_if(.., |_, attempt| attempt.at <= now);
        for (rank, attempt) in due.collect::<Vec<_>>() {
            match self.call(rank, attempt)? {
                Ok(asked) => drop(self.asked.insert(rank, asked)),
                Err(source) => self.ask_again(rank, attempt, source, false)?,
            }
        }
        Ok(())
    }

    fn call(&mut self, rank: Rank, attempt: Attempt) -> Result<io::Result<Asked>, RendezvousError> {
        let address = self.rendezvous.address(rank);
        self.rendezvous.attempt = self.rendezvous.attempt.saturating_add(1);
        let own = &self.rendezvous.party.hello;
        let preamble = Preamble {
            version: own.version,
            from: own.from,
            to: rank,
            nodes: own.nodes,
            attempt: self.rendezvous.attempt,
        };
        let begun = Calling::begin(self.rendezvous.party.keys.with(rank), &preamble);
        let (calling, first) = begun.map_err(|source| untrusted(rank, address, source))?;
        self.called.entry(rank).or_insert_with(Instant::now);
        let until = Instant::now() + attempt.within;
        let stage = Stage::Connecting { calling, first, until };
        let connected = connect(address).map(|stream| Asked { stream, attempt, stage });
        Ok(connected.and_then(Asked::proceed))
    }

    /// After a failure: whether it is worth another connection.
    fn ask_again(
        &mut self,
        rank: Rank,
        attempt: Attempt,
        source: io::Error,
        had_begun: bool,
    ) -> Result<(), RendezvousError> {
        if source.kind() == io::ErrorKind::TimedOut {
            let tries = self.silent.entry(rank).or_default();
            *tries += 1;
            if *tries == TRIES_UNTOLD {
                let address = self.rendezvous.address(rank);
                (self.tell)(Notice::Silent { rank, address });
            }
        }
        if source.kind() == io::ErrorKind::ConnectionRefused {
            // Its host answers, and it does not listen yet.
            self.called.remove(&rank);
        }
        let again = attempt.after(&source, self.terms.patience);
        match again.filter(|_| !had_begun || self.terms.occasion == Occasion::Again) {
            Some(again) => drop(self.to_ask.insert(rank, again)),
            None => {
                let address = self.rendezvous.address(rank);
                return Err(RendezvousError::Connect { rank, address, source });
            }
        }
        Ok(())
    }

    pub(super) fn hear_answers(&mut self) -> Result<(), RendezvousError> {
        for (rank, asked) in std::mem::take(&mut self.asked) {
            let attempt = asked.attempt;
            let was_called = matches!(asked.stage, Stage::Called { .. });
            match self.hear_answer(rank, asked)? {
                Progress::Waits(asked) => {
                    if !was_called && matches!(asked.stage, Stage::Called { .. }) {
                        self.silent.remove(&rank);
                    }
                    self.asked.insert(rank, asked);
                }
                Progress::Met(met) => self.has_come(rank, met),
                Progress::Failed { source, had_begun } => {
                    self.ask_again(rank, attempt, source, had_begun).map_err(
                        |error| match error {
                            RendezvousError::Connect { rank, address, source } if was_called => {
                                RendezvousError::Lost { rank, address, source }
                            }
                            error => error,
                        },
                    )?;
                }
            }
        }
        Ok(())
    }

    fn hear_answer(&mut self, rank: Rank, asked: Asked) -> Result<Progress, RendezvousError> {
        let failed = |source, had_begun| Ok(Progress::Failed { source, had_begun });
        let asked = match asked.proceed() {
            Ok(asked) => asked,
            Err(source) => return failed(source, false),
        };
        let Asked { mut stream, attempt, stage } = asked;
        let Stage::Called { calling, mut second } = stage else {
            return Ok(Progress::Waits(Asked { stream, attempt, stage }));
        };
        let bytes = match second.read(&stream) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let stage = Stage::Called { calling, second };
                return Ok(Progress::Waits(Asked { stream, attempt, stage }));
            }
            Err(source) => return failed(source, !second.is_empty()),
        };
        let address = self.rendezvous.address(rank);
        let finished = calling.finish(bytes);
        let (hello, mut cipher) = finished.map_err(|source| untrusted(rank, address, source))?;
        let ours = self.rendezvous.hello_to(rank, self.missing[&rank]);
        let mut third = Vec::new();
        cipher.seal(&[&ours.encode()], &mut third);
        let sent = stream.write_all(&third);
        // One that is set up differently was told too: it must be able to say why as well.
        let theirs = ours.check(&hello);
        let theirs = theirs.map_err(|source| RendezvousError::Refused { rank, source })?;
        match sent {
            Ok(()) => {
                let cipher = (ours.secrecy == Secrecy::Encrypted).then_some(cipher);
                Ok(Progress::Met(Met { stream, cipher, received: theirs.received }))
            }
            Err(source) => failed(source, true),
        }
    }
}

/// Begins to connect, without waiting for it.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    let stream = match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => TcpStream::from(socket),
        Err(error) => return Err(error.into()),
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn untrusted(rank: Rank, address: SocketAddr, source: HandshakeError) -> RendezvousError {
    RendezvousError::Unauthentic { rank, address, source }
}

/// So many attempts, ten seconds, are made before anything is said of it.
const TRIES_UNTOLD: u32 = 7;
