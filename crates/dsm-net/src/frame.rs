//! Launch frames: a little-endian `u32` length, then that many bytes of a postcard-encoded message.

use crate::wipe;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The largest body of a frame. A start order with every argument the kernel allows fits.
pub const MAX_BODY: usize = 16 << 20;

/// Why a stream of frames cannot be read on.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The length field is over the limit.
    #[error("a frame of {length} bytes is over the limit of {MAX_BODY}")]
    TooLong {
        /// What the length field says.
        length: usize,
    },
    /// The body is not a message of the expected type.
    #[error("a frame of {length} bytes is not a valid message")]
    Malformed {
        /// Bytes of the body.
        length: usize,
        /// What the decoder says.
        source: postcard::Error,
    },
}

/// One message as a frame.
///
/// # Panics
/// If the message is over [`MAX_BODY`]: callers bound what they put into a message.
#[must_use]
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    let frame = postcard::to_extend(message, Growing(vec![0; LENGTH_BYTES]))
        .expect("launch messages have an encoding");
    finish(frame.0)
}

/// Bytes that leave none behind where they have grown out of: a job's key may be among them.
struct Growing(Vec<u8>);

impl Growing {
    fn make_room(&mut self, more: usize) {
        let needed = self.0.len() + more;
        if needed > self.0.capacity() {
            let mut grown = Vec::with_capacity(needed.next_power_of_two());
            grown.extend_from_slice(&self.0);
            wipe::bytes(&mut std::mem::replace(&mut self.0, grown));
        }
    }
}

impl Extend<u8> for Growing {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        let bytes = bytes.into_iter();
        self.make_room(bytes.size_hint().0);
        for byte in bytes {
            self.make_room(1);
            self.0.push(byte);
        }
    }
}

fn finish(mut frame: Vec<u8>) -> Vec<u8> {
    let length = frame.len() - LENGTH_BYTES;
    assert!(length <= MAX_BODY, "launch messages are bounded by their senders");
    let length = u32::try_from(length).expect("the limit fits");
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    frame
}

/// Takes bytes as they arrive and gives messages as they are complete. It leaves none behind in memory: a
/// job's key may be among them.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Adds bytes read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        let needed = self.bytes.len() - self.start + bytes.len();
        if needed > self.bytes.capacity() {
            let mut grown = Vec::with_capacity(needed.next_power_of_two());
            grown.extend_from_slice(&self.bytes[self.start..]);
            wipe::bytes(&mut std::mem::replace(&mut self.bytes, grown));
        } else {
            self.bytes.drain(..self.start);
        }
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete message, if there is one.
    ///
    /// # Errors
    /// If the stream breaks the format; nothing can be read from it any more.
    pub fn next_message<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        let rest = &self.bytes[self.start..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_BODY {
            return Err(FrameError::TooLong { length });
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = postcard::from_bytes(body)
            .map_err(|source| FrameError::Malformed { length, source })?;
        let end = self.start + LENGTH_BYTES + length;
        wipe::bytes(&mut self.bytes[self.start..end]);
        self.start = end;
        Ok(Some(message))
    }

    /// Whether a frame has begun that is not complete.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.start < self.bytes.len()
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        wipe::bytes(&mut self.bytes);
    }
}

const LENGTH_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::{Order, Report, Stream};

    #[test]
    fn messages_survive_any_segmentation() {
        let sent = [
            Report::Output { stream: Stream::Stderr, bytes: vec![7; 300] },
            Report::Heartbeat,
            Report::Started { pid: 42 },
        ];
        let bytes: Vec<u8> = sent.iter().flat_map(encode).collect();
        for segment in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut received = Vec::new();
            for chunk in bytes.chunks(segment) {
                decoder.push(chunk);
                while let Some(report) = decoder.next_message::<Report>().unwrap() {
                    received.push(report);
                }
            }
            assert_eq!(received, sent, "in segments of {segment} bytes");
            assert!(!decoder.is_mid_frame());
        }
    }

    #[test]
    fn a_hostile_length_is_refused_before_anything_is_allocated() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.next_message::<Order>(), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn an_unknown_variant_is_an_error() {
        let mut decoder = Decoder::default();
        decoder.push(&[1, 0, 0, 0, 99]);
        assert!(matches!(
            decoder.next_message::<Order>(),
            Err(FrameError::Malformed { length: 1, .. })
        ));
    }
}
