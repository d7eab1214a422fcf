//! What a forked child is told.
//!
//! A child of fork(2) has a copy of everything but the region and the threads: the sockets to the other
//! ranks among them. If it used them it would speak for its parent. So it knows that it is a child,
//! and if it touches the region it hears why that ends it.

use crate::handler::{self, Below};
use crate::line::Line;
use rustix::io::Errno;
use std::ffi::{c_int, c_void};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};

/// Whether this process is a child that was forked from one with a region. It has none of it, and its
/// copies of the descriptors are its parent's.
#[must_use]
pub fn is_forked_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

/// Tells children forked from here on that they have no region, which is in this range.
pub(crate) fn watch(base: usize, bytes: usize) -> Result<(), Errno> {
    let mut watched = Ok(());
    ONCE.call_once(|| watched = register());
    PARENT.store(std::process::id(), Ordering::Relaxed);
    BASE.store(base, Ordering::Relaxed);
    END.store(base + bytes, Ordering::Relaxed);
    watched
}

fn register() -> Result<(), Errno> {
    // SAFETY: the function does only what is allowed in a child of a process with threads, see there.
    match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
        0 => Ok(()),
        errno => Err(Errno::from_raw_os_error(errno)),
    }
}

/// Runs in the child before fork(3) returns. It calls `sigaction(2)`, and otherwise stores to statics.
extern "C" fn in_child() {
    IS_CHILD.store(true, Ordering::Relaxed);
    // If the action cannot be changed the child ends without a word.
    if let Ok(below) = handler::forget_in_child(on_sigsegv) {
        BELOW.store(below.handler, Ordering::Relaxed);
        BELOW_FLAGS.store(below.flags, Ordering::Relaxed);
    }
}

/// The handler in a child, above what the program has. It calls, and nothing else: `getpid(2)`,
/// `write(2)`, `sigaction(2)`, `raise(3)`, all async-signal-safe, and the program's handler.
extern "C" fn on_sigsegv(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler set with SA_SIGINFO.
    let cause = unsafe { &*info };
    // SAFETY: any bytes are a value of the field; it is used as an address only if no process sent it.
    let address = unsafe { cause.si_addr() }.addr();
    let range = BASE.load(Ordering::Relaxed)..END.load(Ordering::Relaxed);
    if cause.si_code > 0 && range.contains(&address) {
        tell(address);
    }
    let handler = BELOW.load(Ordering::Relaxed);
    let flags = BELOW_FLAGS.load(Ordering::Relaxed);
    handler::pass_on(Below { handler, flags }, signal, info, context);
}

fn tell(address: usize) {
    let mut line = Line::default();
    line.push(b"dsm: process ");
    line.push_decimal(std::process::id() as usize);
    line.push(b" touched shared memory at 0x");
    line.push_hexadecimal(address);
    line.push(b", but it is a forked child of process ");
    line.push_decimal(PARENT.load(Ordering::Relaxed) as usize);
    line.push(b" and has none\n");
    line.write_to_stderr();
}

static ONCE: Once = Once::new();
static IS_CHILD: AtomicBool = AtomicBool::new(false);
/// Whose region it was, and where.
static PARENT: AtomicU32 = AtomicU32::new(0);
static BASE: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);
/// What the child's program does about SIGSEGV.
static BELOW: AtomicUsize = AtomicUsize::new(Below::DEFAULT.handler);
static BELOW_FLAGS: AtomicI32 = AtomicI32::new(Below::DEFAULT.flags);
