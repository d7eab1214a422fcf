//! What passes between processes: launch frames, the rendezvous of the ranks, and their connections.
//!
//! It knows no page bytes and no region: whoever owns them lends a function that moves them.
#![forbid(unsafe_code)]

pub mod frame;
pub mod launch;
