mod error;

pub use error::RegionError;

use crate::fork;
use crate::mapping::{Mapping, Placement};
use crate::operation::Operation;
use crate::words::{self, Word, WordsError};
use dsm_core::PageId;
use error::{advise_error, base_in_use, map_error};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::mm::Advice;
use rustix::process::{Resource, getrlimit};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a region is to be and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The first address of the application view, a multiple of the page size.
    pub base: usize,
    /// Bytes of the area, which comes first; rounded up to whole pages, at least one.
    pub bytes: usize,
    /// Bytes of the heap, which follows the area; rounded up to whole pages, may be 0.
    pub heap_bytes: usize,
}

/// The shared memory of one rank, mapped twice: the area, and behind it the heap.
///
/// Both views show the same bytes. Address space is reserved and memory is not: a page costs nothing
/// until it is touched. Neither view is in a forked child or in a core
/// dump.
#[derive(Debug)]
pub struct Region {
    application: Mapping,
    /// `None` where no page ever leaves: the other view serves.
    second: Option<Mapping>,
    area_bytes: usize,
    page_bytes: usize,
}

impl Region {
    /// Reserves a region. Both views are readable and writable and all bytes are zero.
    ///
    /// # Errors
    /// If the range is not free or the kernel refuses it.
    pub fn reserve(layout: Layout) -> Result<Self, RegionError> {
        Self::reserve_by(layout, Self::map)
    }

    /// Reserves a region whose pages never leave this process, for a job of one rank: one view, of private
    /// memory, which costs what the program's own memory does. Faults cannot be served there. If the kernel
    /// does not reserve private memory without promising it ([`reserve`](Self::reserve) needs no promise),
    /// the region is one of two views.
    ///
    /// # Errors
    /// If the range is not free or the kernel refuses it.
    pub fn reserve_alone(layout: Layout) -> Result<Self, RegionError> {
        Self::reserve_by(layout, Self::map_alone)
    }

    fn reserve_by(layout: Layout, map: Map) -> Result<Self, RegionError> {
        let Layout { base, bytes, heap_bytes } = layout;
        let page_bytes = rustix::param::page_size();
        if base == 0 || !base.is_multiple_of(page_bytes) {
            return Err(RegionError::Unaligned { base, page_bytes });
        }
        let rounded = |bytes: usize| bytes.checked_next_multiple_of(page_bytes);
        let fits = |&(area, heap): &(usize, usize)| {
            let end = base.checked_add(area).and_then(|end| end.checked_add(heap));
            area > 0 && end.is_some()
        };
        let (area_bytes, heap_bytes) = rounded(bytes)
            .zip(rounded(heap_bytes))
            .filter(fits)
            .ok_or(RegionError::Size { base, bytes, heap_bytes })?;
        let region = map(Placement::At(base), area_bytes, heap_bytes, page_bytes)?;
        fork::watch(base, region.bytes()).map_err(advise_error("forked children"))?;
        Ok(region)
    }

    /// A region whose application view is where the kernel likes, to try mechanisms on.
    pub(crate) fn scratch(pages: usize) -> Result<Self, RegionError> {
        let page_bytes = rustix::param::page_size();
        Self::map(Placement::Anywhere, pages * page_bytes, 0, page_bytes)
    }

    fn map(
        placement: Placement,
        area_bytes: usize,
        heap_bytes: usize,
        page_bytes: usize,
    ) -> Result<Self, RegionError> {
        let bytes = area_bytes + heap_bytes;
        // The two mappings keep the memory alive; without a descriptor no forked child can.
        let memory = memory_file(bytes)?;
        let application =
            Mapping::of_file(memory.as_fd(), bytes, placement).map_err(|errno| {
                match (placement, errno) {
                    (Placement::At(base), Errno::EXIST) => base_in_use(base, bytes),
                    _ => map_error("application", bytes, errno),
                }
            })?;
        let service = Mapping::of_file(memory.as_fd(), bytes, Placement::Anywhere)
            .map_err(|errno| map_error("service", bytes, errno))?;
        for view in [&application, &service] {
            keep_here(view)?;
            match view.advise(Advice::LinuxNoHugepage) {
                // A kernel without huge pages does not know the advice.
                Ok(()) | Err(Errno::INVAL) => (),
                Err(errno) => return Err(advise_error("huge pages")(errno)),
            }
        }
        Ok(Self { application, second: Some(service), area_bytes, page_bytes })
    }

    fn map_alone(
        placement: Placement,
        area_bytes: usize,
        heap_bytes: usize,
        page_bytes: usize,
    ) -> Result<Self, RegionError> {
        let bytes = area_bytes + heap_bytes;
        let application = match (Mapping::anonymous(bytes, placement), placement) {
            (Ok(application), _) => application,
            (Err(Errno::EXIST), Placement::At(base)) => return Err(base_in_use(base, bytes)),
            // Under strict overcommit, or a limit on private memory.
            (Err(_), _) => return Self::map(placement, area_bytes, heap_bytes, page_bytes),
        };
        // Huge pages are as for the program's own memory.
        keep_here(&application)?;
        Ok(Self { application, second: None, area_bytes, page_bytes })
    }

