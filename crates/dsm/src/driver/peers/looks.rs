use super::super::pulse::{Beat, Seen};
use super::{Break, Peers};
use crate::fatal::Fatal;
use dsm_core::Rank;
use dsm_mem::bytes_acknowledged;
use dsm_net::launch::{MAX_NAMED, Status, Unheard};
use std::time::{Duration, Instant};

/// When to look whether peers are silent. Only while one of them is not known to have what it was sent.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// Something was said since the last look.
    pub(super) is_wanted: bool,
    last: Option<Instant>,
}

impl Looks {
    fn next(&self) -> Option<Instant> {
        self.last.map(|last| last + LOOK)
    }
}

impl Peers {
    /// When [`look`](Self::look) is due, if it is to be called at all.
    pub(in crate::driver) fn next_look(&mut self) -> Option<Instant> {
        if self.looks.is_wanted && self.looks.last.is_none() && self.supervisor.is_some() {
            self.looks.last = Some(Instant::now());
        }
        self.looks.next()
    }

    /// Looks whether peers are silent, if that is due. What has come from them was read before.
    pub(in crate::driver) fn look(&mut self) -> Result<(), Fatal> {
        let now = Instant::now();
        if self.looks.next().is_some_and(|at| at <= now) && self.look_at(now)? {
            self.tell_unheard();
        }
        Ok(())
    }

    /// Tells the launcher which peers do not answer.
    pub(in crate::driver) fn answer_unheard(&mut self) -> Result<(), Fatal> {
        self.look_at(Instant::now())?;
        self.tell_unheard();
        Ok(())
    }

    /// Has what has come from anybody read.
    pub(in crate::driver) fn all_unread(&mut self) -> Vec<Rank> {
        self.links.values_mut().for_each(|link| link.connection.on_readable());
        self.links.keys().copied().collect()
    }

    /// Whether there is one more that does not answer.
    fn look_at(&mut self, now: Instant) -> Result<bool, Fatal> {
        // A process that was stopped, or had no processor, has not listened.
        let passed = self.looks.last.map_or(Duration::ZERO, |last| now - last).min(2 * LOOK);
        let (mut is_more, mut is_over, mut pinged) = (false, true, Vec::new());
        for (rank, link) in &mut self.links {
            let connection = &mut link.connection;
            if connection.is_lost() {
                link.pulse.on_lost();
                is_over = false;
                continue;
            }
            let seen = Seen {
                received: connection.received(),
                acknowledged: connection.socket().map_or(0, bytes_acknowledged),
                said: connection.said(),
                is_answered: connection.is_answered(),
            };
            match link.pulse.look(seen, passed) {
                Beat::Rests => continue,
                Beat::Waits => (),
                Beat::Ping => {
                    connection.ping();
                    pinged.push(*rank);
                }
                Beat::Unheard => is_more = true,
            }
            is_over = false;
        }
        self.looks.is_wanted = false;
        self.looks.last = (!is_over).then_some(now);
        self.queued.extend(pinged);
        Ok(is_more)
    }

    fn tell_unheard(&self) {
        let unheard = self.links.iter().filter_map(|(rank, link)| {
            let silent_ms = u32::try_from(link.pulse.unheard()?.as_millis()).unwrap_or(u32::MAX);
            Some(Unheard { rank: rank.0, silent_ms })
        });
        let unheard = unheard.take(MAX_NAMED).collect();
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(&Status::Unheard(unheard));
        }
    }

    /// Answers a peer that has asked whether this rank is there.
    pub(super) fn answer(&mut self, rank: Rank) -> Result<(), Fatal> {
        let Some(link) = self.links.get_mut(&rank) else { return Ok(()) };
        match link.connection.answer() {
            Ok(true) => drop(self.queued.insert(rank)),
            Ok(false) => (),
            Err(error) => self.on_break(rank, Break::Error(error))?,
        }
        Ok(())
    }
}

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
