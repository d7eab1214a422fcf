//! How the shipped engine grows: the same operations on 2 to 1,024 ranks, under a model of the time that a
//! processor and a network take.
//!
//! Everything that engines say to each other here they would say in a job of that many ranks; the messages and
//! bytes are counted, not estimated. The time is a model's: [`Model`] says what it knows and what it does not.
//! Nothing is drawn from a clock: the same command prints the same figures on every machine.

mod cluster;
mod member;
mod model;
mod operation;
mod plot;
mod report;

mod workload;

pub use model::{Model, ModelError};
pub use operation::{Figure, Operation};
pub use plot::plot;
pub use report::{Report, SpliceError};

pub use workload::{Load, Workload};
