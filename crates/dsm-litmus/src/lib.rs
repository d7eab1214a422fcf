//! Tests of the memory that the ranks of a real job share, through the public interface alone.
//!
//! - [`litmus`]: small programs with a known set of allowed outcomes, run many times (`dsm-litmus`).
//! - [`memtest`]: random programs, recorded and decided by the checker of dsm-sim (`dsm-memtest`).
//!
//! Both start, collect and end over a [`Hub`](hub::Hub), TCP connections of their own, so that what
//! coordinates a test does not order the accesses under test.
#![forbid(unsafe_code)]

pub mod clock;
pub mod hub;
pub mod litmus;
pub mod memtest;
