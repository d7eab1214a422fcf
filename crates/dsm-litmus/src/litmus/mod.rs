//! Litmus tests: small parallel programs whose allowed outcomes are known, on the ranks of a real job.
//!
//! What is checked. Each thread of a [`Shape`] runs on a rank of its own, with plain loads and stores
//! (`Relaxed`, in program order: nothing but the compiler is kept from moving them), and the outcome must be
//! one of some interleaving: accesses of different ranks are sequentially consistent. Where a job has fewer
//! ranks than a shape has threads, threads share ranks and every access is `SeqCst`, because threads of one
//! rank see the host's own memory model among themselves. The final values of the variables are part of
//! the outcome.
//!
//! The [positive control](control) runs store buffering with plain accesses on two threads of *one* rank,
//! where the outcome that is forbidden between ranks is allowed and must be seen: it shows that these
//! tests notice when accesses are not sequentially consistent.
//!
//! Instances run in [batches](Batch). Everything about a batch follows from the seed and its number, on
//! every rank alike; what does not is how the ranks' instructions fall together in time.

mod batch;
mod cells;
pub mod control;
mod outcome;
mod report;
mod run;
mod shape;
mod tally;
mod walk;

pub use batch::{Batch, Ground, Home, Layout, Start, Style};
pub use cells::Width;
pub use control::Control;
pub use outcome::{FOREIGN, Outcome};
pub use report::Report;
pub use run::{Budget, Failure, Next, run};
pub use shape::{Access, MAX_VALUE, Shape};
pub use tally::{Forbidden, Tally};
