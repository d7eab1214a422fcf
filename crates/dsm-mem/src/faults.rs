use crate::fence::Fence;
use crate::region::{Region, RegionError};
use crate::rights::Rights;
use crate::sigsegv::Sigsegv;
use crate::stopped::{self, ServeStopped, StoppedThread};
use crate::uffd::Uffd;
use crate::userfault::{Right, Stopped};
use dsm_core::{Access, PageId};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;

/// Which mechanism serves faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// userfaultfd where the kernel permits it, else SIGSEGV.
    #[default]
    Auto,
    /// userfaultfd or nothing.
    Uffd,
    /// mprotect and a SIGSEGV handler.
    Sigsegv,
}

/// A thread of this process is stopped on a page until [`Faults::resume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The page.
    pub page: PageId,
    /// What the thread needs: [`Access::Read`] or [`Access::Write`].
    pub access: Access,
    /// The thread.
    pub thread: ThreadId,
}

/// The kernel's number of a thread of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadId(pub u32);

/// Serves the faults of a region's application view, on behalf of one driver thread.
///
/// A page is open to the process's threads with exactly the access that the driver last gave it; it
/// never shows content that was not complete when it was opened. A process has at most one.
#[derive(Debug)]
pub struct Faults {
    pub(crate) inner: Inner,
    pub(crate) rights: Rights,
    pub(crate) fence: Fence,
    region: Arc<Region>,
    /// Why `Choice::Auto` did not take userfaultfd.
    refused: Option<String>,
    _turn: Turn,
}

#[derive(Debug)]
pub(crate) enum Inner {
    Uffd(Uffd),
    Sigsegv(Sigsegv),
}

