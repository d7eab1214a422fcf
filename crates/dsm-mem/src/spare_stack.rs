use crate::mapping::{Mapping, Placement};
use rustix::io::Errno;
use rustix::mm::MprotectFlags;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

/// A stack for what a signal handler runs that may need more than the thread has: a thread's alternate stack
/// is as small as 8 KiB.
///
/// One thread uses it at a time. Below it is memory that nobody may touch, so that what needs more than there is
/// ends the process.
#[derive(Debug)]
pub(crate) struct SpareStack {
    memory: Mapping,
    /// The thread that runs here, or 0.
    taken_by: AtomicI32,
}

impl SpareStack {
    /// A stack, or an error on a processor for which there is none.
    pub(crate) fn new() -> Result<Self, Errno> {
        if !cfg!(target_arch = "x86_64") {
            return Err(Errno::NOSYS);
        }
        let memory = Mapping::anonymous(BYTES + GUARD_BYTES, Placement::Anywhere)?;
        memory.protect_range(0, GUARD_BYTES, MprotectFlags::empty())?;
        Ok(Self { memory, taken_by: AtomicI32::new(0) })
    }

    /// Whether this thread runs here.
    pub(crate) fn is_of(&self, thread: i32) -> bool {
        self.taken_by.load(Ordering::Relaxed) == thread
    }

    /// Runs a function here, on behalf of this thread; `None` if another thread uses the stack. The function must
    /// not panic: that ends the process.
    pub(crate) fn run<T>(&self, thread: i32, body: impl FnOnce() -> T) -> Option<T> {
        let (free, order) = (0, Ordering::Acquire);
        self.taken_by.compare_exchange(free, thread, order, Ordering::Relaxed).ok()?;
        let mut body = Some(body);
        let mut result = None;
        let mut call: &mut dyn FnMut() = &mut || {
            let body = body.take().expect("a function runs once");
            result = Some(body());
        };
        let top = self.memory.at(self.memory.bytes(), 0);
        // SAFETY: `top` is the aligned end of at least `BYTES` bytes, readable and writable, that stay mapped while
        // `self` is borrowed and that nobody else uses, because `taken_by` names this thread. `call` is what
        // `call_back` expects and outlives the call.
        unsafe { run_on(top, call_back, ptr::from_mut(&mut call).cast()) };
        self.taken_by.store(free, Ordering::Release);
        result
    }
}

/// Calls the closure. Unwinding out of it would end here, with the process.
///
/// # Safety
/// `call` points to a `&mut dyn FnMut()` that nobody else uses.
unsafe extern "C" fn call_back(call: *mut c_void) {
    // SAFETY: by this function's contract.
    let call = unsafe { &mut *call.cast::<&mut dyn FnMut()>() };
    call();
}

/// Calls `function(argument)` on the stack that ends at `top`.
///
/// # Safety
/// Below `top`, which is a multiple of 16, is as much memory as the function needs, which nobody else uses.
/// `function` may be called with `argument`, and returns.
#[cfg(target_arch = "x86_64")]
unsafe fn run_on(top: *mut u8, function: unsafe extern "C" fn(*mut c_void), argument: *mut c_void) {
    // SAFETY: r12 is preserved by the call, so the stack pointer is afterwards what it was; everything else that a
    // C function may change is declared. The stack is aligned at the call, as the ABI wants, and large enough
    // by this function's contract.
    unsafe {
        core::arch::asm!(
            "mov r12, rsp",
            "mov rsp, {top}",
            "call {function}",
            "mov rsp, r12",
            top = in(reg) top,
            function = in(reg) function,
            in("rdi") argument,
            out("r12") _,
            clobber_abi("C"),
        );
    }
}

/// # Safety
/// None of these stacks is made on this processor.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn run_on(_: *mut u8, _: unsafe extern "C" fn(*mut c_void), _: *mut c_void) {
    unreachable!("a stack is made only where one can be used")
}

/// More than the deepest that the driver goes. Only what is touched takes memory.
const BYTES: usize = 1 << 20;
/// Larger than any one frame, and a multiple of any page.
const GUARD_BYTES: usize = 64 << 10;

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn a_function_runs_on_it_and_its_result_comes_back() {
        let stack = SpareStack::new().unwrap();
        let outside = 7_u64;
        let (inside, sum) = stack
            .run(5, || {
                assert!(stack.is_of(5));
                assert_eq!(stack.run(6, || ()), None);
                let local = std::hint::black_box(outside + 1);
                (ptr::from_ref(&local).addr(), local + outside)
            })
            .unwrap();
        let start = stack.memory.address() + GUARD_BYTES;
        assert!((start..start + BYTES).contains(&inside), "{inside:#x}");
        assert_eq!(sum, 15);
        assert!(!stack.is_of(5));
        assert_eq!(stack.run(6, || 1), Some(1));
    }
}
