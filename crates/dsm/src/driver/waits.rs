//! What the threads of this rank wait for, for people who ask the launcher.

use super::deeds::WORD_BYTES;
use super::{Driver, Look};
use crate::calls::Open;
use crate::fatal::Fatal;
use crate::locks;
use crate::supervisor::Heard;
use dsm_core::{Access, Answer, Ask, BarrierKind, Call, Input, ObjectId, Standing, Withheld};
use dsm_net::launch::{
    Awaited, Holder, Keeps, MAX_PAGES, MAX_WAITS, Occasion, Page, Question, Status, Wait, Waits,
};
use std::time::{Duration, Instant};

impl Driver {
    /// The launcher has said something, or is gone.
    pub(super) fn on_supervisor(&mut self) -> Result<(), Fatal> {
        let heard = self.supervisor.as_ref().map(|supervisor| supervisor.hear());
        match heard {
            Some(Heard::Gone) => Err(Fatal::LauncherGone),
            Some(Heard::Asked(questions)) => {
                questions.into_iter().try_for_each(|question| self.on_question(question))
            }
            Some(Heard::Nothing) | None => Ok(()),
        }
    }

    fn on_question(&mut self, question: Question) -> Result<(), Fatal> {
        match question {
            Question::Waits => self.tell_waits(),
            Question::Pages(addresses) => {
                let pages = addresses.into_iter().take(MAX_PAGES);
                let known = pages.filter_map(|address| self.known_of(address)).collect();
                self.tell(&Status::Pages(known));
                Ok(())
            }
            Question::TellLong { after_ms } => {
                self.watch.begin(Duration::from_millis(after_ms.into()), Instant::now());
                Ok(())
            }
            Question::Unheard => {
                self.unread.extend(self.peers.all_unread());
                self.look = Look::Asked;
                Ok(())
            }
        }
    }

    /// Somebody has sent this process SIGUSR1: its launcher knows the other ranks too; without one, what is
    /// known here must do.
    pub(super) fn on_inquiry(&self) {
        if let Some(inquiries) = self.inquiries {
            // How often is of no interest.
            let _ = rustix::io::read(inquiries, &mut [0; 8]);
        }
        match &self.supervisor {
            Some(supervisor) => supervisor.tell(&Status::Inquire(Occasion::Asked)),
            None => self.print_waits(),
        }
    }

    /// A look whether threads have waited for long is due, or not yet.
    pub(super) fn look_at_waits(&mut self) {
        let now = Instant::now();
        if !self.watch.is_due(now) {
            return;
        }
        let pages = self.waits.values().map(|wait| wait.since);
        let calls = self.calls.open().into_iter().filter(|open| awaits(open.call));
        let locks = self.locks.waits().into_iter().map(|wait| wait.since);
        let waits = pages.chain(calls.map(|open| open.since)).chain(locks);
        if self.watch.look(waits, now) {
            self.tell(&Status::Inquire(Occasion::LongWait));
        }
    }

    /// What this rank knows about who is in the way of those that wait for a page.
    fn known_of(&self, address: u64) -> Option<Page> {
        let page = self.region.page_of(usize::try_from(address).ok()?)?;
        let Standing { owner, awaited, withheld } = self.engine.standing(page);
        let keeps = withheld.map(|withheld| match withheld {
            Withheld::UntilItComes => Keeps::UntilItComes,
            Withheld::InUse => Keeps::InUse,
        });
        let owner = owner.map(|owner| owner.0);
        let awaited = awaited.into_iter().take(MAX_WAITS).map(|rank| rank.0).collect();
        (owner.is_some() || keeps.is_some()).then_some(Page { address, owner, awaited, keeps })
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

    /// For who has no launcher that would tell.
    fn print_waits(&self) {
        let now = Instant::now();
        let mut waits = self.page_waits(now);
        waits.extend(self.calls.open().into_iter().filter_map(|open| self.call_wait(&open, now)));
        self.lock_waits(now, &mut waits);
        let Waits { waits, more } = Waits::longest(waits);
        let own = format!("dsm: rank {} pid {}", self.rank, std::process::id());
        let mut lines: Vec<_> =
            waits.iter().map(|wait| format!("{own} {}\n", told(wait))).collect();
        if lines.is_empty() {
            lines.push(format!("{own}: no thread waits for dsm\n"));
        }
        if more > 0 {
            lines.push(format!("{own}: and {more} more threads wait\n"));
        }
        // One write: the program's threads may have standard error locked; it may be closed.
        let _ = rustix::io::write(rustix::stdio::stderr(), lines.concat().as_bytes());
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
            _ => return None,
        };
        Some(Wait { thread: open.thread, ms: ms_since(open.since, now), awaited })
    }

    /// Adds who waits for locks; gives those, each once, that no thread here is known to have.
    fn lock_waits(&self, now: Instant, waits: &mut Vec<Wait>) -> Vec<ObjectId> {
        let mut elsewhere = Vec::new();
        for locks::Wait { object, thread, since } in self.locks.waits() {
            let holder = self.locks.try_inspect(object, Access::Write).flatten();
            if holder.is_none() && elsewhere.len() < MAX_WAITS {
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

/// Whether a thread that asks for this waits for it; one that asks who has a lock waits for the lock.
fn awaits(call: Call) -> bool {
    matches!(call, Call::Barrier(_) | Call::Ask { .. })
}

/// As `thread 7 has waited 12.3 s for dsm_barrier`.
fn told(Wait { thread, ms, awaited }: &Wait) -> String {
    let what = match *awaited {
        Awaited::Page { address, home: None } => format!("page {address:#x}"),
        Awaited::Page { address, home: Some(home) } => {
            format!("page {address:#x}, whose home is rank {home}")
        }
        Awaited::Lock { address, holder: Some(Holder { rank, thread, .. }) } => {
            format!("lock {address:#x}, which rank {rank} thread {thread} has")
        }
        Awaited::Lock { address, holder: None } => format!("lock {address:#x}"),
        Awaited::Condition { address } => format!("condition variable {address:#x}"),
        Awaited::Semaphore { address } => format!("semaphore {address:#x}"),
        Awaited::BarrierOf { address, count } => format!("barrier {address:#x} of {count} threads"),
        Awaited::Barrier => "dsm_barrier".to_owned(),
        Awaited::Finalize => "dsm_finalize".to_owned(),
        Awaited::Answer { of } => format!("an answer of rank {of}"),
    };
    let seconds = Duration::from_millis(*ms).as_secs_f64();
    format!("thread {thread} has waited {seconds:.1} s for {what}")
}

fn ms_since(since: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}
