//! Feeds what dsm reads from strangers with what strangers could write.
//!
//! Each [`Target`] is one place where bytes come in. [`execute`](Target::execute) panics if it does not
//! behave: it may refuse, it may accept, and what it accepts must mean what it says. The bytes come from a
//! [`Campaign`], which changes well-formed examples at random; anything else that makes bytes, such as
//! libFuzzer, can call the same function.
#![forbid(unsafe_code)]

mod campaign;
mod driven;
mod examples;
mod pr204;
mod secrets;
mod targets;

pub use campaign::{Campaign, Crash};
pub use targets::Target;
