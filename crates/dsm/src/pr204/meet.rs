use crate::launch::Found;
use dsm_core::Rank;
use dsm_core::pr204::Profile;
use dsm_net::rendezvous::RendezvousError;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Meets all other ranks as the profile has it: in seed8 the higher one connects and says nothing, in
/// bcast the lower one connects and says its rank. `remind` is told once who is missing after a while.
///
/// A rank may not listen yet, so a connection that is refused is tried again until the time is up.
///
/// # Errors
/// The first thing that keeps the ranks from meeting.
pub(crate) fn meet(
    profile: Profile,
    found: &Found,
    (remind_after, give_up_after): (Duration, Duration),
    mut remind: impl FnMut(&[Rank]),
) -> Result<BTreeMap<Rank, TcpStream>, RendezvousError> {
    found.listener.set_nonblocking(true).map_err(system("making the listener nonblocking"))?;
    let mut meeting = Meeting::new(profile, found);
    let begun = Instant::now();
    let (mut reminder, give_up) = (Some(begun + remind_after), begun + give_up_after);
    loop {
        meeting.call_those_due()?;
        let missing = meeting.missing();
        let Some(&first) = missing.first() else { return Ok(meeting.met) };
        let now = Instant::now();
        if now >= give_up {
            let waited_s = give_up_after.as_secs();
            return Err(RendezvousError::Missing { missing: first, waited_s });
        }
        if reminder.is_some_and(|at| now >= at) {
            reminder = None;
            remind(&missing);
        }
        meeting.callers.retain(|caller| now < caller.until);
        let next = meeting.callers.iter().map(|caller| caller.until).chain(reminder);
        let next = next.chain((!meeting.to_call.is_empty()).then_some(meeting.next_call));
        let wake = next.fold(give_up, Instant::min);
        meeting.wait(wake.saturating_duration_since(now))?;
    }
}

struct Meeting<'a> {
    profile: Profile,
    found: &'a Found,
    met: BTreeMap<Rank, TcpStream>,
    /// Who is to be connected to.
    to_call: BTreeSet<Rank>,
    next_call: Instant,
    pause: Duration,
    /// Who connected and did not say its rank yet.
    callers: Vec<Caller>,
}

struct Caller {
    stream: TcpStream,
    said: Vec<u8>,
    until: Instant,
}

impl<'a> Meeting<'a> {
    fn new(profile: Profile, found: &'a Found) -> Self {
        let me = found.rank;
        let nodes = u16::try_from(found.nodes.len()).expect("the number of nodes was checked");
        let calls = |rank: &Rank| match profile {
            Profile::Seed8 => *rank < me,
            Profile::Bcast => *rank > me,
        };
        Self {
            profile,
            found,
            met: BTreeMap::new(),
            to_call: (0..nodes).map(Rank).filter(calls).collect(),
            next_call: Instant::now(),
            pause: FIRST_PAUSE,
            callers: Vec::new(),
        }
    }

    fn missing(&self) -> Vec<Rank> {
        let ranks = (0..).map(Rank).take(self.found.nodes.len());
        ranks.filter(|rank| *rank != self.found.rank && !self.met.contains_key(rank)).collect()
    }

    fn call_those_due(&mut self) -> Result<(), RendezvousError> {
        if Instant::now() < self.next_call {
            return Ok(());
        }
        for rank in self.to_call.clone() {
            let address = self.found.nodes[usize::from(rank.0)].address;
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
                .and_then(|it| self.greet(it))
            {
                Ok(stream) => {
                    self.to_call.remove(&rank);
                    self.met.insert(rank, stream);
                }
                Err(error) if may_listen_later(&error) => (),
                Err(source) => return Err(RendezvousError::Connect { rank, address, source }),
            }
        }
        self.next_call = Instant::now() + self.pause;
        self.pause = LAST_PAUSE.min(self.pause * 2);
        Ok(())
    }

    fn greet(&self, mut stream: TcpStream) -> io::Result<TcpStream> {
        if self.profile == Profile::Bcast {
            stream.write_all(&i32::from(self.found.rank.0).to_le_bytes())?;
        }
        Ok(stream)
    }

    fn wait(&mut self, timeout: Duration) -> Result<(), RendezvousError> {
        let mut fds = Vec::new();
        let supervisor = self.found.supervisor.as_ref();
        fds.extend(supervisor.map(|it| PollFd::from_borrowed_fd(it.as_fd(), PollFlags::IN)));
        if self.callers.len() < MAX_CALLERS {
            fds.push(PollFd::new(&self.found.listener, PollFlags::IN));
        }
        fds.extend(self.callers.iter().map(|it| PollFd::new(&it.stream, PollFlags::IN)));
        let timeout = Timespec::try_from(timeout).expect("rendezvous times are within range");
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(source) => return Err(system("poll")(source.into())),
        }
        if supervisor.is_some() && !fds[0].revents().is_empty() {
            return Err(RendezvousError::Ended);
        }
        drop(fds);
        self.accept(&self.found.listener)?;
        self.hear_callers();
        Ok(())
    }

    fn accept(&mut self, listener: &TcpListener) -> Result<(), RendezvousError> {
        while self.callers.len() < MAX_CALLERS {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if is_passing(&error) => return Ok(()),
                Err(source) => return Err(system("accept")(source)),
            };
            match self.profile {
                // The only other rank; whoever comes after it is a stranger.
                Profile::Seed8 => {
                    if self.found.rank == Rank(0) && !self.met.contains_key(&Rank(1)) {
                        self.met.insert(Rank(1), stream);
                    }
                }
                Profile::Bcast => {
                    stream.set_nonblocking(true).map_err(system("making a socket nonblocking"))?;
                    let until = Instant::now() + GREETING_TIMEOUT;
                    self.callers.push(Caller { stream, said: Vec::new(), until });
                }
            }
        }
        Ok(())
    }

    /// Who says no rank that can be is a stranger, and is not answered.
    fn hear_callers(&mut self) {
        for mut caller in std::mem::take(&mut self.callers) {
            let Ok(said) = caller.hear() else { continue };
            match said {
                None => self.callers.push(caller),
                Some(rank) => {
                    let rank = u16::try_from(rank).map(Rank).ok();
                    let rank = rank.filter(|rank| *rank < self.found.rank);
                    if let Some(rank) = rank.filter(|rank| !self.met.contains_key(rank)) {
                        self.met.insert(rank, caller.stream);
                    }
                }
            }
        }
    }
}

impl Caller {
    /// The rank it says, if it has said it.
    fn hear(&mut self) -> io::Result<Option<i32>> {
        let mut bytes = [0; 4];
        let wanted = &mut bytes[self.said.len()..];
        match self.stream.read(wanted) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.said.extend_from_slice(&wanted[..count]),
            Err(error) if is_passing(&error) => (),
            Err(error) => return Err(error),
        }
        Ok(self.said.first_chunk().map(|bytes| i32::from_le_bytes(*bytes)))
    }
}

/// Whether a rank that cannot be reached may be reached later.
fn may_listen_later(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    let kind = error.kind();
    matches!(kind, ConnectionRefused | ConnectionReset | TimedOut | WouldBlock | Interrupted)
}

/// Whether to look again later, as for connections that were given up before they were accepted.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted)
}

fn system(operation: &'static str) -> impl FnOnce(io::Error) -> RendezvousError {
    move |source| RendezvousError::System { operation, source }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(200);
/// How long who connected may take to say its rank.
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);
/// Who connected and did not say its rank yet.
const MAX_CALLERS: usize = 32;
