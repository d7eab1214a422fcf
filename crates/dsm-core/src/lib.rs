//! The coherence protocol as a pure state machine.
//!
//! An [`Engine`] takes one [`Input`] and returns the [`Outputs`] its driver must carry out, in order
//! and completely, before the next input. Nothing here performs I/O, reads a clock, spawns a thread,
//! draws a random number or sees the bytes of a page.
//!
//! The protocol is a home-based directory with single-writer/many-readers write-invalidation
//! (Li and Hudak, "Memory Coherence in Shared Virtual Memory Systems", TOCS 7(4), 1989, section 4,
//! with a fixed distributed manager), with the clean-exclusive state of Papamarcos and Patel (ISCA 1984).
//! `docs/protocol.md` has its states by messages and its bytes.
#![no_std]
#![forbid(unsafe_code, unused_must_use)]
extern crate alloc;

mod barrier;
mod calls;
mod cond;
mod copy;
mod directory;
mod engine;
mod gathering;
mod guests;
mod homes;
mod io;
mod message;
mod mutant;
mod placement;
pub mod pr204;
mod runs;
mod semaphore;
mod space;
mod table;
mod types;
pub mod wire;

pub use engine::{Config, Engine, Hold, Standing, Withheld};
pub use io::{Attachment, Call, Input, Output, Outputs, Source, Task, Violation};
pub use message::{Answer, Ask, BarrierKind, CallId, Message, Payload, Right};
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use placement::Placement;
pub use space::Space;
pub use types::{Access, Epoch, ObjectId, PageId, Rank};
#[cfg(feature = "mutants")]
pub use {
    barrier::{BarrierEvent, BarrierSituation, BarrierState, BelowArrived},
    calls::{CallEvent, CallSituation, CallState},
    cond::{CondEvent, CondSituation, Few},
    copy::{CopyContent, CopyEvent, CopySituation, CopyState, Which},
    copy::{Lent, TokenEvent, TokenSituation, TokenState},
    copy::{OperationPlace, OperationSituation, ReclaimSituation},
    directory::{Asker, HomeEvent, HomeSituation, HomeState, Owner},
    engine::{Footprint, Situation},
    gathering::{GatheringEvent, GatheringSituation},
    homes::{ClaimSituation, Claimed, Knowledge, Named},
    runs::{RunEvent, RunSituation},
    semaphore::{SemaphoreEvent, SemaphoreSituation, SemaphoreValue},
};
