//! Higher ranks connect, and strangers do.

use super::error::system;
use super::meeting::{Meeting, Occasion};
use super::partial::Partial;
use super::{Met, Notice, RendezvousError};
use crate::handshake::{FIRST_BYTES, First, HandshakeError, THIRD_BYTES};
use crate::record::{self, Cipher, LENGTH_BYTES};
use dsm_core::Rank;
use dsm_core::wire::{HELLO_BYTES, Hello, HelloError, Secrecy};
use rustix::io::Errno;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Whoever connected, and has not shown its key yet.
pub(super) struct Caller {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    first: Partial<FIRST_BYTES>,
    pub(super) until: Instant,
}

/// A rank that has shown its key, or who repeats what it has said, and that was answered.
pub(super) struct Answered {
    pub(super) stream: TcpStream,
    address: SocketAddr,
    ours: Hello,
    cipher: Cipher,
    third: Partial<THIRD_BYTES>,
    pub(super) until: Instant,
}

impl Meeting<'_> {
    /// Whoever connected to this rank: a higher rank of the job is answered, a stranger is dropped.
    pub(super) fn hear_callers(&mut self) -> Result<(), RendezvousError> {
        for caller in std::mem::take(&mut self.callers) {
            if let Some(caller) = self.hear(caller)? {
                self.callers.push_back(caller);
            }
        }
        Ok(())
    }

    /// Gives the caller back if its first message is not complete.
    fn hear(&mut self, mut caller: Caller) -> Result<Option<Caller>, RendezvousError> {
        match caller.first.read(&caller.stream) {
            Ok(None) => return Ok(Some(caller)),
            Ok(Some(first)) => {
                let first = *first;
                self.answer(caller, &first)?;
            }
            Err(_) => self.on_unheard(&caller),
        }
        Ok(None)
    }

    /// Whoever waits when the meeting is over. A rank may, whose loss is not known here: it calls again.
    pub(super) fn part_from(&mut self, mut caller: Caller) {
        // What has come meanwhile counts.
        match caller.first.read(&caller.stream) {
            Ok(Some(first)) => {
                let first = *first;
                if !self.is_of_a_rank(&first) {
                    self.turn_away(caller.address);
                }
            }
            Ok(None) | Err(_) => self.on_unheard(&caller),
        }
    }

    /// Its connection, or the meeting, is over before its first message was complete. Where connections are lost
    /// again and again, one without a word may be of a rank: then it is not told of as a stranger's.
    fn on_unheard(&mut self, caller: &Caller) {
        let may_be_of_a_rank = self.terms.occasion == Occasion::Again
            && caller.first.is_empty()
            && self.is_where_a_higher_rank_is(caller.address.ip());
        if !may_be_of_a_rank {
            self.turn_away(caller.address);
        }
    }

    fn is_where_a_higher_rank_is(&self, address: IpAddr) -> bool {
        let party = &self.rendezvous.party;
        let higher = party.addresses.iter().skip(usize::from(party.hello.from.0) + 1);
        // A rank may connect from another loopback address than the one at which it listens.
        let is_there = |it: &SocketAddr| {
            it.ip() == address || (it.ip().is_loopback() && address.is_loopback())
        };
        higher.into_iter().any(is_there)
    }

    fn is_of_a_rank(&self, first: &[u8; FIRST_BYTES]) -> bool {
        let first = First::read(first).filter(|first| self.may_be_of_a_rank(first));
        first.is_some_and(|first| {
            let rank = first.preamble().from;
            let ours = self.rendezvous.hello_to(rank, 0);
            first.answer(self.rendezvous.party.keys.with(rank), &ours.encode()).is_ok()
        })
    }

    /// Not a byte is sent before the first message is found to be the rank's it says it comes from, and new.
    fn answer(
        &mut self,
        Caller { mut stream, address, .. }: Caller,
        first: &[u8; FIRST_BYTES],
    ) -> Result<(), RendezvousError> {
        let Some(first) = First::read(first).filter(|first| self.may_be_of_a_rank(first)) else {
            self.turn_away(address);
            return Ok(());
        };
        let preamble = *first.preamble();
        let rank = preamble.from;
        let received = self.missing.get(&rank).copied();
        let ours = self.rendezvous.hello_to(rank, received.unwrap_or(0));
        let key = self.rendezvous.party.keys.with(rank);
        let (second, cipher) = match first.answer(key, &ours.encode()) {
            Ok(answer) => answer,
            Err(HandshakeError::Unauthentic) => {
                self.turn_away(address);
                return Ok(());
            }
            Err(source @ HandshakeError::Random) => {
                return Err(RendezvousError::Unauthentic { rank, address, source });
            }
        };
        self.rendezvous.answered.insert(rank, preamble.attempt);
        if received.is_none() && self.terms.occasion == Occasion::Again {
            (self.tell)(Notice::Called { rank });
            return Ok(());
        }
        if stream.write_all(&second).is_err() {
            // It calls again, or its end is told by others.
            return Ok(());
        }
        if preamble.version != ours.version {
            let (ours, theirs) = (ours.version.into(), preamble.version.into());
            let source = HelloError::Differs { what: "protocol version", ours, theirs };
            return Err(RendezvousError::Refused { rank, source });
        }
        let (third, until) = (Partial::new(), Instant::now() + ANSWERED_TIMEOUT);
        let answered = Answered { stream, address, ours, cipher, third, until };
        self.answered.insert(rank, answered);
        Ok(())
    }

    /// Whether it says that it comes from a rank that connects to this one, and that has not said it before.
    fn may_be_of_a_rank(&self, first: &First<'_>) -> bool {
        let (own, said) = (&self.rendezvous.party.hello, first.preamble());
        let last = self.rendezvous.answered.get(&said.from).copied().unwrap_or(0);
        said.to == own.from
            && said.from > own.from
            && said.from.0 < own.nodes
            && said.attempt > last
    }

    /// Ranks that were answered: when their own word is there, they have come.
    pub(super) fn hear_answered(&mut self) -> Result<(), RendezvousError> {
        for (rank, mut answered) in std::mem::take(&mut self.answered) {
            match answered.third.read(&answered.stream) {
                Ok(None) => drop(self.answered.insert(rank, answered)),
                Ok(Some(third)) => {
                    let third = *third;
                    self.conclude(rank, answered, &third)?;
                }
                // It calls again, or its end is told by others.
                Err(_) => (),
            }
        }
        Ok(())
    }

    fn conclude(
        &mut self,
        rank: Rank,
        Answered { stream, address, ours, mut cipher, .. }: Answered,
        third: &[u8; THIRD_BYTES],
    ) -> Result<(), RendezvousError> {
        let Some(hello) = open(&mut cipher, third) else {
            self.turn_away(address);
            return Ok(());
        };
        let theirs = ours.check(&hello);
        let theirs = theirs.map_err(|source| RendezvousError::Refused { rank, source })?;
        stream.set_nodelay(true).map_err(system("setting up a connection"))?;
        let cipher = (ours.secrecy == Secrecy::Encrypted).then_some(cipher);
        self.has_come(rank, Met { stream, cipher, received: theirs.received });
        Ok(())
    }

    /// Takes callers out of the kernel's queue. Where there is no room for one more, who has been silent for
    /// longest goes: a member speaks at once, and calls again if it was taken for a stranger.
    pub(super) fn accept(&mut self) -> Result<(), RendezvousError> {
        for _ in 0..MAX_CALLERS {
            let (stream, address) = match self.rendezvous.party.listener.accept() {
                Ok(caller) => caller,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_callers_fault(&error) => continue,
                Err(error) if is_lack(&error) && !self.callers.is_empty() => {
                    self.drop_oldest();
                    continue;
                }
                Err(source) => return Err(system("accept")(source)),
            };
            stream.set_nonblocking(true).map_err(system("making a socket nonblocking"))?;
            let (first, until) = (Partial::new(), Instant::now() + CALLER_TIMEOUT);
            if let Some(caller) = self.hear(Caller { stream, address, first, until })? {
                self.callers.push_back(caller);
            }
            if self.callers.len() > MAX_CALLERS
                && let Some(oldest) = self.callers.pop_front()
                && let Some(oldest) = self.hear(oldest)?
            {
                self.turn_away(oldest.address);
            }
        }
        Ok(())
    }

    fn drop_oldest(&mut self) {
        if let Some(caller) = self.callers.pop_front() {
            self.turn_away(caller.address);
        }
    }

    /// Drops those whose time is up. Callers come in that order. What has come meanwhile is read first: this
    /// process may have been stopped.
    pub(super) fn drop_late(&mut self, now: Instant) -> Result<(), RendezvousError> {
        let is_late = |until: Instant| until <= now;
        if self.callers.front().is_some_and(|caller| is_late(caller.until)) {
            self.hear_callers()?;
        }
        while self.callers.front().is_some_and(|caller| is_late(caller.until)) {
            self.drop_oldest();
        }
        if self.answered.values().any(|answered| is_late(answered.until)) {
            self.hear_answered()?;
            self.answered.retain(|_, answered| !is_late(answered.until));
        }
        Ok(())
    }
}

/// The hello in a rank's first record.
fn open(cipher: &mut Cipher, third: &[u8; THIRD_BYTES]) -> Option<[u8; HELLO_BYTES]> {
    let (length, ciphertext) = third.split_first_chunk::<LENGTH_BYTES>()?;
    let length = record::ciphertext_length(*length).ok()?;
    if length != ciphertext.len() {
        return None;
    }
    let mut hello = Vec::with_capacity(length);
    cipher.open(ciphertext, &mut hello).ok()?;
    hello.first_chunk().copied()
}

/// Errors of accept(2) that are about the connection, not about the listener.
fn is_callers_fault(error: &io::Error) -> bool {
    let passing = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
    ];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

/// Errors of accept(2) that go away when a connection is closed.
fn is_lack(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}

/// Callers that have not shown their key. One more, and the oldest is dropped.
const MAX_CALLERS: usize = 64;
/// A caller that has not shown its key by then is dropped.
const CALLER_TIMEOUT: Duration = Duration::from_secs(3);
/// A rank that was answered and says nothing is gone, or was never there. It may have been stopped.
const ANSWERED_TIMEOUT: Duration = Duration::from_secs(30);
