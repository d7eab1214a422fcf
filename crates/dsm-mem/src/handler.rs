//! The process's handler of SIGSEGV.
//!
//! A thread that faults in the served range posts its address to the driver through a pipe and waits
//! on the generation counter of its page; [`resume`] raises the counter. The handler reads the counter
//! *before* it posts, so that no wake-up is lost. If nobody runs the driver the thread does so itself in place of
//! posting (`stopped.rs`). Any other SIGSEGV goes to the action that was in force before.
//!
//! A handler's state is the process's, so what is here is static. It outlives the region: a handler
//! may be running when serving ends, so the pipe is never closed and the previous action never freed.

use crate::line::Line;
use crate::stopped::{self, StoppedThread};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// A thread waits in the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    /// What it touched.
    pub(crate) address: usize,
    /// Whether it was a store, where the processor says so.
    pub(crate) write: Option<bool>,
    /// The thread's number.
    pub(crate) thread: u32,
}

/// Makes the pipe from the handler to the driver, once in the life of the process. The callers take
/// turns.
pub(crate) fn open_pipe() -> Result<(), Errno> {
    if PIPE.get().is_none() {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        POST.store(writer.as_raw_fd(), Ordering::Release);
        PIPE.get_or_init(|| Pipe { reader, _writer: writer });
    }
    Ok(())
}

/// Handles the faults of a range from here on. There is one at a time.
pub(crate) fn serve(base: usize, bytes: usize, page_bytes: usize) -> io::Result<()> {
    // Threads that posted to an earlier range are gone or will fault again.
    read_posted(|_| ())?;
    PAGE_SHIFT.store(page_bytes.trailing_zeros(), Ordering::Release);
    BASE.store(base, Ordering::Release);
    install_handler()?;
    END.store(base + bytes, Ordering::SeqCst);
    Ok(())
}

/// Says that the calling thread is the driver, which nobody could resume.
pub(crate) fn adopt_driver_thread() {
    DRIVER.store(thread_id(), Ordering::Release);
}

/// Readable when a fault is posted.
pub(crate) fn posted_fd() -> BorrowedFd<'static> {
    pipe().reader.as_fd()
}

/// Takes the posted faults, without waiting.
pub(crate) fn read_posted(mut each: impl FnMut(Posted)) -> Result<(), Errno> {
    let mut buffer = [0; 16 * RECORD_BYTES];
    loop {
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&pipe().reader, &mut buffer));
        let bytes = match read {
            Err(Errno::AGAIN) => return Ok(()),
            other => other?,
        };
        // Records are written whole and the buffer holds a whole number of them.
        buffer[..bytes].chunks_exact(RECORD_BYTES).map(decode).for_each(&mut each);
    }
}

/// Wakes the threads that wait for the page of this address. Others may wake too and fault again.
pub(crate) fn resume(address: usize) {
    wake(generation(address));
}

/// Ends the serving of faults. Every waiting thread tries its access again and finds the handler that
/// was there before.
pub(crate) fn retire() {
    stopped::end();
    // The counters rise after this store, so a thread that read a raised counter sees it.
    END.store(0, Ordering::SeqCst);
    DRIVER.store(0, Ordering::Release);
    GENERATIONS.iter().for_each(wake);
    // Makes room for threads that wait to post. They cannot fail to be woken: see above.
    let _ = read_posted(|_| ());
    uninstall_handler();
}

/// In a forked child: nothing is served, and the descriptors are the parent's. From here on `above` is the
/// handler; gives what was in force without dsm, to pass on to. Calls `sigaction(2)` and nothing else.
pub(crate) fn forget_in_child(above: InfoHandler) -> io::Result<Below> {
    END.store(0, Ordering::SeqCst);
    let present = present_action()?;
    let mut action = empty_action();
    action.sa_sigaction = above as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    // SAFETY: `action` is complete, and its function has the signature that SA_SIGINFO asks for and
    // does only what a signal handler may; a null old action is allowed.
    check(unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut()) })?;
    Ok(if is_ours(&present) { below() } else { Below::of(&present) })
}

/// A handler of SIGSEGV that dsm's stands above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Below {
    pub(crate) handler: usize,
    pub(crate) flags: c_int,
}

impl Below {
    /// What a process has that never said otherwise.
    pub(crate) const DEFAULT: Self = Self { handler: libc::SIG_DFL, flags: 0 };

    fn of(action: &libc::sigaction) -> Self {
        Self { handler: action.sa_sigaction, flags: action.sa_flags }
    }
}

struct Pipe {
    reader: OwnedFd,
    _writer: OwnedFd,
}

