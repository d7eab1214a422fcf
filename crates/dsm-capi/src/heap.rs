//! Memory that is shared by whoever knows its address or its name.

use crate::call::{in_job, pointer, value_or_errno};
use crate::error::Failure;
use crate::node::tell;
use dsm::HeapError;
use libc::{c_char, c_void, size_t};
use std::ffi::CStr;

/// Allocates; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_malloc(n: size_t) -> *mut c_void {
    pointer(|| Ok(in_job(|node| node.allocate(n, ALIGN))??))
}

/// Allocates at a multiple; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_aligned_alloc(align: size_t, n: size_t) -> *mut c_void {
    // What is no power of two stays none.
    let align = if align.is_power_of_two() { align.max(ALIGN) } else { align };
    pointer(|| Ok(in_job(|node| node.allocate(n, align))??))
}

/// Frees; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_free(p: *mut c_void) {
    if p.is_null() {
        return;
    }
    value_or_errno((), || {
        let freed = in_job(|node| node.free(p.addr()))?;
        freed.map_err(|error| {
            let failure = Failure::Heap(error);
            // Nobody looks at errno after this call, and the mistake is worth a word.
            if !matches!(failure, Failure::Heap(HeapError::Left)) {
                tell(&failure);
            }
            failure
        })
    });
}

/// The memory of a name; see dsm.h.
///
/// # Safety
/// `name` must be null, or the address of a string that ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dsm_named(name: *const c_char, n: size_t) -> *mut c_void {
    pointer(|| {
        in_job(|_| ())?;
        if name.is_null() {
            return Err(Failure::NullPointer { what: "meet at a name" });
        }
        // SAFETY: it is not null, so by this function's contract it is a string that ends, and nobody is
        // to change it during the call.
        let name = unsafe { CStr::from_ptr(name) };
        let text = name.to_str().map_err(|_| Failure::NotText { name: name.to_owned() })?;
        Ok(in_job(|node| node.named_bytes(text, n))??)
    })
}

/// What C's own allocator gives on 64-bit machines.
const ALIGN: usize = 16;
