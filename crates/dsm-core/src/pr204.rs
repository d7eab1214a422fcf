//! How ranks of the PR204 family share pages, as a state machine: for ranks of ours beside foreign ones.
//!
//! A page has one owner, which reads and writes it; nobody else has a copy. Whoever faults asks the owner
//! it presumes, and the owner hands the page over. An [`Engine`] takes one [`Input`] and gives the
//! [`Output`]s its driver carries out, in order and completely, before the next input. It performs no I/O
//! and never sees the bytes of a page.
//!
//! What ranks say is not normalised in this family; a job speaks one [`Profile`]:
//!
//! | profile | who learns that a page moved | a request that finds no page |
//! |---|---|---|
//! | [`Profile::Seed8`], two ranks | the two | cannot be: the other one has it |
//! | [`Profile::Bcast`], up to eight | all: a page is announced to every rank | goes on to the presumed owner |
//!
//! In `Seed8` a reply has no header, so what a rank hears while it waits for a page cannot always be told
//! apart. Whoever reads the bytes does that, before the engine hears of a message, and states the limits.
//!
//! In `Bcast` announcements of different ranks overtake each other, and whoever believes the latest one can
//! send a request in circles for ever. So announcements are put in the order in which the page moved.

mod bcast;
mod engine;
mod io;
mod mutant;
mod owners;
mod seed8;
pub mod wire;

pub use engine::{Config, Engine};
pub use io::{Input, Message, Output, Reason};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;

/// How the ranks of a job speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// Requests of eight bytes and pages without a header, between two ranks.
    Seed8,
    /// Typed messages; a page is announced to all.
    Bcast,
}

impl Profile {
    /// The most ranks of a job.
    #[must_use]
    pub fn max_nodes(self) -> u16 {
        match self {
            Self::Seed8 => 2,
            Self::Bcast => 8,
        }
    }
}
