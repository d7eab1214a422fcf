//! What passes between processes: launch frames, the rendezvous of the ranks, and their connections.
//!
//! [`launch`] is how dsmexec and dsmwrap speak, [`pr204`] how those of other implementations do.
//!
//! It knows no page bytes and no region: whoever owns them moves them in and out of a connection's socket.
#![forbid(unsafe_code)]

pub mod connection;
mod encryption;
pub mod frame;
pub mod handshake;
pub mod keys;
pub mod launch;
pub mod pr204;
pub mod record;
pub mod rendezvous;
mod strangers;
mod trial;
pub mod wipe;

pub use encryption::Encryption;
pub use trial::EncryptionCost;
