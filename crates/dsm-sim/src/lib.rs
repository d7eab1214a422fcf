//! Runs the shipped protocol engine in an abstract cluster and checks what it promises.
//!
//! A [`World`] is a few engines, an abstract memory in which the content of a page is a version number,
//! and wires that deliver in order between each pair of ranks. Its [`Step`]s are everything a real driver,
//! network and program could do next. [`explore`] takes every step in every state of a small world;
//! [`roam`] takes one at a time, drawn from a seed, in larger worlds. After each step the monitors look
//! for a broken promise; [`Broken`] says which.
//!
//! The simulator knows the seam of dsm-core and nothing else: the state of an engine is opaque to it.
#![forbid(unsafe_code)]

mod broken;
mod explore;
mod memory;
mod node;
mod seen;
mod setup;
mod tape;
mod trace;
mod world;
mod worlds;

pub use broken::{Broken, Promise};
pub use explore::{Counterexample, Exploration, Limits, explore};
pub use setup::{Arrival, Faults, Op, ScriptError, Setup, scripts};
pub use trace::{Path, PathError, tell};
pub use world::{Step, World};
pub use worlds::{NamedWorld, WORLDS};
