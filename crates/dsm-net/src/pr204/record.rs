use super::{FormatError, name_of, number_at, port_of, rank_of, to_bytes};

/// Where one rank listens: `struct dsm_proc_conn`.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | rank |
/// | 4 | 1024 | machine, NUL-terminated |
/// | 1028 | 4 | port |
/// | 1032 | 8 | two descriptors of the sender, nobody else's business: sent as 0 |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The rank.
    pub rank: u16,
    /// A name or address that other ranks resolve, at most [`MACHINE_BYTES`] - 1 bytes.
    pub machine: String,
    /// The TCP port.
    pub port: u16,
}

/// Bytes of a [`Record`].
pub const RECORD_BYTES: usize = 1040;

/// Bytes of the field for the machine's name, with its NUL.
pub const MACHINE_BYTES: usize = 1024;

impl Record {
    /// Its bytes.
    ///
    /// # Panics
    /// If the machine's name is too long or has a NUL: callers take names from machine files or from
    /// records.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..MACHINE].copy_from_slice(&to_bytes(self.rank));
        bytes[MACHINE..PORT].copy_from_slice(&name_field(&self.machine));
        bytes[PORT..PORT + 4].copy_from_slice(&to_bytes(self.port));
        bytes
    }

    /// The record of these bytes, in a job of `nodes` ranks.
    ///
    /// # Errors
    /// Says what cannot be.
    pub fn decode(bytes: &[u8; RECORD_BYTES], nodes: u16) -> Result<Self, FormatError> {
        let rank = rank_of(number_at(bytes, 0), nodes)?;
        let machine = name_of(&bytes[MACHINE..PORT])?;
        let port = port_of(number_at(bytes, PORT), &machine)?;
        Ok(Self { rank, machine, port })
    }
}

/// A name in its field.
pub(super) fn name_field(name: &str) -> [u8; MACHINE_BYTES] {
    let name = name.as_bytes();
    assert!(name.len() < MACHINE_BYTES && !name.contains(&0), "names of machines fit their field");
    let mut field = [0; MACHINE_BYTES];
    field[..name.len()].copy_from_slice(name);
    field
}

const MACHINE: usize = 4;
const PORT: usize = MACHINE + MACHINE_BYTES;
