//! How two ranks find out that they are of one job, and agree on the keys of their connection: Noise NNpsk0.
//!
//! The rank that connects sends [`FIRST_BYTES`]; whoever does not know the key of the pair cannot make them, so
//! the other rank answers nobody else. What each says of itself follows encrypted: the accepting rank's
//! [`Hello`](dsm_core::wire::Hello) in the second message, the connecting rank's in the first record.
//! It knows no sockets.

use crate::keys::KEY_BYTES;
use crate::record::{Cipher, LENGTH_BYTES, TAG_BYTES};
use dsm_core::wire::{HELLO_BYTES, PREAMBLE_BYTES, Preamble};
use snow::{Builder, HandshakeState};
use std::fmt;
use thiserror::Error;

/// A handshake that was begun here, and awaits the second message.
pub struct Calling {
    state: Box<HandshakeState>,
}

/// A first message, read and not yet believed.
#[derive(Debug)]
pub struct First<'a> {
    bytes: &'a [u8; FIRST_BYTES],
    preamble: Preamble,
}

/// Why a handshake fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// The other end does not know the key of the pair, or somebody changed what it said.
    #[error(
        "it does not know the key of this pair of ranks, or what it said was changed on the way"
    )]
    Unauthentic,
    /// The kernel gave no random numbers.
    #[error("the kernel gives no random numbers")]
    Random,
}

/// Bytes of the first message: the preamble, a public key, a tag.
pub const FIRST_BYTES: usize = PREAMBLE_BYTES + PUBLIC_KEY_BYTES + TAG_BYTES;
/// Bytes of the second message: a public key and a hello.
pub const SECOND_BYTES: usize = PUBLIC_KEY_BYTES + HELLO_BYTES + TAG_BYTES;
/// Bytes of the first record of the rank that connected, which is its hello.
pub const THIRD_BYTES: usize = LENGTH_BYTES + HELLO_BYTES + TAG_BYTES;

impl Calling {
    /// Begins a handshake; gives its first message.
    ///
    /// # Errors
    /// If there are no random numbers.
    pub fn begin(
        key: &[u8; KEY_BYTES],
        preamble: &Preamble,
    ) -> Result<(Self, [u8; FIRST_BYTES]), HandshakeError> {
        let mut first = [0; FIRST_BYTES];
        let (readable, noise) = first.split_at_mut(PREAMBLE_BYTES);
        readable.copy_from_slice(&preamble.encode());
        let begun = builder(key, readable).and_then(Builder::build_initiator);
        let mut state = begun.map_err(|error| failed(&error))?;
        let written = state.write_message(&[], noise).map_err(|error| failed(&error))?;
        assert_eq!(written, noise.len(), "the first message has no payload");
        // It is mixed in, and the state goes where memory is not overwritten when it is given back.
        state.set_psk(0, &[0; KEY_BYTES]).expect("there is a first key");
        Ok((Self { state: Box::new(state) }, first))
    }

    /// Reads the second message: gives the hello in it, and the cipher of the connection.
    ///
    /// # Errors
    /// If it is not an answer to the first message, from a rank that knows the key.
    pub fn finish(
        mut self,
        second: &[u8; SECOND_BYTES],
    ) -> Result<([u8; HELLO_BYTES], Cipher), HandshakeError> {
        let mut hello = [0; HELLO_BYTES];
        let read = self.state.read_message(second, &mut hello);
        match read.map_err(|error| failed(&error))? {
            HELLO_BYTES => Ok((hello, cipher(*self.state))),
            _ => Err(HandshakeError::Unauthentic),
        }
    }
}

impl<'a> First<'a> {
    /// Reads a first message; `None` if it is not of this protocol.
    #[must_use]
    pub fn read(bytes: &'a [u8; FIRST_BYTES]) -> Option<Self> {
        let preamble = Preamble::decode(bytes.first_chunk()?)?;
        Some(Self { bytes, preamble })
    }

    /// What it says; true only if [`answer`](Self::answer) is given.
    #[must_use]
    pub fn preamble(&self) -> &Preamble {
        &self.preamble
    }

    /// Checks it with the key of this rank and the one it says it comes from. Gives the second message, which
    /// carries `hello`, and the cipher of the connection.
    ///
    /// # Errors
    /// If whoever sent it does not know the key.
    pub fn answer(
        &self,
        key: &[u8; KEY_BYTES],
        hello: &[u8; HELLO_BYTES],
    ) -> Result<([u8; SECOND_BYTES], Cipher), HandshakeError> {
        let (readable, noise) = self.bytes.split_at(PREAMBLE_BYTES);
        let begun = builder(key, readable).and_then(Builder::build_responder);
        let mut state = begun.map_err(|error| failed(&error))?;
        // The cipher asks for room for the tag or allocates.
        let payload = state.read_message(noise, &mut [0; TAG_BYTES]);
        if payload.map_err(|error| failed(&error))? != 0 {
            return Err(HandshakeError::Unauthentic);
        }
        let mut second = [0; SECOND_BYTES];
        let written = state.write_message(hello, &mut second).map_err(|error| failed(&error))?;
        assert_eq!(written, SECOND_BYTES, "the second message has a hello and nothing else");
        Ok((second, cipher(state)))
    }
}

