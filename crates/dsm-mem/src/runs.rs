//! Many pages at once: neighbours that get the same access cost one system call.

use crate::faults::{Faults, FaultsError, Inner, right};
use crate::userfault::Stopped;
use dsm_core::{Access, PageId};
use rustix::io::Errno;

impl Faults {
    /// [`install_and_resume`](Self::install_and_resume) of each page. The order is of no importance.
    ///
    /// # Errors
    /// If the kernel refuses.
    ///
    /// # Panics
    /// If an access is [`Access::None`], or a page not in the region or named twice.
    pub fn install_and_resume_all(
        &self,
        pages: &mut [(PageId, Access)],
    ) -> Result<(), FaultsError> {
        for run in runs(pages) {
            let (first, access) = run[0];
            if self.open_run(first, run.len(), access).is_err() {
                // Some of it may be open already, or is a hole in the memory file.
                for &(page, access) in run {
                    self.install_and_resume(page, access)?;
                }
                continue;
            }
            for &(page, access) in run {
                self.rights.set(page, access);
                if let Inner::Sigsegv(sigsegv) = &self.inner {
                    sigsegv.resume(page);
                }
            }
        }
        Ok(())
    }

    fn open_run(&self, first: PageId, pages: usize, access: Access) -> Result<(), Errno> {
        let right = right(access).expect("a page is installed to be read or written");
        match &self.inner {
            Inner::Uffd(uffd) => uffd.map_run(first, pages, right, Stopped::GoOn),
            Inner::Sigsegv(sigsegv) => sigsegv.protect_run(first, pages, access),
        }
    }

    /// [`protect`](Self::protect) of each page, of which none gains. The order is of no importance.
    ///
    /// # Errors
    /// If the kernel refuses.
    ///
    /// # Panics
    /// As for [`protect`](Self::protect), or if a page is named twice.
    pub fn protect_all(&self, pages: &mut [(PageId, Access)]) -> Result<(), FaultsError> {
        for run in runs(pages) {
            let (first, access) = run[0];
            for &(page, _) in run {
                let earlier = self.rights.of(page);
                assert!(
                    access == Access::None || earlier != Access::None,
                    "only installed pages change access: page {page} to {access:?}"
                );
                assert!(access <= earlier || access == Access::None, "no page gains: {page}");
            }
            let changed = match (&self.inner, right(access)) {
                (Inner::Uffd(uffd), Some(right)) => uffd.change_run(first, run.len(), right),
                (Inner::Uffd(uffd), None) => uffd.remove_run(first, run.len()),
                (Inner::Sigsegv(sigsegv), _) => sigsegv.protect_run(first, run.len(), access),
            };
            changed.map_err(|errno| self.change_error(first, access, errno))?;
            run.iter().for_each(|&(page, access)| self.rights.set(page, access));
        }
        if !pages.is_empty() {
            self.fence.wait();
        }
        Ok(())
    }
}

/// The pages in order, cut where one is missing or gets another access.
fn runs(pages: &mut [(PageId, Access)]) -> impl Iterator<Item = &[(PageId, Access)]> {
    pages.sort_unstable();
    pages.chunk_by(|(before, access), (page, wanted)| {
        assert_ne!(before, page, "a page is named once");
        page.0 == before.0 + 1 && wanted == access
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_with_the_same_access_are_a_run() {
        let (read, write) = (Access::Read, Access::Write);
        let of = |pages: &[(u64, Access)]| -> Vec<(u64, usize)> {
            let mut pages: Vec<_> =
                pages.iter().map(|&(page, access)| (PageId(page), access)).collect();
            runs(&mut pages).map(|run| (run[0].0.0, run.len())).collect()
        };
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[(7, read), (6, read), (5, read)]), [(5, 3)]);
        assert_eq!(of(&[(1, read), (2, write), (3, write), (5, write)]), [(1, 1), (2, 2), (5, 1)]);
    }
}