/// Why faults cannot be served.
#[derive(Debug, Error)]
pub enum FaultsError {
    /// Another [`Faults`] lives in this process.
    #[error("cannot serve faults: this process already serves those of another region")]
    Busy,
    /// There is no way to make the stores of other threads visible.
    #[error("cannot serve faults: this kernel has no membarrier(2), which this processor needs")]
    NoFence,
    /// No memory for the table of rights.
    #[error("cannot map a table of {pages} bytes for the rights of the region's pages: {source}")]
    Table {
        /// Pages of the region.
        pages: u64,
        /// The kernel's reason.
        source: io::Error,
    },
    /// No way to open a userfaultfd.
    #[error("cannot open a userfaultfd ({refusals})")]
    Open {
        /// Each way with the kernel's reason.
        refusals: String,
    },
    /// The kernel's userfaultfd is too old.
    #[error("cannot enable userfaultfd, which lacks {missing}: {source}")]
    Features {
        /// The missing features.
        missing: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel refuses to watch the region.
    #[error("cannot register the region with userfaultfd: {source}")]
    Register {
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel cannot map a page read-only in one step.
    #[error("cannot install read-only pages with userfaultfd (needs Linux 6.4): {source}")]
    ReadOnlyInstall {
        /// The kernel's reason.
        source: io::Error,
    },
    /// No scratch region to try the kernel on.
    #[error("cannot try userfaultfd: {source}")]
    Scratch {
        /// Why not.
        source: RegionError,
    },
    /// No pipe from the signal handler to the driver.
    #[error("cannot make a pipe for faults: {source}")]
    Pipe {
        /// The kernel's reason.
        source: io::Error,
    },
    /// The handler of SIGSEGV cannot be set.
    #[error("cannot set a handler for SIGSEGV: {source}")]
    Handler {
        /// The kernel's reason.
        source: io::Error,
    },
    /// The whole region cannot be closed or opened.
    #[error("cannot take away access to the region of {bytes} bytes: {source}")]
    Close {
        /// Bytes of the region.
        bytes: usize,
        /// The kernel's reason.
        source: io::Error,
    },
    /// No thread to watch the driver.
    #[error("cannot start a thread that watches the driver: {source}")]
    Sentry {
        /// The kernel's reason.
        source: io::Error,
    },
    /// Faults cannot be read.
    #[error("cannot read faults: {source}")]
    Read {
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel sent an event that nothing asked for.
    #[error("userfaultfd sent event {number:#x}, which was not asked for")]
    Event {
        /// Its number.
        number: u8,
    },
    /// A page cannot be opened, changed or closed.
    #[error("cannot give page {page} {access:?} access: {source}")]
    Change {
        /// The page.
        page: PageId,
        /// The access it was to have.
        access: Access,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The region is split into more mappings than the kernel allows.
    #[error(
        "cannot give page {page} {access:?} access: the process is at the limit of {limit} mappings, and neighbouring pages of unlike access are one each (sysctl vm.max_map_count={enough} is enough for the whole area; or use userfaultfd)"
    )]
    MapCount {
        /// The page.
        page: PageId,
        /// The access it was to have.
        access: Access,
        /// vm.max_map_count.
        limit: u64,
        /// What it would have to be if every page of the area were a mapping.
        enough: u64,
    },
    /// The threads stopped on a page cannot be woken.
    #[error("cannot resume the threads stopped on page {page}: {source}")]
    Resume {
        /// The page.
        page: PageId,
        /// The kernel's reason.
        source: io::Error,
    },
}

/// A word that names no mechanism.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown fault mechanism {0:?}: expected auto, uffd or sigsegv")]
pub struct UnknownChoice(String);

impl Faults {
    /// Starts to serve the faults of a region. From here on every page is missing.
    ///
    /// # Errors
    /// If the mechanism cannot be had, or the process has a [`Faults`] already.
    ///
    /// # Panics
    /// If the region has one view, whose faults nobody could serve.
    pub fn start(region: Arc<Region>, choice: Choice) -> Result<Self, FaultsError> {
        assert!(region.has_two_views(), "faults are served behind the program's view");
        let turn = Turn::take()?;
        let fence = Fence::prepare().ok_or(FaultsError::NoFence)?;
        let pages = region.pages();
        let rights = Rights::new(pages)
            .map_err(|errno| FaultsError::Table { pages, source: errno.into() })?;
        let (inner, refused) = Inner::start(&region, choice)?;
        Ok(Self { inner, rights, fence, region, refused, _turn: turn })
    }

    /// Says that the calling thread is the driver.
    ///
    /// From here on a fault of it, which nobody could serve, ends the process with a message; at once,
    /// or with userfaultfd within about two seconds. Signals that no instruction raises are blocked on
    /// this thread, because the program's handlers may touch shared memory. Where the kernel can (Linux
    /// 6.12), a thread of the program that computes does not delay it by more than a fraction of a millisecond.
    pub fn adopt_driver_thread(&self) {
        crate::signals::block_asynchronous();
        // Without it everything works, later.
        let _ = crate::scheduling::prefer_short_turns();
        match &self.inner {
            Inner::Uffd(uffd) => uffd.adopt_driver_thread(),
            Inner::Sigsegv(sigsegv) => sigsegv.adopt_driver_thread(),
        }
    }

    /// Readable when faults wait.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.inner {
            Inner::Uffd(uffd) => uffd.fd(),
            Inner::Sigsegv(sigsegv) => sigsegv.fd(),
        }
    }

    /// Appends the faults that wait, without waiting. A page may come several times.
    ///
    /// # Errors
    /// If the kernel refuses; nothing is lost.
    pub fn read(&mut self, into: &mut Vec<Fault>) -> Result<(), FaultsError> {
        let first = into.len();
        match &self.inner {
            Inner::Uffd(uffd) => uffd.read(into)?,
            Inner::Sigsegv(sigsegv) => sigsegv.read(&self.rights, into)?,
        }
        let mut kept = first;
        for at in first..into.len() {
            let fault = into[at];
            if self.rights.of(fault.page) < fault.access {
                into[kept] = fault;
                kept += 1;
            } else {
                self.settle(fault.page)?;
            }
        }
        into.truncate(kept);
        Ok(())
    }

    /// Has a thread that is stopped by SIGSEGV call this before the driver is told of its fault: it may serve itself.
    /// With userfaultfd it is never called.
    ///
    /// It runs in a signal handler that interrupted anything but what serves faults, on a stack of its own, on one thread
    /// at a time, with all signals blocked that no instruction raises. It must not touch shared memory or panic,
    /// nor wait for what another thread does with one of those signals unblocked. It takes the fault with
    /// [`take`](Self::take), if it does.
    pub fn let_stopped_serve(&self, serve: Box<ServeStopped>) {
        match &self.inner {
            Inner::Uffd(_) => (),
            Inner::Sigsegv(_) => stopped::begin(serve),
        }
    }

