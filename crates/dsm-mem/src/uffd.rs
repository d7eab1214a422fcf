use crate::faults::{Fault, FaultsError, ThreadId};
use crate::region::Region;
use crate::sentry::Sentry;
use crate::userfault::{
    BATCH, FEATURES, PageFault, Right, Stopped, Userfault, Way, missing_features,
};
use dsm_core::{Access, PageId};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::mm::{Advice, MprotectFlags};
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// Faults served by userfaultfd.
///
/// The application view is registered as long as this lives. A page without access has no entry in
/// the page table, one to read has a write-protected entry, and the kernel makes no entry by itself.
#[derive(Debug)]
pub(crate) struct Uffd {
    region: Arc<Region>,
    /// Not closed before the application view is inaccessible: a stopped thread would read zeros.
    userfault: ManuallyDrop<Userfault>,
    way: Way,
    sentry: Sentry,
}

impl Uffd {
    pub(crate) fn start(region: Arc<Region>) -> Result<Self, FaultsError> {
        try_read_only_install()?;
        let (userfault, way) = open_best()?;
        let sentry =
            Sentry::start(userfault.as_fd()).map_err(|source| FaultsError::Sentry { source })?;
        userfault
            .register(region.application())
            .map_err(|errno| FaultsError::Register { source: errno.into() })?;
        let uffd = Self { userfault: ManuallyDrop::new(userfault), way, sentry, region };
        // Pages touched before this point have entries.
        uffd.region
            .application()
            .advise(Advice::LinuxDontNeed)
            .map_err(|errno| FaultsError::Register { source: errno.into() })?;
        Ok(uffd)
    }

    pub(crate) fn adopt_driver_thread(&self) {
        self.sentry.adopt_driver_thread();
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.userfault.as_fd()
    }

    pub(crate) fn serves_system_calls(&self) -> bool {
        self.way != Way::UserModeOnly
    }

    pub(crate) fn read(&self, into: &mut Vec<Fault>) -> Result<(), FaultsError> {
        // A stopped thread is one event until it is woken, so the number of batches is bounded.
        while self.read_batch(into)? == BATCH {}
        Ok(())
    }

    fn read_batch(&self, into: &mut Vec<Fault>) -> Result<usize, FaultsError> {
        let mut unexpected = None;
        let count = self.userfault.read(|event| match event {
            Ok(fault) => into.push(self.fault(fault)),
            Err(event) => unexpected = Some(event),
        });
        if let Some(event) = unexpected {
            return Err(FaultsError::Event { number: event.0 });
        }
        count.map_err(|errno| FaultsError::Read { source: errno.into() })
    }

    fn fault(&self, fault: PageFault) -> Fault {
        let page = self.region.page_of(fault.address);
        Fault {
            page: page.expect("the kernel reports faults of the registered range only"),
            access: if fault.write { Access::Write } else { Access::Read },
            thread: ThreadId(fault.thread),
        }
    }

    /// Maps a page with a right, whether it is mapped already or not.
    pub(crate) fn install(
        &self,
        page: PageId,
        right: Right,
        stopped: Stopped,
    ) -> Result<(), Errno> {
        match self.map(page, right, stopped) {
            // A hole in the memory file: the page was never filled and is zero.
            Err(Errno::FAULT) => {
                self.region.populate(page);
                self.map(page, right, stopped)
            }
            other => other,
        }
    }

    fn map(&self, page: PageId, right: Right, stopped: Stopped) -> Result<(), Errno> {
        let (address, bytes) = self.range(page);
        match retry(|| self.userfault.map(address, bytes, right, stopped)) {
            Err(Errno::EXIST) => {
                retry(|| self.userfault.change(address, bytes, right))?;
                if stopped == Stopped::GoOn { self.resume(page) } else { Ok(()) }
            }
            other => other,
        }
    }

    /// Maps pages that are not mapped, and that the memory file has; if it fails, some of them are mapped.
    pub(crate) fn map_run(
        &self,
        first: PageId,
        pages: usize,
        right: Right,
        stopped: Stopped,
    ) -> Result<(), Errno> {
        let (address, bytes) = self.range(first);
        self.userfault.map(address, bytes * pages, right, stopped)
    }

