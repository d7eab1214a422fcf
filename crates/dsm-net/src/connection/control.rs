use super::ConnectionError;
use dsm_core::wire::HEADER_BYTES;

/// A frame that is a part of the stream, and no message of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// So many bytes of the other's stream are here.
    Acknowledgement(u64),
    /// Whoever gets this is to say so. Each side counts its own from 1.
    Ping(u64),
    /// That ping has come, with everything before it.
    Pong(u64),
}

impl Control {
    pub(super) fn encode(self) -> [u8; HEADER_BYTES] {
        let (kind, number) = match self {
            Self::Acknowledgement(offset) => (ACKNOWLEDGEMENT, offset),
            Self::Ping(number) => (PING, number),
            Self::Pong(number) => (PONG, number),
        };
        let mut header = [0; HEADER_BYTES];
        header[0] = kind;
        header[NUMBER_AT..NUMBER_AT + 8].copy_from_slice(&number.to_le_bytes());
        header
    }

    /// What such a frame says; `None` if it is a message.
    pub(super) fn decode(header: &[u8; HEADER_BYTES]) -> Result<Option<Self>, ConnectionError> {
        let number = header[NUMBER_AT..].first_chunk().expect("the number is inside a header");
        let number = u64::from_le_bytes(*number);
        let control = match header[0] {
            ACKNOWLEDGEMENT => Self::Acknowledgement(number),
            PING => Self::Ping(number),
            PONG => Self::Pong(number),
            _ => return Ok(None),
        };
        if *header == control.encode() { Ok(Some(control)) } else { Err(ConnectionError::Padded) }
    }
}

/// The kinds of these, far from those of messages.
const ACKNOWLEDGEMENT: u8 = 64;
const PING: u8 = 65;
const PONG: u8 = 66;
/// Where in its header the number is.
const NUMBER_AT: usize = 8;
