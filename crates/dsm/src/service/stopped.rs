//! Threads that lead while they are stopped on a page.
//!
//! With faults caught by SIGSEGV the thread waits in a signal handler, where it can run the driver as one that waits in a
//! call does: no other thread is woken for it, and none has to wake it. The handler may have interrupted
//! anything, so this waits for nothing that the interrupted code may have: the driver and what it takes are held with
//! signals blocked and without touching shared memory. It takes no thread-local variable, which in a library
//! loaded late would be allocated at its first use.

use super::{AT_ONCE, EVENTS_AT_ONCE, Service, Waits};
use crate::driver::Driver;
use dsm_mem::StoppedThread;
use rustix::event::Timespec;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Service {
    /// Has threads that are stopped serve themselves, where that can be.
    pub(super) fn let_stopped_lead(self: &Arc<Self>) {
        let service = Arc::downgrade(self);
        if let Some(driver) = &*self.driver() {
            driver.let_stopped_serve(Box::new(move |stopped| {
                service.upgrade().is_some_and(|service| service.serve_stopped(stopped))
            }));
        }
    }

    /// Leads until the page of this thread is here, for a short time at most: the thread takes no signals meanwhile.
    /// `false` if others run the driver or wait for its events; it does not know of the fault then.
    fn serve_stopped(&self, stopped: &StoppedThread) -> bool {
        let Ok(mut driver) = self.driver.try_lock() else { return false };
        if driver.as_ref().is_none_or(Driver::is_complete) || !self.begin_to_lead() {
            return false;
        }
        self.guarded(&mut driver, |driver| driver.take_stopped(stopped));
        let is_complete = driver.as_ref().is_none_or(Driver::is_complete);
        drop(driver);
        let is_complete = is_complete || self.lead_stopped(stopped);
        self.end_to_lead();
        if is_complete {
            // The driver's thread has to end it.
            self.calls.wake_driver();
        }
        true
    }

    /// Whether the job is over.
    fn lead_stopped(&self, stopped: &StoppedThread) -> bool {
        let until = Instant::now() + AT_MOST;
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            self.calls.expect_resumed(Some(stopped.thread()));
            let left = until.saturating_duration_since(Instant::now());
            if stopped.is_resumed() || left.is_zero() {
                self.calls.expect_resumed(None);
                return false;
            }
            if !self.spin(&mut events, Waits::Leader) {
                let left = Timespec::try_from(left).unwrap_or(AT_ONCE);
                self.sleep(&self.epoll, &mut events, Some(&left));
            }
            self.calls.expect_resumed(None);
            if events.is_empty() {
                continue;
            }
            let mut driver = self.driver();
            self.guarded(&mut driver, |driver| driver.take(events.drain(..)));
            if driver.as_ref().is_none_or(Driver::is_complete) {
                return true;
            }
        }
    }
}

/// Longer than a page takes on a local network, and shorter than anybody notices who sends SIGINT.
const AT_MOST: Duration = Duration::from_millis(5);
