//! What shared memory is: its place, its pages, their homes.

use crate::call::{in_job, status, value};
use crate::error::Failure;
use crate::node::with_node;
use dsm::{Access, Node};
use libc::{c_char, c_int, c_void, size_t};
use std::ptr;

/// Bytes of the area; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_size() -> size_t {
    value(0, || Ok(with_node(Node::size).unwrap_or(0)))
}

/// Bytes of a page; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_page_size() -> size_t {
    let own = rustix::param::page_size();
    value(own, || Ok(with_node(Node::page_bytes).unwrap_or(own)))
}

/// First byte of the area; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_base() -> *mut c_char {
    let base = value(0, || Ok(with_node(Node::base).unwrap_or(0)));
    ptr::with_exposed_provenance_mut(base)
}

/// The home of a page; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_home(p: *const c_void) -> c_int {
    value(-1, || Ok(with_node(|node| node.home(p.addr())).flatten().map_or(-1, c_int::from)))
}

/// Whether a pointer is into shared memory; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_is_shared(p: *const c_void) -> c_int {
    value(0, || Ok(with_node(|node| node.is_shared(p.addr())).unwrap_or(false).into()))
}

/// Starts bringing pages here for reading; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_prefetch(p: *const c_void, n: size_t) -> c_int {
    prefetch(p, n, Access::Read)
}

/// Starts bringing pages here for writing; see dsm.h.
#[unsafe(no_mangle)]
pub extern "C" fn dsm_prefetch_write(p: *mut c_void, n: size_t) -> c_int {
    prefetch(p, n, Access::Write)
}

fn prefetch(p: *const c_void, bytes: usize, access: Access) -> c_int {
    status(|| {
        let address = p.addr();
        let started = in_job(|node| node.prefetch(address, bytes, access))?;
        started.map_err(|source| Failure::Object { what: "prefetch", address, source })
    })
}