    /// The fault of a thread that serves itself; `None` if it may go on, because the page has the access.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn take(&self, stopped: &StoppedThread) -> Result<Option<Fault>, FaultsError> {
        let fault = match &self.inner {
            Inner::Uffd(_) => None,
            Inner::Sigsegv(sigsegv) => sigsegv.fault(stopped.posted, &self.rights),
        };
        match fault {
            Some(fault) if self.rights.of(fault.page) >= fault.access => {
                self.settle(fault.page)?;
                Ok(None)
            }
            fault => Ok(fault),
        }
    }

    /// Answers a fault for access that the page has: the fault was older than the access, or the
    /// kernel reclaimed the page-table entry of an open page.
    fn settle(&self, page: PageId) -> Result<(), FaultsError> {
        match &self.inner {
            Inner::Uffd(_) => self.open(page, self.rights.of(page), Stopped::GoOn),
            Inner::Sigsegv(_) => self.resume(page),
        }
    }

    /// Opens a page whose content in the service view is complete, atomically for the threads of this
    /// process. Threads stopped on it stay so until [`Faults::resume`].
    ///
    /// # Errors
    /// If the kernel refuses.
    ///
    /// # Panics
    /// If `access` is [`Access::None`] or the page is not in the region.
    pub fn install(&self, page: PageId, access: Access) -> Result<(), FaultsError> {
        self.open(page, access, Stopped::StaySo)?;
        self.rights.set(page, access);
        Ok(())
    }

    /// [`install`](Self::install) and [`resume`](Self::resume), with one system call where that can be.
    ///
    /// # Errors
    /// If the kernel refuses.
    ///
    /// # Panics
    /// If `access` is [`Access::None`] or the page is not in the region.
    pub fn install_and_resume(&self, page: PageId, access: Access) -> Result<(), FaultsError> {
        self.open(page, access, Stopped::GoOn)?;
        self.rights.set(page, access);
        match &self.inner {
            Inner::Uffd(_) => Ok(()),
            Inner::Sigsegv(_) => self.resume(page),
        }
    }

    fn open(&self, page: PageId, access: Access, stopped: Stopped) -> Result<(), FaultsError> {
        let right = right(access).expect("a page is installed to be read or written");
        let opened = match &self.inner {
            Inner::Uffd(uffd) => uffd.install(page, right, stopped),
            Inner::Sigsegv(sigsegv) => sigsegv.protect(page, access),
        };
        opened.map_err(|errno| self.change_error(page, access, errno))
    }

    /// Changes the access of an installed page. When it shrinks, all stores that threads of this
    /// process made through the earlier access are visible in the service view on return.
    ///
    /// # Errors
    /// If the kernel refuses.
    ///
    /// # Panics
    /// If the page is not installed and `access` is not [`Access::None`].
    pub fn protect(&self, page: PageId, access: Access) -> Result<(), FaultsError> {
        let earlier = self.rights.of(page);
        assert!(
            access == Access::None || earlier != Access::None,
            "only installed pages change access: page {page} to {access:?}"
        );
        let changed = match (&self.inner, right(access)) {
            (Inner::Uffd(uffd), Some(right)) => uffd.change(page, right),
            (Inner::Uffd(uffd), None) => uffd.remove(page),
            (Inner::Sigsegv(sigsegv), _) => sigsegv.protect(page, access),
        };
        changed.map_err(|errno| self.change_error(page, access, errno))?;
        self.rights.set(page, access);
        if access < earlier {
            self.fence.wait();
        }
        Ok(())
    }

    pub(crate) fn change_error(&self, page: PageId, access: Access, errno: Errno) -> FaultsError {
        let area_pages = (self.region.area_bytes() / self.region.page_bytes()) as u64;
        match map_count_limit() {
            Some(limit) if errno == Errno::NOMEM => {
                FaultsError::MapCount { page, access, limit, enough: limit + area_pages }
            }
            _ => FaultsError::Change { page, access, source: errno.into() },
        }
    }

    /// Wakes every thread stopped on a page; each tries its access again.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn resume(&self, page: PageId) -> Result<(), FaultsError> {
        match &self.inner {
            Inner::Uffd(uffd) => uffd
                .resume(page)
                .map_err(|errno| FaultsError::Resume { page, source: errno.into() }),
            Inner::Sigsegv(sigsegv) => {
                sigsegv.resume(page);
                Ok(())
            }
        }
    }

    /// The mechanism in use and what it serves, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let mechanism = match &self.inner {
            Inner::Uffd(uffd) if uffd.serves_system_calls() => "uffd, system calls served",
            Inner::Uffd(_) => {
                "uffd, user mode only: system calls on missing pages fail with EFAULT"
            }
            Inner::Sigsegv(_) => "sigsegv: system calls on missing pages fail with EFAULT",
        };
        match &self.refused {
            Some(reason) => format!("{mechanism} (not uffd: {reason})"),
            None => mechanism.into(),
        }
    }

    /// Whether a system call that reads or writes a missing page waits for it like a load or store;
    /// if not, it fails with EFAULT.
    #[must_use]
    pub fn serves_system_calls(&self) -> bool {
        match &self.inner {
            Inner::Uffd(uffd) => uffd.serves_system_calls(),
            Inner::Sigsegv(_) => false,
        }
    }

    /// Ends the serving of faults. The application view is inaccessible from here on: an access is an
    /// ordinary SIGSEGV, also for the threads stopped at this moment. A drop does the same, silently.
    ///
    /// # Errors
    /// If the kernel refuses; stopped threads then stay stopped until the process ends.
    pub fn stop(self) -> Result<(), FaultsError> {
        let halted = match &self.inner {
            Inner::Uffd(uffd) => uffd.halt(),
            Inner::Sigsegv(sigsegv) => sigsegv.halt(),
        };
        let bytes = self.region.bytes();
        halted.map_err(|errno| FaultsError::Close { bytes, source: errno.into() })
    }
}

