use crate::{Arrival, Faults, ScriptError, Setup};
use dsm_core::{Hold, Mutant};

/// A world that is explored to its last state.
#[derive(Clone, Copy, Debug)]
pub struct NamedWorld {
    /// What it is called.
    pub name: &'static str,
    /// How many pages there are.
    pub pages: u64,
    /// What its threads do, as [`scripts`](crate::scripts) reads it.
    pub scripts: &'static str,
    /// Whether granted pages stay for a minimum time.
    pub hold: Hold,
    /// How a page's bytes come in.
    pub arrival: Arrival,
    /// When a driver learns of a fault.
    pub faults: Faults,
}

impl NamedWorld {
    /// Its setup, with or without a bug in it.
    ///
    /// # Errors
    /// If its scripts cannot be read.
    pub fn setup(&self, mutant: Option<Mutant>) -> Result<Setup, ScriptError> {
        let Self { pages, scripts, hold, arrival, faults, .. } = *self;
        Ok(Setup { hold, arrival, faults, mutant, ..Setup::new(pages, scripts)? })
    }
}

const PLAIN: NamedWorld = NamedWorld {
    name: "",
    pages: 1,
    scripts: "",
    hold: Hold::None,
    arrival: Arrival::Whole,
    faults: Faults::AtOnce,
};

/// The worlds that every change of the protocol must pass.
pub const WORLDS: &[NamedWorld] = &[
    NamedWorld { name: "2x1", scripts: "r0 w0 r0 | w0 r0 w0", ..PLAIN },
    NamedWorld { name: "3x1", scripts: "w0 r0 | r0 w0 | r0 w0", ..PLAIN },
    NamedWorld { name: "3x2", pages: 2, scripts: "w0 r1 | w1 r0 | r0 w1", ..PLAIN },
];
