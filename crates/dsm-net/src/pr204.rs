//! What launchers, wrappers and programs of the PR204 family say to each other, as bytes.
//!
//! PR204 is a course project of ENSEIRB-MATMECA whose subject normalises how a launcher tells a program
//! where its peers are, so that any launcher starts any program. All numbers are 32-bit signed
//! little-endian integers, as C on x86-64 lays them out. Nothing here is keyed or encrypted.
//!
//! | who speaks | what | where |
//! |---|---|---|
//! | launcher to program | [`LaunchBlock`] on the descriptor [`LAUNCHER_FD`] names | the normalised part |
//! | wrapper to launcher and back | [`Announcement`] and [`LaunchBlock`], in the order of a [`WrapProfile`] | private to each member |
//! | program to launcher and back | [`Contribution`]s and all blobs | the subject of 2025 |

mod announcement;
mod block;
mod contribution;
mod record;

pub use announcement::{Announcement, AnnouncementReader, WrapProfile};
pub use block::{BlockReader, LaunchBlock};
pub use contribution::{Contribution, ContributionReader, MAX_BLOB_BYTES};
pub use record::{MACHINE_BYTES, RECORD_BYTES, Record};

use std::fmt;
use thiserror::Error;

/// The environment variable that names the descriptor of the connection to the launcher.
pub const LAUNCHER_FD: &str = "DSMEXEC_FD";

/// The environment variable that names the descriptor of the rank's bound TCP socket.
pub const LISTENER_FD: &str = "MASTER_FD";

/// The descriptors of members that set neither variable.
pub const BARE_FDS: [i32; 2] = [3, 4];

/// The variables with which a launcher of 2025 says where it listens and who the program is: its
/// host, its port, the program's rank, and the number of ranks.
pub const ETE7: [&str; 4] =
    ["DSMEXEC_HOSTNAME", "DSMEXEC_PORTNUM", "DSMEXEC_RANKID", "DSMEXEC_RANKNUM"];

/// The most ranks of a job in these formats: its block fits a socket's buffer.
pub const MAX_NODES: u16 = 256;

/// The first address of the family's area.
pub const BASE: usize = 0x3ff9_c000;

/// How many pages of [`PAGE_BYTES`] the family's area has.
pub const PAGES: usize = 100;

/// Bytes of a page of the family's area.
pub const PAGE_BYTES: usize = 4096;

/// Why bytes are not what their profile says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// The number of ranks cannot be.
    #[error("a job of {nodes} ranks, expected 1 to {MAX_NODES}")]
    Nodes {
        /// What was read.
        nodes: i32,
    },
    /// A rank is not one of the job's.
    #[error("rank {rank} in a job of {nodes} ranks")]
    Rank {
        /// What was read.
        rank: i32,
        /// How many ranks the job has.
        nodes: u16,
    },
    /// A rank has two records.
    #[error("two records of rank {rank}")]
    Twice {
        /// Whose.
        rank: u16,
    },
    /// A port cannot be connected to.
    #[error("port {port} of {machine}, expected 1 to 65535")]
    Port {
        /// What was read.
        port: i32,
        /// The machine of the same record.
        machine: String,
    },
    /// The name of a machine is not one.
    #[error("a machine name that {0}")]
    Machine(NameFault),
    /// A length is over its limit.
    #[error("{what} of {bytes} bytes, expected at most {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// What was read.
        bytes: u64,
        /// The limit.
        limit: usize,
    },
    /// The stream ended too early.
    #[error("the stream ended after {got} of {expected} bytes of {what}")]
    Short {
        /// What was being read.
        what: &'static str,
        /// Bytes that came.
        got: usize,
        /// Bytes that should have.
        expected: usize,
    },
}

/// What is wrong with a machine's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// It has no end.
    Unterminated,
    /// It is empty.
    Empty,
    /// It has a byte that no name has.
    NotAName,
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unterminated => "does not end",
            Self::Empty => "is empty",
            Self::NotAName => "is not one",
        })
    }
}

/// The number of ranks as read.
fn nodes_of(nodes: i32) -> Result<u16, FormatError> {
    let known = u16::try_from(nodes).ok().filter(|nodes| (1..=MAX_NODES).contains(nodes));
    known.ok_or(FormatError::Nodes { nodes })
}

/// A rank as read, in a job of so many.
fn rank_of(rank: i32, nodes: u16) -> Result<u16, FormatError> {
    let known = u16::try_from(rank).ok().filter(|&rank| rank < nodes);
    known.ok_or(FormatError::Rank { rank, nodes })
}

/// A port as read, of a machine.
fn port_of(port: i32, machine: &str) -> Result<u16, FormatError> {
    let known = u16::try_from(port).ok().filter(|&port| port != 0);
    known.ok_or_else(|| FormatError::Port { port, machine: machine.to_owned() })
}

/// A name that ends with a NUL, in a field that may go on behind it.
fn name_of(field: &[u8]) -> Result<String, FormatError> {
    let fault = |fault| Err(FormatError::Machine(fault));
    let Some(end) = field.iter().position(|&byte| byte == 0) else {
        return fault(NameFault::Unterminated);
    };
    match std::str::from_utf8(&field[..end]) {
        Ok("") => fault(NameFault::Empty),
        Ok(name) if name.chars().all(|it| !it.is_control() && !it.is_whitespace()) => {
            Ok(name.to_owned())
        }
        _ => fault(NameFault::NotAName),
    }
}

/// The number at an offset; the caller's field is long enough.
fn number_at(bytes: &[u8], offset: usize) -> i32 {
    let field = bytes[offset..].first_chunk().expect("the field is inside its message");
    i32::from_le_bytes(*field)
}

/// A count or index that fits, as the family writes it.
fn to_bytes(number: impl Into<i32>) -> [u8; 4] {
    number.into().to_le_bytes()
}