impl fmt::Debug for Calling {
    /// No key is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calling(..)")
    }
}

fn builder<'a>(key: &'a [u8; KEY_BYTES], prologue: &'a [u8]) -> Result<Builder<'a>, snow::Error> {
    let pattern = PATTERN.parse().expect("the pattern is one that Noise knows");
    Builder::new(pattern).psk(0, key)?.prologue(prologue)
}

fn cipher(state: HandshakeState) -> Cipher {
    Cipher::new(state.into_transport_mode().expect("NN has two messages"))
}

fn failed(error: &snow::Error) -> HandshakeError {
    match error {
        snow::Error::Rng => HandshakeError::Random,
        _ => HandshakeError::Unauthentic,
    }
}

const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
const PUBLIC_KEY_BYTES: usize = 32;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use dsm_core::Rank;

    const KEY: [u8; KEY_BYTES] = [3; KEY_BYTES];
    const HELLO: [u8; HELLO_BYTES] = [5; HELLO_BYTES];
    const PREAMBLE: Preamble =
        Preamble { version: 9, from: Rank(1), to: Rank(0), nodes: 2, attempt: 1 };

    /// Both ends of a connection.
    pub(crate) fn pair() -> (Cipher, Cipher) {
        let (calling, first) = Calling::begin(&KEY, &PREAMBLE).unwrap();
        let (second, theirs) = First::read(&first).unwrap().answer(&KEY, &HELLO).unwrap();
        let (hello, ours) = calling.finish(&second).unwrap();
        assert_eq!(hello, HELLO);
        (ours, theirs)
    }

    fn answer(first: &[u8; FIRST_BYTES]) -> Option<([u8; SECOND_BYTES], Cipher)> {
        First::read(first)?.answer(&KEY, &HELLO).ok()
    }

    #[test]
    fn two_that_know_the_key_meet() {
        assert_eq!(FIRST_BYTES, 64);
        let (mut ours, mut theirs) = pair();
        let (mut record, mut plain) = (Vec::new(), Vec::new());
        ours.seal(&[&HELLO], &mut record);
        assert_eq!(record.len(), THIRD_BYTES);
        theirs.open(&record[LENGTH_BYTES..], &mut plain).unwrap();
        assert_eq!(plain, HELLO);
    }

    #[test]
    fn whoever_has_another_key_is_not_answered() {
        for bit in 0..8 * KEY_BYTES {
            let mut key = KEY;
            key[bit / 8] ^= 1 << (bit % 8);
            let (_, first) = Calling::begin(&key, &PREAMBLE).unwrap();
            assert!(answer(&first).is_none());
        }
    }

    #[test]
    fn a_bit_flipped_anywhere_in_the_handshake_is_noticed() {
        for offset in 0..FIRST_BYTES {
            let (_, mut first) = Calling::begin(&KEY, &PREAMBLE).unwrap();
            first[offset] ^= 1 << (offset % 8);
            assert!(answer(&first).is_none(), "offset {offset} of the first message");
        }
        for offset in 0..SECOND_BYTES {
            let (calling, first) = Calling::begin(&KEY, &PREAMBLE).unwrap();
            let (mut second, _) = answer(&first).unwrap();
            second[offset] ^= 1 << (offset % 8);
            let error = calling.finish(&second).unwrap_err();
            assert_eq!(error, HandshakeError::Unauthentic, "offset {offset} of the second message");
        }
    }

    #[test]
    fn an_answer_to_another_call_is_none() {
        let (_, first) = Calling::begin(&KEY, &PREAMBLE).unwrap();
        let (calling, _) = Calling::begin(&KEY, &PREAMBLE).unwrap();
        let (second, _) = answer(&first).unwrap();
        assert_eq!(calling.finish(&second).unwrap_err(), HandshakeError::Unauthentic);
    }

    #[test]
    fn the_top_bit_of_a_public_key_counts_too() {
        // X25519 ignores it, the transcript does not.
        let (_, mut first) = Calling::begin(&KEY, &PREAMBLE).unwrap();
        first[PREAMBLE_BYTES + PUBLIC_KEY_BYTES - 1] ^= 0x80;
        assert!(answer(&first).is_none());
    }
}
