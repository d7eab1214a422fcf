use super::field;
use super::hello::{MAGIC, VERSION};
use crate::Rank;

/// Bytes of a [`Preamble`].
pub const PREAMBLE_BYTES: usize = 16;

/// The part of a connection's first message that is readable, and authenticated with the rest of it.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | `dsm\0` |
/// | 4 | 2 | version |
/// | 6 | 2 | rank that connects |
/// | 8 | 2 | rank it connects to |
/// | 10 | 2 | number of ranks |
/// | 12 | 4 | attempt |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// Its protocol version.
    pub version: u16,
    /// The rank that connects.
    pub from: Rank,
    /// The rank it connects to.
    pub to: Rank,
    /// How many ranks its job has.
    pub nodes: u16,
    /// Greater with every connection that `from` makes, so that no first message counts twice.
    pub attempt: u32,
}

impl Preamble {
    /// Of this version.
    #[must_use]
    pub fn new(from: Rank, to: Rank, nodes: u16, attempt: u32) -> Self {
        Self { version: VERSION, from, to, nodes, attempt }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&self.version.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.from.0.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.to.0.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.nodes.to_le_bytes());
        bytes[12..].copy_from_slice(&self.attempt.to_le_bytes());
        bytes
    }

    /// Reads it, of whatever version it is; `None` if it is not of this protocol.
    #[must_use]
    pub fn decode(bytes: &[u8; PREAMBLE_BYTES]) -> Option<Self> {
        (bytes[..4] == MAGIC).then(|| Self {
            version: u16::from_le_bytes(field(bytes, 4)),
            from: Rank(u16::from_le_bytes(field(bytes, 6))),
            to: Rank(u16::from_le_bytes(field(bytes, 8))),
            nodes: u16::from_le_bytes(field(bytes, 10)),
            attempt: u32::from_le_bytes(field(bytes, 12)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preamble_is_read_as_it_was_written() {
        let preamble = Preamble { version: 9, ..Preamble::new(Rank(3), Rank(1), 300, 1 << 20) };
        let bytes = preamble.encode();
        assert_eq!(bytes, *b"dsm\0\x09\0\x03\0\x01\0\x2c\x01\0\0\x10\0");
        assert_eq!(Preamble::decode(&bytes), Some(preamble));
        for offset in 0..4 {
            let mut bytes = bytes;
            bytes[offset] ^= 1;
            assert_eq!(Preamble::decode(&bytes), None);
        }
    }
}
