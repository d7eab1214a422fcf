use crate::faults::{Fault, FaultsError, ThreadId};
use crate::handler::{self, Posted};
use crate::region::Region;
use crate::rights::Rights;
use dsm_core::{Access, PageId};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::mm::MprotectFlags;
use std::sync::Arc;

/// Faults served by mprotect and a handler of SIGSEGV.
///
/// A page's protection in the application view is its access. A thread that breaks it waits inside
/// the handler.
#[derive(Debug)]
pub(crate) struct Sigsegv {
    region: Arc<Region>,
}

impl Sigsegv {
    pub(crate) fn start(region: Arc<Region>) -> Result<Self, FaultsError> {
        handler::open_pipe().map_err(|errno| FaultsError::Pipe { source: errno.into() })?;
        let view = region.application();
        let bytes = view.bytes();
        view.protect_range(0, bytes, MprotectFlags::empty())
            .map_err(|errno| FaultsError::Close { bytes, source: errno.into() })?;
        handler::serve(view.address(), bytes, region.page_bytes())
            .map_err(|source| FaultsError::Handler { source })?;
        Ok(Self { region })
    }

    pub(crate) fn adopt_driver_thread(&self) {
        handler::adopt_driver_thread();
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        handler::posted_fd()
    }

    pub(crate) fn read(&self, rights: &Rights, into: &mut Vec<Fault>) -> Result<(), FaultsError> {
        handler::read_posted(|posted| into.extend(self.fault(posted, rights)))
            .map_err(|errno| FaultsError::Read { source: errno.into() })
    }

    /// What it needs that is stopped; `None` if it was on an earlier region of this process.
    pub(crate) fn fault(&self, posted: Posted, rights: &Rights) -> Option<Fault> {
        let page = self.region.page_of(posted.address)?;
        let access = needed(posted, rights.of(page));
        Some(Fault { page, access, thread: ThreadId(posted.thread) })
    }

    pub(crate) fn protect(&self, page: PageId, access: Access) -> Result<(), Errno> {
        self.protect_run(page, 1, access)
    }

    pub(crate) fn protect_run(
        &self,
        first: PageId,
        pages: usize,
        access: Access,
    ) -> Result<(), Errno> {
        let flags = match access {
            Access::None => MprotectFlags::empty(),
            Access::Read => MprotectFlags::READ,
            Access::Write => MprotectFlags::READ | MprotectFlags::WRITE,
        };
        let (offset, bytes) = (self.region.offset_of(first), self.region.page_bytes());
        self.region.application().protect_range(offset, bytes * pages, flags)
    }

    pub(crate) fn resume(&self, page: PageId) {
        handler::resume(self.region.base() + self.region.offset_of(page));
    }

    /// Ends the serving of faults: the application view is inaccessible, nobody is stopped.
    pub(crate) fn halt(&self) -> Result<(), Errno> {
        let view = self.region.application();
        view.protect_range(0, view.bytes(), MprotectFlags::empty())?;
        handler::retire();
        Ok(())
    }
}

impl Drop for Sigsegv {
    fn drop(&mut self) {
        // A region that cannot be closed stays served by nobody: its stopped threads stay stopped.
        let _ = self.halt();
    }
}

/// What a stopped thread needs. Where the processor does not say it, it is the next access after the
/// one the page has: a load faults only without access, and a store that was taken for a load comes
/// back once the page can be read.
fn needed(posted: Posted, present: Access) -> Access {
    match (posted.write, present) {
        (Some(true), _) | (None, Access::Read | Access::Write) => Access::Write,
        (Some(false), _) | (None, Access::None) => Access::Read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_that_does_not_say_which_access_it_was_asks_for_the_next_one() {
        let access = |write, present| needed(Posted { address: 0, write, thread: 1 }, present);
        for present in [Access::None, Access::Read, Access::Write] {
            assert_eq!(access(Some(true), present), Access::Write);
            assert_eq!(access(Some(false), present), Access::Read);
        }
        assert_eq!(access(None, Access::None), Access::Read);
        assert_eq!(access(None, Access::Read), Access::Write);
        assert_eq!(access(None, Access::Write), Access::Write);
    }
}
