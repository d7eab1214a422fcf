use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::io;
use thiserror::Error;

/// Why a region cannot be had.
#[derive(Debug, Error)]
pub enum RegionError {
    /// No byte was asked for, or the size does not fit the address space.
    #[error(
        "cannot reserve a region of {bytes} bytes and a heap of {heap_bytes} at {base:#x}: not a size this machine can map"
    )]
    Size {
        /// Its first address.
        base: usize,
        /// Bytes asked for the area.
        bytes: usize,
        /// Bytes asked for the heap.
        heap_bytes: usize,
    },
    /// The base address is null or inside a page.
    #[error(
        "cannot reserve the region at {base:#x}: the address must be a multiple of {page_bytes} and not 0"
    )]
    Unaligned {
        /// The address asked for.
        base: usize,
        /// Bytes of a page.
        page_bytes: usize,
    },
    /// The process has something else at these addresses.
    #[error("cannot map the region at {base:#x}..{end:#x}: in use by {occupant}")]
    BaseInUse {
        /// First address.
        base: usize,
        /// First address after it.
        end: usize,
        /// The line of /proc/self/maps.
        occupant: String,
    },
    /// The process may not make files as large as the region.
    #[error(
        "cannot size the region to {bytes} bytes: the limit on file size is {limit} (ulimit -f)"
    )]
    FileSizeLimit {
        /// Bytes of the region.
        bytes: usize,
        /// The limit in bytes.
        limit: u64,
    },
    /// memfd_create failed.
    #[error("cannot create the memory file of the region: {source}")]
    Create {
        /// The kernel's reason.
        source: io::Error,
    },
    /// ftruncate failed.
    #[error("cannot size the region to {bytes} bytes: {source}")]
    Resize {
        /// Bytes of the region.
        bytes: usize,
        /// The kernel's reason.
        source: io::Error,
    },
    /// mmap failed.
    #[error(
        "cannot map {bytes} bytes for the {view} view of the region: {source}{}",
        limit_hint(source)
    )]
    Map {
        /// Which view.
        view: &'static str,
        /// Bytes of the region.
        bytes: usize,
        /// The kernel's reason.
        source: io::Error,
    },
    /// madvise failed.
    #[error("cannot keep the region out of {what}: {source}")]
    Advise {
        /// What the advice is about.
        what: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
}

pub(super) fn map_error(view: &'static str, bytes: usize, errno: Errno) -> RegionError {
    RegionError::Map { view, bytes, source: errno.into() }
}

pub(super) fn advise_error(what: &'static str) -> impl Fn(Errno) -> RegionError {
    move |errno| RegionError::Advise { what, source: errno.into() }
}

pub(super) fn base_in_use(base: usize, bytes: usize) -> RegionError {
    let end = base + bytes;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let occupant = maps
        .lines()
        .find(|line| range_of(line).is_some_and(|(from, to)| from < end && base < to))
        .map_or_else(|| "another mapping".into(), squeeze);
    RegionError::BaseInUse { base, end, occupant }
}

/// The range at the beginning of a line of /proc/self/maps.
fn range_of(line: &str) -> Option<(usize, usize)> {
    let (from, to) = line.split_whitespace().next()?.split_once('-')?;
    Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn limit_hint(source: &io::Error) -> String {
    let limit = getrlimit(Resource::As).current;
    match (source.raw_os_error(), limit) {
        (Some(libc::ENOMEM), Some(limit)) => {
            format!(" (the limit on address space is {limit} bytes, ulimit -v)")
        }
        _ => String::new(),
    }
}