    pub(crate) fn has_two_views(&self) -> bool {
        self.second.is_some()
    }

    fn service(&self) -> &Mapping {
        self.second.as_ref().unwrap_or(&self.application)
    }

    /// The first address of the application view.
    #[must_use]
    pub fn base(&self) -> usize {
        self.application.address()
    }

    /// Bytes of the region, area and heap together, a multiple of the page size.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.application.bytes()
    }

    /// Bytes of the area, a multiple of the page size.
    #[must_use]
    pub fn area_bytes(&self) -> usize {
        self.area_bytes
    }

    /// The first address of the heap in the application view, which is the first after the area.
    #[must_use]
    pub fn heap_base(&self) -> usize {
        self.base() + self.area_bytes
    }

    /// Bytes of the heap, a multiple of the page size.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.bytes() - self.area_bytes
    }

    /// Bytes of a page.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Number of pages of area and heap together.
    #[must_use]
    pub fn pages(&self) -> u64 {
        (self.bytes() / self.page_bytes) as u64
    }

    /// The page of an address of the application view.
    #[must_use]
    pub fn page_of(&self, address: usize) -> Option<PageId> {
        let offset = address.checked_sub(self.base()).filter(|&offset| offset < self.bytes())?;
        Some(PageId((offset / self.page_bytes) as u64))
    }

    /// Makes a page's bytes zero, through the service view.
    ///
    /// # Panics
    /// If the page is not in the region; so for every method that takes a page.
    pub fn zero_page(&self, page: PageId) {
        for word in self.service_words(page) {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Gives the memory of a run of pages back to the kernel. On return they are zero in both views and
    /// cost nothing until they are touched; the access that threads have to them stays as it is.
    ///
    /// # Errors
    /// What madvise(2) says.
    ///
    /// # Panics
    /// If the run is not in the region.
    pub fn discard(&self, first: PageId, pages: u64) -> io::Result<()> {
        let pages = usize::try_from(pages).expect("the run fits the address space");
        let bytes = pages.checked_mul(self.page_bytes).expect("the run fits the address space");
        let offset = self.offset_of(first);
        let advice = match self.second {
            Some(_) => Advice::LinuxRemove,
            None => Advice::LinuxDontNeed,
        };
        Ok(self.service().advise_range(offset, bytes, advice)?)
    }

    /// Carries out an operation on the word at `byte_offset`, atomically and in the one order of all
    /// sequentially consistent operations, through the service view. Returns the word as it was before.
    ///
    /// # Panics
    /// If there is no aligned word at `byte_offset`.
    pub fn operate(&self, byte_offset: usize, operation: Operation) -> u64 {
        // SAFETY: AtomicU64 is an atomic integer.
        let words: &[AtomicU64] = unsafe { self.service().atomics(byte_offset, 1) };
        operation.run(&words[0])
    }

    /// Receives bytes of a page from a socket straight into the service view, from the byte at
    /// `offset` of the page on, without waiting. Returns how many came; 0 is the end of the stream.
    ///
    /// # Errors
    /// What recv(2) says; [`io::ErrorKind::WouldBlock`] when nothing is there.
    ///
    /// # Panics
    /// If `offset` is not inside the page.
    pub fn receive_page(
        &self,
        page: PageId,
        offset: usize,
        from: BorrowedFd<'_>,
    ) -> io::Result<usize> {
        assert!(offset < self.page_bytes, "a receive begins inside the page: {offset}");
        let bytes = self.page_bytes - offset;
        let into = self.service().at(self.offset_of(page) + offset, bytes);
        retry_interrupted(|| {
            // SAFETY: `into` is valid for writes of `bytes` bytes, inside the service view, which
            // stays mapped while `self` is borrowed; that memory is only accessed by atomics and
            // system calls. The descriptor is open while it is borrowed.
            unsafe { libc::recv(from.as_raw_fd(), into.cast(), bytes, libc::MSG_DONTWAIT) }
        })
    }

    /// Writes bytes of a page into the service view, from the byte at `offset` of the page on.
    ///
    /// # Panics
    /// If they do not end inside the page.
    pub fn write_page(&self, page: PageId, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.page_bytes, "what is written ends inside the page");
        let into = self.service().at(self.offset_of(page) + offset, bytes.len());
        // SAFETY: `into` is valid for writes of that many bytes, inside the service view, which stays mapped
        // while `self` is borrowed, and which is no Rust object that `bytes` could be part of. Its memory is
        // only accessed by atomics and system calls, and by nobody while the content of a page comes in.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), into, bytes.len()) };
    }

    /// Sends `header` and then the whole page from the service view in one message, without waiting.
    /// Returns how many bytes the socket took, counted from the header's first.
    ///
    /// # Errors
    /// What sendmsg(2) says; [`io::ErrorKind::WouldBlock`] when the socket is full.
    pub fn send_page(&self, header: &[u8], page: PageId, to: BorrowedFd<'_>) -> io::Result<usize> {
        let from = self.service().at(self.offset_of(page), self.page_bytes);
        let mut parts = [
            libc::iovec { iov_base: header.as_ptr().cast_mut().cast(), iov_len: header.len() },
            libc::iovec { iov_base: from.cast(), iov_len: self.page_bytes },
        ];
        // SAFETY: msghdr is a C structure of integers and pointers, for which zero bytes are valid.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = parts.as_mut_ptr();
        message.msg_iovlen = parts.len() as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        retry_interrupted(|| {
            // SAFETY: `message` points to two parts, both valid for reads for the whole call: the
            // header is borrowed, the page is inside the service view, which stays mapped while
            // `self` is borrowed. sendmsg only reads them. The descriptor is open while borrowed.
            unsafe { libc::sendmsg(to.as_raw_fd(), &raw const message, flags) }
        })
    }

    /// Appends a page's bytes as the service view has them. No thread of the program may store to it meanwhile.
    pub fn copy_page(&self, page: PageId, into: &mut Vec<u8>) {
        let from = self.service().at(self.offset_of(page), self.page_bytes);
        into.reserve(self.page_bytes);
        let end = into.len() + self.page_bytes;
        let place = into.spare_capacity_mut().as_mut_ptr();
        // SAFETY: `from` is valid for reads of a page, inside the service view, which stays mapped while `self` is
        // borrowed; `place` is valid for writes of as many bytes, which were reserved. The one is a mapping of its own,
        // the other of the allocator. That memory is only accessed by atomics, copies like this one and system calls.
        unsafe { std::ptr::copy_nonoverlapping(from, place.cast(), self.page_bytes) };
        // SAFETY: so many bytes were reserved, and are initialised by the copy.
        unsafe { into.set_len(end) };
    }

    /// A part of the application view as atomic integers: `len` of them from the byte at
    /// `byte_offset` on. A thread that touches one stops until the page is here.
    ///
    /// # Errors
    /// If the part is not inside the region or not aligned.
    pub fn words<W: Word>(&self, byte_offset: usize, len: usize) -> Result<&[W], WordsError> {
        words::check::<W>(byte_offset, len, self.bytes())?;
        // SAFETY: `Word` is sealed and implemented for atomic integers only.
        Ok(unsafe { self.application.atomics(byte_offset, len) })
    }

    pub(crate) fn application(&self) -> &Mapping {
        &self.application
    }

    /// The offset of a page in both views.
    pub(crate) fn offset_of(&self, page: PageId) -> usize {
        assert!(page.0 < self.pages(), "pages are inside the region: {page} of {}", self.pages());
        usize::try_from(page.0).expect("the region fits the address space") * self.page_bytes
    }

    /// Makes sure that the memory file has this page: a hole becomes a page of zeros.
    pub(crate) fn populate(&self, page: PageId) {
        std::hint::black_box(self.service_words(page)[0].load(Ordering::Relaxed));
    }

    fn service_words(&self, page: PageId) -> &[AtomicU64] {
        let offset = self.offset_of(page);
        // SAFETY: AtomicU64 is an atomic integer.
        unsafe { self.service().atomics(offset, self.page_bytes / size_of::<u64>()) }
    }
}

