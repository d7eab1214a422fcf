use crate::mapping::{Mapping, Placement};
use dsm_core::{Access, PageId};
use rustix::io::Errno;
use std::sync::atomic::{AtomicU8, Ordering};

/// The access every page of the application view has, as the driver last set it.
///
/// One byte a page, in memory that costs nothing for pages never touched.
#[derive(Debug)]
pub(crate) struct Rights(Mapping);

impl Rights {
    /// All pages without access.
    pub(crate) fn new(pages: u64) -> Result<Self, Errno> {
        let bytes = usize::try_from(pages).expect("the region fits the address space");
        Ok(Self(Mapping::anonymous(bytes, Placement::Anywhere)?))
    }

    pub(crate) fn of(&self, page: PageId) -> Access {
        match self.slot(page).load(Ordering::Acquire) {
            READ => Access::Read,
            WRITE => Access::Write,
            _ => Access::None,
        }
    }

    pub(crate) fn set(&self, page: PageId, access: Access) {
        let byte = match access {
            Access::None => NONE,
            Access::Read => READ,
            Access::Write => WRITE,
        };
        self.slot(page).store(byte, Ordering::Release);
    }

    fn slot(&self, page: PageId) -> &AtomicU8 {
        let offset = usize::try_from(page.0).expect("pages are inside the region");
        // SAFETY: AtomicU8 is an atomic integer.
        let slots: &[AtomicU8] = unsafe { self.0.atomics(offset, 1) };
        &slots[0]
    }
}

const NONE: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;
