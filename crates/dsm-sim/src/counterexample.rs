use crate::{Broken, Path, Replay, Setup, trace};
use std::fmt;

/// The way to a broken promise.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// The promise and how it was broken.
    pub broken: Broken,
    /// The world it happened in.
    pub setup: Setup,
    /// The steps that led there.
    pub path: Path,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.broken)?;
        writeln!(f, "world: {}", self.setup)?;
        writeln!(f, "after {} steps:", self.path.0.len())?;
        f.write_str(&trace::tell(&self.setup, &self.path))?;
        let replay = Replay { setup: self.setup.clone(), path: self.path.clone() };
        write!(f, "repeat with: dsm-sim replay {replay}")
    }
}

impl std::error::Error for Counterexample {}
