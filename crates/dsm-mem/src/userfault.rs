//! The kernel's userfaultfd interface, as include/uapi/linux/userfaultfd.h defines it.

use crate::mapping::Mapping;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, opcode};
use rustix::mm::UserfaultfdFlags;
use std::fmt;

/// A userfaultfd.
///
/// While a thread is stopped on a page of a registered range the descriptor must stay open: closing
/// it lets the thread go on and read zeros.
#[derive(Debug)]
pub(crate) struct Userfault(OwnedFd);

/// A way to get a userfaultfd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// /dev/userfaultfd: whoever may open it gets full rights.
    Device,
    /// The system call with full rights: CAP_SYS_PTRACE or vm.unprivileged_userfaultfd=1.
    SystemCall,
    /// The system call for everyone: faults inside system calls are not served.
    UserModeOnly,
}

/// A thread stopped on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageFault {
    /// The address, rounded down to its page.
    pub(crate) address: usize,
    /// Whether it is a store.
    pub(crate) write: bool,
    /// The thread's number.
    pub(crate) thread: u32,
}

/// An event that no feature in use asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnexpectedEvent(pub(crate) u8);

/// The right with which a page appears or that it is changed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Stores fault.
    Read,
    /// Nothing faults.
    Write,
}

impl Way {
    /// All ways, the best first.
    pub(crate) const ALL: [Self; 3] = [Self::Device, Self::SystemCall, Self::UserModeOnly];
}

/// What the threads do that are stopped on a page which is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    StaySo,
    /// Each tries its access again.
    GoOn,
}

impl Userfault {
    /// Opens a userfaultfd that is not yet usable: [`Userfault::enable`] is next.
    pub(crate) fn open(way: Way) -> Result<Self, Errno> {
        let plain = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK;
        match way {
            Way::Device => Self::open_device(plain),
            Way::SystemCall => Self::open_system_call(plain),
            Way::UserModeOnly => {
                let user_mode_only = UserfaultfdFlags::from_bits_retain(UFFD_USER_MODE_ONLY);
                Self::open_system_call(plain | user_mode_only)
            }
        }
    }

    fn open_device(flags: UserfaultfdFlags) -> Result<Self, Errno> {
        let device =
            rustix::fs::open("/dev/userfaultfd", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        // SAFETY: this request takes an integer and touches no memory of this process.
        let fd = unsafe { libc::ioctl(device.as_raw_fd(), USERFAULTFD_IOC_NEW as _, flags.bits()) };
        if fd < 0 {
            return Err(last_errno());
        }
        // SAFETY: the kernel just made this descriptor for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn open_system_call(flags: UserfaultfdFlags) -> Result<Self, Errno> {
        // SAFETY: the descriptor can stop threads and map pages only in ranges registered later.
        Ok(Self(unsafe { rustix::mm::userfaultfd(flags) }?))
    }

    /// Enables the interface with these features and returns all features the kernel has.
    pub(crate) fn enable(&self, features: u64) -> Result<u64, Errno> {
        let mut api = Api { api: UFFD_API, features, ioctls: 0 };
        self.call(UFFDIO_API, &mut api)?;
        Ok(api.features)
    }

    /// Registers a whole mapping for missing, minor and write-protect faults.
    pub(crate) fn register(&self, mapping: &Mapping) -> Result<(), Errno> {
        let range = Range::of(mapping.address(), mapping.bytes());
        let mut register = Register { range, mode: REGISTER_MODES, ioctls: 0 };
        self.call(UFFDIO_REGISTER, &mut register)?;
        if register.ioctls & RANGE_IOCTLS == RANGE_IOCTLS { Ok(()) } else { Err(Errno::NOTTY) }
    }

    /// Maps the page that the memory file has at this address, atomically with its right.
    pub(crate) fn map(
        &self,
        address: usize,
        bytes: usize,
        right: Right,
        stopped: Stopped,
    ) -> Result<(), Errno> {
        let protect = match right {
            Right::Read => CONTINUE_MODE_WP,
            Right::Write => 0,
        };
        let wake = match stopped {
            Stopped::StaySo => CONTINUE_MODE_DONTWAKE,
            Stopped::GoOn => 0,
        };
        let mode = protect | wake;
        let mut request = Continue { range: Range::of(address, bytes), mode, mapped: 0 };
        self.call(UFFDIO_CONTINUE, &mut request)
    }

    /// Changes the right of mapped pages. Wakes nobody.
    pub(crate) fn change(&self, address: usize, bytes: usize, right: Right) -> Result<(), Errno> {
        let mode = match right {
            Right::Read => WRITEPROTECT_MODE_WP,
            Right::Write => WRITEPROTECT_MODE_DONTWAKE,
        };
        let mut request = WriteProtect { range: Range::of(address, bytes), mode };
        self.call(UFFDIO_WRITEPROTECT, &mut request)
    }

    /// Wakes every thread stopped in the range; each tries its access again.
    pub(crate) fn wake(&self, address: usize, bytes: usize) -> Result<(), Errno> {
        self.call(UFFDIO_WAKE, &mut Range::of(address, bytes))
    }

    /// Takes the faults that wait, up to [`BATCH`], without waiting. Returns how many.
    pub(crate) fn read(
        &self,
        mut each: impl FnMut(Result<PageFault, UnexpectedEvent>),
    ) -> Result<usize, Errno> {
        let mut buffer = [0; BATCH * MESSAGE_BYTES];
        let bytes = match rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut buffer)) {
            Ok(bytes) => bytes,
            Err(Errno::AGAIN) => 0,
            Err(errno) => return Err(errno),
        };
        let messages = buffer[..bytes].chunks_exact(MESSAGE_BYTES);
        let count = messages.len();
        messages.for_each(|message| each(decode(message)));
        Ok(count)
    }

    /// One ioctl whose argument is a structure.
    fn call<T: Argument>(&self, request: Opcode, argument: &mut T) -> Result<(), Errno> {
        // SAFETY: the request is one of those below, whose argument is a `T` as `Argument` promises;
        // it is borrowed for the call, and the kernel reads and writes nothing beyond it. What the
        // requests do to registered ranges is the purpose of this crate: those ranges are mappings of
        // ours in which only atomics and system calls look.
        let result =
            unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, std::ptr::from_mut(argument)) };
        if result < 0 { Err(last_errno()) } else { Ok(()) }
    }
}

