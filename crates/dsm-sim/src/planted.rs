//! Engines with a bug in them, where the `mutants` feature allows it.

use crate::Setup;
use dsm_core::{Config, Engine};

#[cfg(feature = "mutants")]
pub use dsm_core::Mutant;

/// No bug: this build of the engine has none to plant.
#[cfg(not(feature = "mutants"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {}

/// The bug of this name.
#[cfg(feature = "mutants")]
pub(crate) fn named(name: &str) -> Option<Mutant> {
    Mutant::ALL.iter().copied().find(|mutant| format!("{mutant:?}") == name)
}

#[cfg(not(feature = "mutants"))]
pub(crate) fn named(_: &str) -> Option<Mutant> {
    None
}

#[cfg(feature = "mutants")]
pub(crate) fn engine(config: Config, setup: &Setup) -> Engine {
    let engine = match setup.mutant {
        Some(mutant) => Engine::with_mutant(config, mutant),
        None => Engine::new(config),
    };
    let engine = match setup.fan_in {
        Some(fan_in) => engine.with_fan_in(fan_in),
        None => engine,
    };
    match setup.moves_after {
        Some(moves) => engine.with_moves_after(moves),
        None => engine,
    }
}

#[cfg(not(feature = "mutants"))]
pub(crate) fn engine(config: Config, _: &Setup) -> Engine {
    Engine::new(config)
}