/// Keeps a view out of core dumps and forked children.
fn keep_here(view: &Mapping) -> Result<(), RegionError> {
    // The kernel dumps a shared mapping page by page and fills its holes: the core of a rank
    // with 64 GiB takes 22 s with userfaultfd, and with SIGSEGV as much memory and disk.
    view.advise(Advice::LinuxDontDump).map_err(advise_error("core dumps"))?;
    view.advise(Advice::LinuxDontFork).map_err(advise_error("forked children"))
}

/// How a region is mapped: where, bytes of the area, of the heap and of a page.
type Map = fn(Placement, usize, usize, usize) -> Result<Region, RegionError>;

fn memory_file(bytes: usize) -> Result<OwnedFd, RegionError> {
    // Beyond RLIMIT_FSIZE ftruncate sends SIGXFSZ, which would end the process without a word.
    if let Some(limit) = getrlimit(Resource::Fsize).current
        && bytes as u64 > limit
    {
        return Err(RegionError::FileSizeLimit { bytes, limit });
    }
    let flags = MemfdFlags::CLOEXEC;
    // With vm.memfd_noexec=2 the flag is required, before Linux 6.3 it is unknown.
    let memory = rustix::fs::memfd_create("dsm", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|errno| match errno {
            Errno::INVAL => rustix::fs::memfd_create("dsm", flags),
            _ => Err(errno),
        })
        .map_err(|errno| RegionError::Create { source: errno.into() })?;
    rustix::fs::ftruncate(&memory, bytes as u64)
        .map_err(|errno| RegionError::Resize { bytes, source: errno.into() })?;
    Ok(memory)
}

fn retry_interrupted(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(bytes) => return Ok(bytes),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}
