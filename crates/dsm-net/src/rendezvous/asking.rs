//! Lower ranks are connected to.

use super::attempt::{Again, Attempt, MAX_PAUSE};
use super::greeting::Greeting;
use super::meeting::Meeting;
use super::{Notice, Rendezvous, RendezvousError};
use dsm_core::Rank;
use dsm_core::wire::{HELLO_BYTES, Hello, HelloError};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

impl Rendezvous<'_> {
    /// Connects to the lower ranks whose time has come.
    pub(super) fn ask(
        &self,
        meeting: &mut Meeting,
        tell: &mut impl FnMut(Notice<'_>),
    ) -> Result<(), RendezvousError> {
        let now = Instant::now();
        let due = meeting.to_ask.extract_if(.., |_, attempt| attempt.at <= now);
        for (rank, attempt) in due.collect::<Vec<_>>() {
            match self.connect(rank) {
                Ok(stream) => {
                    let greeting = Greeting::new(stream, self.address(rank));
                    meeting.asked.insert(rank, (greeting, attempt));
                    meeting.silent.remove(&rank);
                }
                Err(RendezvousError::Connect { rank, address, source }) => {
                    let next = match Attempt::after(&source, self.refusals) {
                        Again::Soon if attempt.pause < MAX_PAUSE => attempt.next(),
                        Again::Later => attempt.next(),
                        Again::AtOnce => {
                            let tries = meeting.silent.entry(rank).or_default();
                            *tries += 1;
                            if *tries == TRIES_UNTOLD {
                                tell(Notice::Silent { rank, address });
                            }
                            Attempt { at: Instant::now(), ..attempt }
                        }
                        Again::Soon | Again::Never => {
                            return Err(RendezvousError::Connect { rank, address, source });
                        }
                    };
                    meeting.to_ask.insert(rank, next);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn connect(&self, rank: Rank) -> Result<TcpStream, RendezvousError> {
        let address = self.address(rank);
        let connect = || {
            let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
            stream.set_nodelay(true)?;
            stream.write_all(&Hello { to: rank, ..self.hello }.encode())?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        connect().map_err(|source| RendezvousError::Connect { rank, address, source })
    }

    pub(super) fn hear_answers(&self, meeting: &mut Meeting) -> Result<(), RendezvousError> {
        let ranks: Vec<Rank> = meeting.asked.keys().copied().collect();
        for rank in ranks {
            let Some((greeting, attempt)) = meeting.asked.get_mut(&rank) else { continue };
            let (address, attempt, filled) = (greeting.address, *attempt, greeting.filled);
            match greeting.read() {
                Ok(None) => (),
                Ok(Some(bytes)) => {
                    self.check(&bytes, rank)?;
                    let (greeting, _) =
                        meeting.asked.remove(&rank).expect("the greeting just read");
                    meeting.met.insert(rank, greeting.stream);
                }
                // Strangers may have pushed it out.
                Err(_) if filled == 0 && attempt.pause < MAX_PAUSE => {
                    meeting.asked.remove(&rank);
                    meeting.to_ask.insert(rank, attempt.next());
                }
                Err(source) => return Err(RendezvousError::Lost { rank, address, source }),
            }
        }
        Ok(())
    }

    fn check(&self, bytes: &[u8; HELLO_BYTES], rank: Rank) -> Result<(), RendezvousError> {
        let refused = |source| RendezvousError::Refused { rank, source };
        let theirs = self.hello.check(bytes).map_err(refused)?;
        if theirs.from == rank {
            return Ok(());
        }
        let (ours, theirs) = (rank.0.into(), theirs.from.0.into());
        Err(refused(HelloError::Differs { what: "own rank", ours, theirs }))
    }
}

/// Then the next attempt; others can be heard between two.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// So many attempts are made before anything is said of it.
const TRIES_UNTOLD: u32 = 5;
