//! Higher ranks connect, and strangers do.

use super::error::system;
use super::greeting::Greeting;
use super::meeting::Meeting;
use super::{Rendezvous, RendezvousError};
use dsm_core::wire::{HELLO_BYTES, Hello, HelloError};
use rustix::io::Errno;
use std::io::{self, Write};

impl Rendezvous<'_> {
    /// Whoever connected to this rank: a higher rank of the job is answered, a stranger is dropped.
    pub(super) fn hear_callers(&self, meeting: &mut Meeting) -> Result<(), RendezvousError> {
        for caller in std::mem::take(&mut meeting.callers) {
            if let Some(caller) = self.hear(meeting, caller)? {
                meeting.callers.push_back(caller);
            }
        }
        Ok(())
    }

    /// Gives the caller back if its hello is not complete.
    fn hear(
        &self,
        meeting: &mut Meeting,
        mut caller: Greeting,
    ) -> Result<Option<Greeting>, RendezvousError> {
        match caller.read() {
            Ok(None) => return Ok(Some(caller)),
            Ok(Some(bytes)) => self.answer(meeting, caller, &bytes)?,
            Err(_) => meeting.turn_away(caller),
        }
        Ok(None)
    }

    fn answer(
        &self,
        meeting: &mut Meeting,
        mut caller: Greeting,
        bytes: &[u8; HELLO_BYTES],
    ) -> Result<(), RendezvousError> {
        let checked = self.hello.check(bytes);
        let rank = Hello::speaker(bytes);
        let is_stranger = checked == Err(HelloError::Stranger);
        // With the key, but none that calls this rank: a hello that was said before, or to another.
        let is_misplaced = rank <= self.hello.from
            || rank.0 >= self.hello.nodes
            || meeting.met.contains_key(&rank)
            || Hello::addressee(bytes) != self.hello.from;
        if is_stranger || is_misplaced {
            meeting.turn_away(caller);
            return Ok(());
        }
        // A member that is set up differently is answered too: it must be able to say why as well.
        let answered = caller.stream.write_all(&Hello { to: rank, ..self.hello }.encode());
        checked.map_err(|source| RendezvousError::Refused { rank, source })?;
        match answered {
            Ok(()) => drop(meeting.met.insert(rank, caller.stream)),
            // It calls again, or its end is told by others.
            Err(_) => meeting.turn_away(caller),
        }
        Ok(())
    }

    /// Takes callers out of the kernel's queue. Where there is no room for one more, who has been silent for
    /// longest goes: a member says its hello at once, and calls again if it was taken for a stranger.
    pub(super) fn accept(&self, meeting: &mut Meeting) -> Result<(), RendezvousError> {
        for _ in 0..MAX_CALLERS {
            let (stream, address) = match self.listener.accept() {
                Ok(caller) => caller,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_callers_fault(&error) => continue,
                Err(error) if is_lack(&error) && !meeting.callers.is_empty() => {
                    meeting.drop_oldest();
                    continue;
                }
                Err(source) => return Err(system("accept")(source)),
            };
            stream.set_nonblocking(true).map_err(system("making a socket nonblocking"))?;
            if let Some(caller) = self.hear(meeting, Greeting::new(stream, address))? {
                meeting.callers.push_back(caller);
            }
            if meeting.callers.len() > MAX_CALLERS
                && let Some(oldest) = meeting.callers.pop_front()
                && let Some(oldest) = self.hear(meeting, oldest)?
            {
                meeting.turn_away(oldest);
            }
        }
        Ok(())
    }
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