fn pipe() -> &'static Pipe {
    PIPE.get().expect("the pipe is made before faults are served")
}

fn decode(record: &[u8]) -> Posted {
    let word = |at: usize| {
        usize::from_ne_bytes(record[at..at + 8].try_into().expect("a record has 16 bytes"))
    };
    let write = match word(8) & TRAP {
        LOAD => Some(false),
        STORE => Some(true),
        _ => None,
    };
    let thread = u32::try_from(word(8) >> THREAD_SHIFT).expect("the upper half is left");
    Posted { address: word(0), write, thread }
}

fn install_handler() -> io::Result<()> {
    // An earlier retirement found another handler above ours, which passes on to ours: set again,
    // the two would pass to each other for ever.
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    remember(present_action()?);
    let mut ours = empty_action();
    ours.sa_sigaction = on_sigsegv as *const () as usize;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    // A thread may wait on an alternate stack with room for few handlers, and must not be interrupted while it
    // serves itself. Those of requests to end are let through when it only waits: the page may never come.
    ours.sa_mask = crate::signals::asynchronous();
    // SAFETY: `ours` is a complete action whose function has the signature that SA_SIGINFO asks for
    // and does only what a signal handler may (see there); a null old action is allowed.
    check(unsafe { libc::sigaction(libc::SIGSEGV, &raw const ours, ptr::null_mut()) })?;
    INSTALLED.store(true, Ordering::Release);
    Ok(())
}

fn uninstall_handler() {
    let Ok(present) = present_action() else { return };
    if !is_ours(&present) {
        return;
    }
    // SAFETY: the pointer is the last one `remember` stored, which is never freed.
    let restored = unsafe {
        libc::sigaction(libc::SIGSEGV, PREVIOUS.load(Ordering::Acquire), ptr::null_mut())
    };
    INSTALLED.store(restored != 0, Ordering::Release);
}

/// Keeps the action to pass foreign signals to. It is never freed: a handler may be reading it.
fn remember(action: libc::sigaction) {
    let kept = PREVIOUS.load(Ordering::Acquire);
    // SAFETY: the pointer is null or the last one this function stored, which is never freed nor
    // changed.
    let kept = unsafe { kept.as_ref() };
    let same = |kept: &libc::sigaction| {
        kept.sa_sigaction == action.sa_sigaction && kept.sa_flags == action.sa_flags
    };
    if !kept.is_some_and(same) {
        PREVIOUS.store(Box::into_raw(Box::new(action)), Ordering::Release);
    }
}

fn present_action() -> io::Result<libc::sigaction> {
    let mut present = empty_action();
    // SAFETY: a null new action changes nothing; `present` is valid for writes.
    check(unsafe { libc::sigaction(libc::SIGSEGV, ptr::null(), &raw mut present) })?;
    Ok(present)
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == on_sigsegv as *const () as usize
}

fn empty_action() -> libc::sigaction {
    // SAFETY: a C structure of integers, for which zero bytes are valid: SIG_DFL, no flags, an empty
    // mask.
    unsafe { mem::zeroed() }
}

fn check(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the threads stopped on some pages wait for.
struct Generation {
    /// Raised to let them go on.
    count: AtomicU32,
    /// How many sleep on it, or more: a handler may be left by siglongjmp.
    sleepers: AtomicU32,
}

impl Generation {
    const fn new() -> Self {
        Self { count: AtomicU32::new(0), sleepers: AtomicU32::new(0) }
    }
}

fn generation(address: usize) -> &'static Generation {
    let page =
        address.wrapping_sub(BASE.load(Ordering::Acquire)) >> PAGE_SHIFT.load(Ordering::Acquire);
    &GENERATIONS[page % GENERATIONS.len()]
}

fn wake(page: &Generation) {
    page.count.fetch_add(1, Ordering::SeqCst);
    // Whoever counts itself later finds the counter raised.
    if page.sleepers.load(Ordering::SeqCst) > 0 {
        futex(&page.count, libc::FUTEX_WAKE, i32::MAX.cast_unsigned());
    }
}

fn futex(word: &AtomicU32, operation: c_int, value: u32) {
    // SAFETY: futex wait and wake read the word, which is valid for the call, and with a null timeout
    // touch nothing else. Every result is fine: the callers check the word again.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            operation | libc::FUTEX_PRIVATE_FLAG,
            value,
            ptr::null::<libc::timespec>(),
        )
    };
}

fn thread_id() -> i32 {
    // SAFETY: gettid has no arguments and cannot fail.
    unsafe { libc::gettid() }
}

