//! Faults that are served on the very thread that they stopped.
//!
//! A thread that waits in the handler of SIGSEGV can do anything that a signal handler may. If nobody else serves
//! faults at the moment it need not wake who does, nor be woken. Like the handler's, this state is the
//! process's, and is never freed.

use crate::faults::ThreadId;
use crate::handler::Posted;
use crate::spare_stack::SpareStack;
use std::ffi::c_int;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// A thread of this process that is stopped in the handler of SIGSEGV: the calling one.
#[derive(Debug)]
pub struct StoppedThread {
    pub(crate) posted: Posted,
    /// Raised when the thread may go on, and what it was before.
    pub(crate) generation: &'static AtomicU32,
    pub(crate) seen: u32,
}

/// Serves the fault of the thread that calls it. The result says whether the driver knows of the fault; if not, it is
/// told in the usual way.
pub type ServeStopped = dyn Fn(&StoppedThread) -> bool + Send + Sync;

impl StoppedThread {
    /// The thread.
    #[must_use]
    pub fn thread(&self) -> ThreadId {
        ThreadId(self.posted.thread)
    }

    /// Whether it may try its access again.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.generation.load(Ordering::SeqCst) != self.seen
    }
}

/// From here on stopped threads serve themselves, if they can. Where there is no stack for that they do not.
pub(crate) fn begin(serve: Box<ServeStopped>) {
    if STACK.get().is_none()
        && let Ok(stack) = SpareStack::new()
    {
        STACK.get_or_init(|| stack);
    }
    let server = Box::new(Server { process: std::process::id(), serve });
    SERVER.store(Box::into_raw(server), Ordering::Release);
}

/// From here on they do not.
pub(crate) fn end() {
    SERVER.store(ptr::null_mut(), Ordering::Release);
}

/// Whether this thread touched shared memory while it served itself, which nobody could serve.
pub(crate) fn serves_itself(thread: i32) -> bool {
    STACK.get().is_some_and(|stack| stack.is_of(thread))
}

/// Serves the fault on its thread; `false` if the driver has to be told of it. To be called in the handler.
pub(crate) fn serve(stopped: &StoppedThread) -> bool {
    // SAFETY: null, or what `begin` stored, which is never freed nor changed.
    let Some(server) = (unsafe { SERVER.load(Ordering::Acquire).as_ref() }) else { return false };
    let Some(stack) = STACK.get() else { return false };
    // A child of vfork(2) has this memory and other descriptors.
    if std::process::id() != server.process {
        return false;
    }
    let served = stack.run(stopped.posted.thread.cast_signed(), || {
        // Whoever cancels this thread would leave the driver half-way.
        let before = set_cancel_state(CANCEL_DISABLE);
        let served = (server.serve)(stopped);
        set_cancel_state(before);
        served
    });
    served.unwrap_or(false)
}

fn set_cancel_state(state: c_int) -> c_int {
    let mut before = CANCEL_ENABLE;
    // SAFETY: the state is one of the two; `before` is valid for writes. It changes a word of the thread's own.
    unsafe { pthread_setcancelstate(state, &raw mut before) };
    before
}

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

struct Server {
    /// A forked child has it too, and may not use it.
    process: u32,
    serve: Box<ServeStopped>,
}

/// Who serves, or null; only ever replaced, never freed: a handler may be using it.
static SERVER: AtomicPtr<Server> = AtomicPtr::new(ptr::null_mut());
static STACK: OnceLock<SpareStack> = OnceLock::new();

/// Of POSIX threads, on Linux with any C library.
const CANCEL_ENABLE: c_int = 0;
const CANCEL_DISABLE: c_int = 1;