    /// Changes the right of mapped pages.
    pub(crate) fn change_run(
        &self,
        first: PageId,
        pages: usize,
        right: Right,
    ) -> Result<(), Errno> {
        let (address, bytes) = self.range(first);
        retry(|| self.userfault.change(address, bytes * pages, right))
    }

    /// Removes the entries of pages.
    pub(crate) fn remove_run(&self, first: PageId, pages: usize) -> Result<(), Errno> {
        let (offset, bytes) = (self.region.offset_of(first), self.region.page_bytes());
        self.region.application().advise_range(offset, bytes * pages, Advice::LinuxDontNeed)
    }

    /// Changes the right of a mapped page.
    pub(crate) fn change(&self, page: PageId, right: Right) -> Result<(), Errno> {
        self.change_run(page, 1, right)
    }

    /// Removes a page's entry.
    pub(crate) fn remove(&self, page: PageId) -> Result<(), Errno> {
        self.remove_run(page, 1)
    }

    pub(crate) fn resume(&self, page: PageId) -> Result<(), Errno> {
        let (address, bytes) = self.range(page);
        retry(|| self.userfault.wake(address, bytes))
    }

    /// Ends the serving of faults: the application view is inaccessible, nobody is stopped.
    pub(crate) fn halt(&self) -> Result<(), Errno> {
        let view = self.region.application();
        // A fault that began before this change has queued its thread when the call returns, since
        // both take the mapping's lock; the wake reaches it, and its retry finds no access.
        view.protect_range(0, view.bytes(), MprotectFlags::empty())?;
        retry(|| self.userfault.wake(view.address(), view.bytes()))
    }

    fn range(&self, page: PageId) -> (usize, usize) {
        let bytes = self.region.page_bytes();
        (self.region.base() + self.region.offset_of(page), bytes)
    }
}

impl Drop for Uffd {
    fn drop(&mut self) {
        // A descriptor that cannot be closed safely stays open until the process ends.
        if self.halt().is_ok() {
            // SAFETY: the value is being dropped, so nothing uses the field after this.
            unsafe { ManuallyDrop::drop(&mut self.userfault) };
        }
    }
}

/// Opens a userfaultfd with the features needed, by the best way there is.
fn open_best() -> Result<(Userfault, Way), FaultsError> {
    let mut refusals = Vec::new();
    for way in Way::ALL {
        match Userfault::open(way) {
            Ok(userfault) => return Ok((enable(userfault, way)?, way)),
            Err(errno) => refusals.push(format!("{way}: {errno}")),
        }
    }
    Err(FaultsError::Open { refusals: refusals.join("; ") })
}

fn enable(userfault: Userfault, way: Way) -> Result<Userfault, FaultsError> {
    if let Err(errno) = userfault.enable(FEATURES) {
        // The kernel does not say which feature it refused; another descriptor tells.
        let have = Userfault::open(way).and_then(|other| other.enable(0));
        let missing = missing_features(FEATURES, have.unwrap_or(0));
        return Err(FaultsError::Features { missing, source: errno.into() });
    }
    Ok(userfault)
}

/// Installs a read-only page in a scratch region: kernels before 6.4 cannot do that atomically.
pub(crate) fn try_read_only_install() -> Result<(), FaultsError> {
    let scratch = Region::scratch(1).map_err(|source| FaultsError::Scratch { source })?;
    scratch.populate(PageId(0));
    let (userfault, _) = open_best()?;
    userfault
        .register(scratch.application())
        .map_err(|errno| FaultsError::Register { source: errno.into() })?;
    let view = scratch.application();
    let (address, bytes) = (view.address(), view.bytes());
    retry(|| userfault.map(address, bytes, Right::Read, Stopped::StaySo))
        .map_err(|errno| FaultsError::ReadOnlyInstall { source: errno.into() })
}

/// Repeats a request that the kernel interrupted or could not do at this moment.
fn retry(mut request: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    let mut result = request();
    for _ in 1..ATTEMPTS {
        match result {
            Err(Errno::AGAIN | Errno::INTR) => {
                std::thread::yield_now();
                result = request();
            }
            _ => break,
        }
    }
    result
}

/// EAGAIN lasts while another thread changes the process's mappings.
const ATTEMPTS: usize = 1000;