/// The handler. It calls, and nothing else: `gettid(2)`, `write(2)`, `futex(2)`, `sigaction(2)`,
/// `pthread_sigmask(3)`, `raise(3)`, `abort(3)`, all async-signal-safe, the previous handler, and what serves a stopped
/// thread, whose contract is in [`Faults::let_stopped_serve`](crate::Faults::let_stopped_serve). It reads
/// statics by atomics, allocates nothing, takes no lock, and leaves errno as it was.
extern "C" fn on_sigsegv(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: takes no arguments; the address is valid for the life of the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: valid for reads, see above.
    let kept = unsafe { errno.read() };
    // SAFETY: the kernel passes a valid siginfo to a handler set with SA_SIGINFO.
    let cause = unsafe { &*info };
    let code = cause.si_code;
    // SAFETY: any bytes are a value of the field; it is used as an address only under the code with
    // which it is one.
    let address = unsafe { cause.si_addr() }.addr();
    // SAFETY: the kernel passes a valid ucontext to a handler set with SA_SIGINFO.
    let interrupted = unsafe { &*context.cast::<libc::ucontext_t>() };
    let trap = Trap::of(interrupted, address);
    if serves(code, address) && trap != Trap::Fetch {
        stop_until_resumed(address, trap, interrupted);
    } else {
        let_requests_to_end_through(interrupted);
        pass_on(below(), signal, info, context);
    }
    // SAFETY: valid for writes, see above.
    unsafe { errno.write(kept) };
}

/// Whether a signal comes from a fault in the served range. Without a mapping there, as in a forked
/// child, the code is another one.
fn serves(code: c_int, address: usize) -> bool {
    let end = END.load(Ordering::SeqCst);
    code == SEGV_ACCERR && address < end && address >= BASE.load(Ordering::Acquire)
}

fn stop_until_resumed(address: usize, trap: Trap, interrupted: &libc::ucontext_t) {
    let thread = thread_id();
    if DRIVER.load(Ordering::Acquire) == thread || stopped::serves_itself(thread) {
        refuse(address);
    }
    let page = generation(address);
    let seen = page.count.load(Ordering::SeqCst);
    // Read after the counter: whoever ends the serving raises the counters after it says so.
    if END.load(Ordering::SeqCst) == 0 {
        return;
    }
    // A thread's number is positive.
    let posted = Posted { address, write: trap.is_store(), thread: thread.cast_unsigned() };
    let stopped = StoppedThread { posted, generation: &page.count, seen };
    let is_known = stopped::serve(&stopped);
    if stopped.is_resumed() {
        return;
    }
    let_requests_to_end_through(interrupted);
    if !is_known {
        post(address, trap, thread);
    }
    page.sleepers.fetch_add(1, Ordering::SeqCst);
    while !stopped.is_resumed() {
        futex(&page.count, libc::FUTEX_WAIT, seen);
    }
    page.sleepers.fetch_sub(1, Ordering::SeqCst);
}

/// Takes the signals again that ask the process to end, as far as the interrupted code did.
fn let_requests_to_end_through(interrupted: &libc::ucontext_t) {
    // SAFETY: the set is a copy of the kernel's, initialised for every signal there is.
    let was_blocked =
        |signal: c_int| unsafe { libc::sigismember(&raw const interrupted.uc_sigmask, signal) } == 1;
    crate::signals::unblock(ENDING.into_iter().filter(|signal| !was_blocked(*signal)));
}

/// Writes one record, which the kernel keeps whole.
fn post(address: usize, trap: Trap, thread: i32) {
    let record = [address, trap as usize | ((thread.cast_unsigned() as usize) << THREAD_SHIFT)];
    loop {
        // SAFETY: the record is valid for reads of its 16 bytes; the pipe is never closed.
        let written = unsafe {
            libc::write(POST.load(Ordering::Acquire), record.as_ptr().cast(), RECORD_BYTES)
        };
        // A signal interrupts the wait for room in the pipe; nothing else can go wrong, and if it
        // does the thread must not go on.
        if usize::try_from(written) == Ok(RECORD_BYTES) {
            return;
        }
    }
}

/// Ends the process: the driver cannot be stopped on a page, since only the driver brings pages.
fn refuse(address: usize) -> ! {
    let mut line = Line::default();
    line.push(b"dsm: the driver thread touched shared memory at 0x");
    line.push_hexadecimal(address);
    line.push(b", which nobody could serve: a bug in dsm\n");
    line.write_to_stderr();
    // SAFETY: abort has no requirements and does not return.
    unsafe { libc::abort() }
}

