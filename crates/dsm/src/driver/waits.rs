//! What the threads of this rank wait for, for people who ask the launcher.

use super::{Driver, WORD_BYTES};
use crate::calls::Open;
use crate::fatal::Fatal;
use crate::locks;
use crate::supervisor::Heard;
use dsm_core::{Access, Answer, Ask, BarrierKind, Call, Input, ObjectId};
use dsm_net::launch::{Awaited, Holder, Status, Wait, Waits};
use std::time::Instant;

impl Driver {
    /// The launcher has said something, or is gone.
    pub(super) fn on_supervisor(&mut self) -> Result<(), Fatal> {
        let heard = self.supervisor.as_ref().map(|supervisor| supervisor.hear());
        match heard {
            Some(Heard::Gone) => Err(Fatal::LauncherGone),
            Some(Heard::WaitsAsked) => self.tell_waits(),
            Some(Heard::Nothing) | None => Ok(()),
        }
    }

    /// Tells what is known here, and asks the other ranks who has the locks.
    fn tell_waits(&mut self) -> Result<(), Fatal> {
        let now = Instant::now();
        let mut waits = self.page_waits(now);
        let open = self.calls.open();
        waits.extend(open.into_iter().filter_map(|open| self.call_wait(&open, now)));
        let held_elsewhere = self.lock_waits(now, &mut waits);
        self.tell(&Status::Waits(Waits::longest(waits)));
        if self.space.nodes == 1 {
            return Ok(());
        }
        for object in held_elsewhere {
            if self.probes.values().any(|asked| *asked == object) {
                // Whoever answers that will do for this.
                continue;
            }
            let id = self.calls.next_id();
            self.probes.insert(id, object);
            let call = Call::Probe { object, access: Access::Write };
            self.handle(Input::Call { id, call })?;
        }
        Ok(())
    }

    /// The answer to a probe of this driver.
    pub(super) fn tell_holder(&self, object: ObjectId, answer: Answer) {
        let holder = match answer {
            Answer::Held { rank, thread, waits_for } => Some(Holder {
                rank: rank.0,
                thread,
                waits_for: waits_for.map(|object| self.address_of(object)),
            }),
            _ => None,
        };
        self.tell(&Status::Held { address: self.address_of(object), holder });
    }

    fn page_waits(&self, now: Instant) -> Vec<Wait> {
        let waits = self.waits.iter().flat_map(|(page, wait)| {
            let address = self.address_of(self.space.first_object(*page));
            let home = self.engine.home(*page).map(|home| home.0);
            let ms = ms_since(wait.since, now);
            let awaited = Awaited::Page { address, home };
            wait.threads.iter().map(move |thread| Wait { thread: thread.0, ms, awaited })
        });
        waits.collect()
    }

    fn call_wait(&self, open: &Open, now: Instant) -> Option<Wait> {
        let awaited = match open.call {
            Call::Barrier(BarrierKind::Program) => Awaited::Barrier,
            Call::Barrier(BarrierKind::Finalize) => Awaited::Finalize,
            Call::Ask { object, ask } => {
                let address = self.address_of(object);
                match ask {
                    Ask::CondWait => Awaited::Condition { address },
                    Ask::SemaphoreWait => Awaited::Semaphore { address },
                    Ask::BarrierWait { count } => Awaited::BarrierOf { address, count },
                    _ => Awaited::Answer { of: self.space.home_of(object).0 },
                }
            }
            // A thread that asks who has a lock waits for the lock.
            _ => return None,
        };
        Some(Wait { thread: open.thread, ms: ms_since(open.since, now), awaited })
    }

    /// Adds who waits for locks; gives those, each once, that no thread here is known to have.
    fn lock_waits(&self, now: Instant, waits: &mut Vec<Wait>) -> Vec<ObjectId> {
        let mut elsewhere = Vec::new();
        for locks::Wait { object, thread, since } in self.locks.waits() {
            let holder = self.locks.try_inspect(object, Access::Write).flatten();
            if holder.is_none() && elsewhere.len() < dsm_net::launch::MAX_WAITS {
                elsewhere.push(object);
            }
            let holder = holder.map(|locks::Holder { thread, waits_for }| Holder {
                rank: self.rank.0,
                thread,
                waits_for: waits_for.map(|object| self.address_of(object)),
            });
            let awaited = Awaited::Lock { address: self.address_of(object), holder };
            waits.push(Wait { thread, ms: ms_since(since, now), awaited });
        }
        elsewhere.sort_unstable();
        elsewhere.dedup();
        elsewhere
    }

    fn tell(&self, status: &Status) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(status);
        }
    }

    fn address_of(&self, object: ObjectId) -> u64 {
        self.region.base() as u64 + object.0 * WORD_BYTES as u64
    }
}

fn ms_since(since: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}