impl AsFd for Userfault {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Device => "/dev/userfaultfd",
            Self::SystemCall => "the system call with full rights",
            Self::UserModeOnly => "the system call, user mode only",
        })
    }
}

/// The names of the features in `wanted` that are not in `have`.
pub(crate) fn missing_features(wanted: u64, have: u64) -> String {
    let names = FEATURE_NAMES.iter().filter(|(bit, _)| wanted & !have & bit != 0);
    names.map(|&(_, name)| name).collect::<Vec<_>>().join(", ")
}

fn decode(message: &[u8]) -> Result<PageFault, UnexpectedEvent> {
    if message[0] != UFFD_EVENT_PAGEFAULT {
        return Err(UnexpectedEvent(message[0]));
    }
    let word = |at: usize| {
        u64::from_ne_bytes(message[at..at + 8].try_into().expect("a message has 32 bytes"))
    };
    let address = usize::try_from(word(16)).expect("addresses have 64 bits");
    let write = word(8) & (PAGEFAULT_FLAG_WRITE | PAGEFAULT_FLAG_WP) != 0;
    let thread = u32::from_ne_bytes(message[24..28].try_into().expect("a message has 32 bytes"));
    Ok(PageFault { address, write, thread })
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).expect("a failed call sets errno")
}

/// What the kernel writes through a request's argument has the layout of the implementing type.
///
/// # Safety
/// `repr(C)`, integers only, the structure that the requests it is used with name in the header.
unsafe trait Argument {}

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Range {
    start: u64,
    len: u64,
}