/// Does with a signal what would have been done without this handler.
pub(crate) fn pass_on(
    Below { handler, flags }: Below,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: the callers are handlers set with SA_SIGINFO, to which the kernel passes a valid siginfo.
    let code = unsafe { (*info).si_code };
    // Signals sent by a process, rather than raised by an instruction, have codes up to 0.
    let sent = code <= 0;
    match handler {
        libc::SIG_IGN if sent => (),
        libc::SIG_DFL | libc::SIG_IGN => {
            end_by_default(signal, sent);
        }
        handler if flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: an action with SA_SIGINFO holds a function of this signature.
            let handler = unsafe { mem::transmute::<usize, InfoHandler>(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: an action without SA_SIGINFO holds a function of this signature.
            let handler = unsafe { mem::transmute::<usize, PlainHandler>(handler) };
            handler(signal);
        }
    }
}

fn below() -> Below {
    // SAFETY: null, or the last action remembered, which is never freed nor changed.
    let previous = unsafe { PREVIOUS.load(Ordering::Acquire).as_ref() };
    previous.map_or(Below::DEFAULT, Below::of)
}

/// Restores the default action. An instruction that faults does so again on return; a signal that was
/// sent has to be sent again.
fn end_by_default(signal: c_int, sent: bool) {
    let default = empty_action();
    // SAFETY: `default` is a complete action; a null old action is allowed.
    unsafe { libc::sigaction(signal, &raw const default, ptr::null_mut()) };
    if sent {
        // SAFETY: raise takes an integer; the signal is not blocked, by SA_NODEFER.
        unsafe { libc::raise(signal) };
    }
}

/// What the processor says about the instruction that faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Trap {
    /// It could have been either.
    #[cfg_attr(target_arch = "x86_64", expect(dead_code, reason = "x86-64 always says"))]
    Unknown = UNKNOWN,
    Load = LOAD,
    Store = STORE,
    /// The instruction itself is there, and no access makes that right.
    Fetch,
}

impl Trap {
    /// Whether it was a store, where the processor says so.
    fn is_store(self) -> Option<bool> {
        match self {
            Self::Load => Some(false),
            Self::Store => Some(true),
            Self::Unknown | Self::Fetch => None,
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn of(context: &libc::ucontext_t, _address: usize) -> Self {
        let error = context.uc_mcontext.gregs[libc::REG_ERR as usize];
        match error {
            error if error & PAGE_FAULT_FETCH != 0 => Self::Fetch,
            error if error & PAGE_FAULT_WRITE != 0 => Self::Store,
            _ => Self::Load,
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn of(context: &libc::ucontext_t, address: usize) -> Self {
        let fetch = context.uc_mcontext.pc == address as u64;
        if fetch { Self::Fetch } else { Self::Unknown }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn of(_context: &libc::ucontext_t, _address: usize) -> Self {
        Self::Unknown
    }
}

pub(crate) type InfoHandler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
type PlainHandler = extern "C" fn(c_int);

/// The served range; nothing is served while the end is 0.
static BASE: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);
static PAGE_SHIFT: AtomicU32 = AtomicU32::new(12);
/// The driver's thread id, or 0.
static DRIVER: AtomicI32 = AtomicI32::new(0);
static PIPE: OnceLock<Pipe> = OnceLock::new();
/// The pipe's end to write to, for the handler.
static POST: AtomicI32 = AtomicI32::new(-1);
/// Raised to wake the threads stopped on pages with this remainder.
static GENERATIONS: [Generation; 1024] = [const { Generation::new() }; 1024];
/// The action before ours; only ever replaced, never freed.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());
/// Whether our handler is in force or under one that passes on to it.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Requests to end the process.
const ENDING: [c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
/// The siginfo code of a fault on a mapping without the permission.
const SEGV_ACCERR: c_int = 2;
#[cfg(target_arch = "x86_64")]
const PAGE_FAULT_WRITE: i64 = 1 << 1;
#[cfg(target_arch = "x86_64")]
const PAGE_FAULT_FETCH: i64 = 1 << 4;
const RECORD_BYTES: usize = 16;
/// The second word of a record: a trap, and the number of the thread above it.
const TRAP: usize = 3;
const THREAD_SHIFT: u32 = 32;
const UNKNOWN: usize = 0;
const LOAD: usize = 1;
const STORE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were_posted() {
        for (trap, write) in [(LOAD, Some(false)), (STORE, Some(true)), (UNKNOWN, None)] {
            let (address, thread) = (0x2000_0000_1008, 4_194_304);
            let second = trap + ((thread as usize) << THREAD_SHIFT);
            let record = [address, second].map(usize::to_ne_bytes).concat();
            assert_eq!(decode(&record), Posted { address, write, thread });
        }
    }
}
