use super::Driver;
use crate::fatal::Fatal;
use dsm_core::{Access, Message, Output, PageId, Rank, Source};
use std::time::Instant;

/// What the messages that came together led to, put off so that many pages cost as many system calls as one.
///
/// Pages leave by `Protect` and `Send`, and come by `Install`, `Resume` and `Hold`. Outputs of one of those kinds
/// are put off while nothing else is asked for, and then carried out in order, but for what takes access away or
/// opens pages, which is done for all of them first: to the program that is the same as if its threads had been slower,
/// because the others are about other pages.
///
/// Invariant: what is put off is of one kind, and names a page once; it is carried out before any other output.
#[derive(Debug, Default)]
pub(super) struct Burst {
    is_on: bool,
    shrinks: Vec<(PageId, Access)>,
    sends: Vec<(Rank, Message)>,
    opens: Vec<(PageId, Access)>,
    holds: Vec<PageId>,
    /// Which pages are named by `shrinks`, perhaps, and by `sends`: of all that are alike in their last bits one
    /// bit. Neighbours differ, so it is seldom searched.
    shrink_marks: u64,
    send_marks: u64,
}

impl Burst {
    fn is_empty(&self) -> bool {
        self.shrinks.is_empty() && self.sends.is_empty() && self.opens.is_empty()
    }

    /// Whether a page's access is to shrink.
    fn shrinks(&self, page: PageId) -> bool {
        self.shrink_marks & mark(page) != 0 && self.shrinks.iter().any(|(other, _)| *other == page)
    }

    /// Whether a page is to be sent.
    fn sends(&self, page: PageId) -> bool {
        let is_of = |(_, message): &(Rank, Message)| message.attached_page() == Some(page);
        self.send_marks & mark(page) != 0 && self.sends.iter().any(is_of)
    }

    fn is_full(&self) -> bool {
        self.sends.len() >= SENDS || self.opens.len() >= OPENS
    }
}

impl Driver {
    /// Several messages may follow each other.
    pub(super) fn begin_burst(&mut self) {
        self.burst.is_on = true;
    }

    /// No more follow: does what was put off.
    pub(super) fn end_burst(&mut self) -> Result<(), Fatal> {
        self.burst.is_on = false;
        self.carry_out_burst()
    }

    /// Puts an output off, unless it cannot be: then what was put off is done and the output is to be.
    pub(super) fn put_off(&mut self, output: Output) -> Result<Option<Output>, Fatal> {
        if !self.burst.is_on {
            return Ok(Some(output));
        }
        match output {
            Output::Protect { page, access } if access < Access::Write => {
                let burst = &self.burst;
                if !burst.opens.is_empty() || burst.shrinks(page) || burst.sends(page) {
                    self.carry_out_burst()?;
                }
                self.burst.shrink_marks |= mark(page);
                self.burst.shrinks.push((page, access));
            }
            Output::Send { to, message, attach: Some(_) } => {
                let page = message.attached_page().expect("a page is attached");
                if !self.burst.opens.is_empty() || self.burst.sends(page) {
                    self.carry_out_burst()?;
                }
                self.burst.send_marks |= mark(page);
                self.burst.sends.push((to, message));
                if self.burst.is_full() {
                    self.carry_out_burst()?;
                }
            }
            Output::Hold { page } if self.burst.opens.last().is_some_and(|open| open.0 == page) => {
                self.burst.holds.push(page);
                if self.burst.is_full() {
                    self.carry_out_burst()?;
                }
            }
            output => {
                self.carry_out_burst()?;
                return Ok(Some(output));
            }
        }
        Ok(None)
    }

    /// The same for a page that is installed and whose threads go on; whether it was put off.
    pub(super) fn put_off_open(
        &mut self,
        page: PageId,
        access: Access,
        source: Source,
    ) -> Result<bool, Fatal> {
        let is_fit = self.burst.is_on && source == Source::ServiceView;
        // A page that is opened had no access, and loses it by a `Protect` alone, before which all are opened: it is
        // not among those.
        if !is_fit || self.burst.opens.is_empty() {
            self.carry_out_burst()?;
        }
        if is_fit {
            self.burst.opens.push((page, access));
        }
        Ok(is_fit)
    }

    fn carry_out_burst(&mut self) -> Result<(), Fatal> {
        if self.burst.is_empty() {
            return Ok(());
        }
        self.close_pages()?;
        self.send_pages()?;
        self.open_pages()
    }

    fn close_pages(&mut self) -> Result<(), Fatal> {
        let mut shrinks = std::mem::take(&mut self.burst.shrinks);
        let now = Instant::now();
        shrinks.retain(|&(page, access)| !self.streams.on_protect(page, access, now));
        if let Some(faults) = &self.faults {
            faults.protect_all(&mut shrinks)?;
        }
        shrinks.clear();
        self.burst.shrinks = shrinks;
        self.burst.shrink_marks = 0;
        Ok(())
    }

    fn send_pages(&mut self) -> Result<(), Fatal> {
        let mut sends = std::mem::take(&mut self.burst.sends);
        let is_single = sends.len() == 1;
        for (to, message) in sends.drain(..) {
            self.send(to, &message, if is_single { When::Now } else { When::Soon })?;
        }
        self.burst.sends = sends;
        self.burst.send_marks = 0;
        if is_single { Ok(()) } else { self.peers.flush_queued() }
    }

    fn open_pages(&mut self) -> Result<(), Fatal> {
        let mut opens = std::mem::take(&mut self.burst.opens);
        let mut holds = std::mem::take(&mut self.burst.holds).into_iter().peekable();
        let mut open = opens.clone();
        open.retain(|&(page, access)| !self.closes(page, access));
        if let Some(faults) = &self.faults {
            faults.install_and_resume_all(&mut open)?;
        }
        for (page, _) in opens.drain(..) {
            self.note_resume(page);
            if holds.next_if_eq(&page).is_some() {
                self.holds.start(page, std::mem::take(&mut self.resumed));
            }
        }
        self.burst.opens = opens;
        Ok(())
    }
}

fn mark(page: PageId) -> u64 {
    1 << (page.0 % u64::from(u64::BITS))
}

/// When a message with a page is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// At once, together with what is queued.
    Now,
    /// With others that follow.
    Soon,
}

/// Few enough that the other rank begins with the first while the last are copied.
const SENDS: usize = 32;
/// As many as one call reads from a connection.
const OPENS: usize = 64;
