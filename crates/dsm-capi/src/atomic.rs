//! Operations on words where their page is.

use crate::call::{check_object, on_object, value_or_errno};
use crate::error::Failure;
use libc::c_int;

/// Adds to a word; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_fetch_add_u64(p: *mut u64, v: u64) -> u64 {
    value_or_errno(0, || on_object("add to the word", p, |node, word| node.fetch_add(word, v)))
}

/// Replaces a word that is as expected; see dsm.h.
///
/// # Safety
/// `expected` must be null, or aligned and valid for reads and writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dsm_compare_exchange_u64(
    p: *mut u64,
    expected: *mut u64,
    desired: u64,
) -> c_int {
    let what = "exchange the word";
    value_or_errno(0, || {
        check_object(what, p)?;
        if expected.is_null() {
            return Err(Failure::NullPointer { what });
        }
        // SAFETY: it is not null, so by this function's contract it is aligned and valid for reads.
        let before = unsafe { expected.read() };
        match on_object(what, p, |node, word| node.compare_exchange(word, before, desired))? {
            Ok(_) => Ok(1),
            Err(found) => {
                // SAFETY: it is not null, so by this function's contract it is aligned and valid for writes.
                unsafe { expected.write(found) };
                Ok(0)
            }
        }
    })
}