impl Inner {
    fn start(region: &Arc<Region>, choice: Choice) -> Result<(Self, Option<String>), FaultsError> {
        let uffd = || Uffd::start(Arc::clone(region)).map(Self::Uffd);
        let sigsegv = || Sigsegv::start(Arc::clone(region)).map(Self::Sigsegv);
        match choice {
            Choice::Uffd => Ok((uffd()?, None)),
            Choice::Sigsegv => Ok((sigsegv()?, None)),
            Choice::Auto => match uffd() {
                Ok(inner) => Ok((inner, None)),
                Err(reason) => Ok((sigsegv()?, Some(reason.to_string()))),
            },
        }
    }
}

/// Held by the one [`Faults`] of a process.
#[derive(Debug)]
struct Turn(());

impl Turn {
    fn take() -> Result<Self, FaultsError> {
        if TAKEN.swap(true, Ordering::Acquire) { Err(FaultsError::Busy) } else { Ok(Self(())) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}

impl FromStr for Choice {
    type Err = UnknownChoice;

    fn from_str(word: &str) -> Result<Self, UnknownChoice> {
        match word {
            "auto" => Ok(Self::Auto),
            "uffd" => Ok(Self::Uffd),
            "sigsegv" => Ok(Self::Sigsegv),
            _ => Err(UnknownChoice(word.into())),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Uffd => "uffd",
            Self::Sigsegv => "sigsegv",
        })
    }
}

pub(crate) fn right(access: Access) -> Option<Right> {
    match access {
        Access::None => None,
        Access::Read => Some(Right::Read),
        Access::Write => Some(Right::Write),
    }
}

/// vm.max_map_count.
pub(crate) fn map_count_limit() -> Option<u64> {
    std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()
}

static TAKEN: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_as_they_are_written() {
        for choice in [Choice::Auto, Choice::Uffd, Choice::Sigsegv] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        let error = "Uffd ".parse::<Choice>().unwrap_err();
        let expected = "unknown fault mechanism \"Uffd \": expected auto, uffd or sigsegv";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_driver_thread_can_be_given_its_faults() {
        fn is_send<T: Send>() {}
        fn is_send_and_sync<T: Send + Sync>() {}
        is_send::<Faults>();
        is_send_and_sync::<Region>();
    }
}
