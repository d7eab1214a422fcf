//! Runs the shipped protocol engine in an abstract cluster and checks what it promises.
//!
//! A [`World`] is a few engines, an abstract memory in which the content of a page is a version number,
//! and wires that deliver in order between each pair of ranks. Its [`Step`]s are everything a real driver,
//! network and program could do next. [`explore`] takes every step in every state of a small world;
//! [`roam`] takes one at a time, drawn from a seed, in larger worlds. After each step the monitors look
//! for a broken promise; [`Broken`] says which.
//!
//! The simulator knows the seam of dsm-core and nothing else: the state of an engine is opaque to it.
//! [`check`] knows not even that: it decides whether what real or simulated programs saw is consistent.
#![forbid(unsafe_code)]

mod broken;
mod calm;
pub mod check;
mod counterexample;
#[cfg(feature = "mutants")]
mod coverage;
mod draw;
mod explore;
#[cfg(feature = "mutants")]
pub mod growth;
pub mod history;
mod hunt;
mod locks;
mod memory;
mod node;
mod op;
mod oracle;
mod planted;
#[cfg(feature = "mutants")]
pub mod pr204;
mod replay;
pub mod rng;
mod roam;
mod schedule;
mod seen;
mod setup;
mod shrink;
mod tally;
mod tape;
mod thread;
mod trace;
mod words;
mod world;
mod worlds;

pub use broken::{Broken, Promise};
pub use counterexample::Counterexample;
#[cfg(feature = "mutants")]
pub use coverage::{Coverage, Gap};
pub use explore::{Exploration, Limits, explore, explore_watching, shortest};
pub use hunt::{Found, hunt_schedules, hunt_states};
pub use op::{Mode, Op, Patience};
pub use planted::Mutant;
pub use replay::{Replay, ReplayError};
pub use roam::{Roamed, drawn_setup, roam, roam_watching};
pub use setup::{Arrival, Faults, ScriptError, Setup, Watch, scripts};
pub use shrink::shrink;
pub use trace::{Path, PathError, tell};
pub use world::{Step, World};
pub use worlds::{NamedWorld, WORLDS, When};