#[repr(C)]
struct Register {
    range: Range,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Continue {
    range: Range,
    mode: u64,
    mapped: i64,
}

#[repr(C)]
struct WriteProtect {
    range: Range,
    mode: u64,
}

// SAFETY: struct uffdio_api, of UFFDIO_API.
unsafe impl Argument for Api {}
// SAFETY: struct uffdio_range, of UFFDIO_WAKE.
unsafe impl Argument for Range {}
// SAFETY: struct uffdio_register, of UFFDIO_REGISTER.
unsafe impl Argument for Register {}
// SAFETY: struct uffdio_continue, of UFFDIO_CONTINUE.
unsafe impl Argument for Continue {}
// SAFETY: struct uffdio_writeprotect, of UFFDIO_WRITEPROTECT.
unsafe impl Argument for WriteProtect {}

impl Range {
    fn of(address: usize, bytes: usize) -> Self {
        Self { start: address as u64, len: bytes as u64 }
    }
}

/// Faults taken with one read(2).
pub(crate) const BATCH: usize = 16;

/// The features without which this crate cannot use userfaultfd.
pub(crate) const FEATURES: u64 = FEATURE_PAGEFAULT_FLAG_WP
    | FEATURE_MISSING_SHMEM
    | FEATURE_THREAD_ID
    | FEATURE_MINOR_SHMEM
    | FEATURE_WP_SHMEM;

const FEATURE_PAGEFAULT_FLAG_WP: u64 = 1 << 0;
const FEATURE_MISSING_SHMEM: u64 = 1 << 5;
const FEATURE_THREAD_ID: u64 = 1 << 8;
const FEATURE_MINOR_SHMEM: u64 = 1 << 10;
const FEATURE_WP_SHMEM: u64 = 1 << 12;
const FEATURE_NAMES: [(u64, &str); 5] = [
    (FEATURE_PAGEFAULT_FLAG_WP, "write-protect faults (Linux 5.7)"),
    (FEATURE_MISSING_SHMEM, "missing faults on shared memory (Linux 4.11)"),
    (FEATURE_THREAD_ID, "faults that name their thread (Linux 4.14)"),
    (FEATURE_MINOR_SHMEM, "minor faults on shared memory (Linux 5.14)"),
    (FEATURE_WP_SHMEM, "write-protect faults on shared memory (Linux 5.19)"),
];

const UFFD_USER_MODE_ONLY: u32 = 1;
const UFFD_API: u64 = 0xAA;
const UFFD_EVENT_PAGEFAULT: u8 = 0x12;
const PAGEFAULT_FLAG_WRITE: u64 = 1 << 0;
const PAGEFAULT_FLAG_WP: u64 = 1 << 1;
const MESSAGE_BYTES: usize = 32;

/// Missing, write-protect and minor faults.
const REGISTER_MODES: u64 = 1 << 0 | 1 << 1 | 1 << 2;
/// UFFDIO_WAKE, UFFDIO_WRITEPROTECT and UFFDIO_CONTINUE work on the range.
const RANGE_IOCTLS: u64 = 1 << 0x02 | 1 << 0x06 | 1 << 0x07;
const CONTINUE_MODE_DONTWAKE: u64 = 1 << 0;
const CONTINUE_MODE_WP: u64 = 1 << 1;
const WRITEPROTECT_MODE_WP: u64 = 1 << 0;
const WRITEPROTECT_MODE_DONTWAKE: u64 = 1 << 1;

const IOC: u8 = 0xAA;
const USERFAULTFD_IOC_NEW: Opcode = opcode::none(IOC, 0x00);
const UFFDIO_REGISTER: Opcode = opcode::read_write::<Register>(IOC, 0x00);
const UFFDIO_WAKE: Opcode = opcode::read::<Range>(IOC, 0x02);
const UFFDIO_WRITEPROTECT: Opcode = opcode::read_write::<WriteProtect>(IOC, 0x06);
const UFFDIO_CONTINUE: Opcode = opcode::read_write::<Continue>(IOC, 0x07);
const UFFDIO_API: Opcode = opcode::read_write::<Api>(IOC, 0x3F);

#[cfg(test)]
mod tests {
    use super::*;

    /// An event with the kernel's layout: kind, flags, address, thread.
    fn message(kind: u8, flags: u64, address: u64) -> Vec<u8> {
        let head = [kind, 0, 0, 0, 0, 0, 0, 0];
        [head, flags.to_ne_bytes(), address.to_ne_bytes(), [7, 0, 0, 0, 0, 0, 0, 0]].concat()
    }

    #[test]
    fn events_are_decoded() {
        let address = 0x2000_0000_3000;
        let thread = u32::from_ne_bytes([7, 0, 0, 0]);
        let fault = |flags| decode(&message(UFFD_EVENT_PAGEFAULT, flags, address as u64));
        const MINOR: u64 = 1 << 2;
        for (flags, write) in [
            (0, false),
            (MINOR, false),
            (PAGEFAULT_FLAG_WRITE, true),
            (PAGEFAULT_FLAG_WRITE | MINOR, true),
            (PAGEFAULT_FLAG_WRITE | PAGEFAULT_FLAG_WP, true),
            (PAGEFAULT_FLAG_WP, true),
        ] {
            assert_eq!(fault(flags), Ok(PageFault { address, write, thread }), "{flags:#x}");
        }
        assert_eq!(decode(&message(0x15, 0, 0)), Err(UnexpectedEvent(0x15)));
    }

    #[test]
    fn missing_features_are_named() {
        assert_eq!(missing_features(FEATURES, u64::MAX), "");
        let named = missing_features(FEATURES, FEATURES & !FEATURE_MINOR_SHMEM);
        assert_eq!(named, "minor faults on shared memory (Linux 5.14)");
    }

    #[test]
    fn requests_have_the_numbers_of_the_header() {
        assert_eq!(USERFAULTFD_IOC_NEW, 0xaa00);
        assert_eq!(UFFDIO_API, 0xc018_aa3f);
        assert_eq!(UFFDIO_REGISTER, 0xc020_aa00);
        assert_eq!(UFFDIO_WAKE, 0x8010_aa02);
        assert_eq!(UFFDIO_WRITEPROTECT, 0xc018_aa06);
        assert_eq!(UFFDIO_CONTINUE, 0xc020_aa07);
    }
}
