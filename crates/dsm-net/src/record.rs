//! Records: what passes between two ranks after their [handshake](crate::handshake), encrypted.
//!
//! A record is the length of its ciphertext, a `u16`, least significant byte first, then the ciphertext, whose last 16 bytes authenticate
//! the rest. Nonces are not sent: both ends count. So a record that was changed, replayed, put elsewhere, or
//! that follows one that is missing does not open, and nothing after it does either.

use snow::TransportState;
use std::fmt;
use thiserror::Error;

/// Both directions of an encrypted connection, from a finished handshake.
///
/// Invariant: the records of a direction are sealed and opened in the same order, without a gap.
pub struct Cipher {
    state: TransportState,
    /// Several parts of one plaintext, next to one another.
    parts: Vec<u8>,
    /// Records sealed and opened under the keys in use.
    sealed: u32,
    opened: u32,
    /// A record did not open; none will.
    is_broken: bool,
}

/// Why a record cannot be read. The connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Its length field is outside what records have.
    #[error("a record of {length} bytes, expected {TAG_BYTES} to {MAX_CIPHERTEXT}")]
    Length {
        /// What the length field says.
        length: usize,
    },
    /// It is not the record the other end sealed at this place.
    #[error(
        "a record does not authenticate: it was changed, replayed, or follows one that is missing"
    )]
    Unauthentic,
}

/// Bytes of the length before a record's ciphertext.
pub const LENGTH_BYTES: usize = 2;
/// Bytes by which a ciphertext is longer than its plaintext.
pub const TAG_BYTES: usize = 16;
/// The longest plaintext of a record: 16 KiB and what goes with them.
pub const MAX_PLAINTEXT: usize = (16 << 10) + 256;
/// The longest ciphertext of a record.
pub const MAX_CIPHERTEXT: usize = MAX_PLAINTEXT + TAG_BYTES;

/// Reads the length field before a record's ciphertext.
///
/// # Errors
/// If no record has this length.
pub fn ciphertext_length(field: [u8; LENGTH_BYTES]) -> Result<usize, RecordError> {
    let length = usize::from(u16::from_le_bytes(field));
    match length {
        TAG_BYTES..=MAX_CIPHERTEXT => Ok(length),
        _ => Err(RecordError::Length { length }),
    }
}

impl Cipher {
    pub(crate) fn new(state: TransportState) -> Self {
        Self { state, parts: Vec::new(), sealed: 0, opened: 0, is_broken: false }
    }

    /// Appends one record to `out` that holds the concatenation of `parts`.
    ///
    /// # Panics
    /// If the parts are more than [`MAX_PLAINTEXT`] bytes.
    pub fn seal(&mut self, parts: &[&[u8]], out: &mut Vec<u8>) {
        let plaintext = match parts {
            [only] => only,
            _ => {
                self.parts.clear();
                parts.iter().for_each(|part| self.parts.extend_from_slice(part));
                &self.parts[..]
            }
        };
        let begin = out.len();
        out.resize(begin + record_bytes(plaintext.len()), 0);
        seal(&mut self.state, plaintext, &mut out[begin..]);
        self.count_sealed();
    }

    /// Writes one record to the beginning of `out` that holds `plaintext`; gives how many bytes that are. What
    /// else is in `out` may change.
    ///
    /// # Panics
    /// If that is more than [`MAX_PLAINTEXT`] bytes, or there is no room for [`record_bytes`] of them.
    pub fn seal_into(&mut self, plaintext: &[u8], out: &mut [u8]) -> usize {
        let bytes = seal(&mut self.state, plaintext, out);
        self.count_sealed();
        bytes
    }

    fn count_sealed(&mut self) {
        self.sealed += 1;
        if self.sealed == REKEY_AFTER {
            self.sealed = 0;
            self.state.rekey_outgoing();
        }
    }

    /// Opens a record, of which this is the ciphertext without the length, and appends its plaintext to `plain`.
    ///
    /// # Errors
    /// If it is not the record the other end sealed at this place; then no later one opens either.
    pub fn open(&mut self, ciphertext: &[u8], plain: &mut Vec<u8>) -> Result<(), RecordError> {
        let begin = plain.len();
        // With room for the tag it is opened in place.
        plain.resize(begin + ciphertext.len().min(MAX_CIPHERTEXT), 0);
        let opened = self.open_into(ciphertext, &mut plain[begin..]);
        plain.truncate(begin + opened.unwrap_or(0));
        opened.map(|_| ())
    }

    /// The same to the beginning of `plain`, which has room for the ciphertext; gives how many bytes it wrote.
    /// The rest of `plain` may change.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_into(&mut self, ciphertext: &[u8], plain: &mut [u8]) -> Result<usize, RecordError> {
        let length = ciphertext.len();
        if !(TAG_BYTES..=MAX_CIPHERTEXT).contains(&length) {
            self.is_broken = true;
            return Err(RecordError::Length { length });
        }
        if self.is_broken {
            return Err(RecordError::Unauthentic);
        }
        let Ok(count) = self.state.read_message(ciphertext, plain) else {
            self.is_broken = true;
            return Err(RecordError::Unauthentic);
        };
        self.opened += 1;
        if self.opened == REKEY_AFTER {
            self.opened = 0;
            self.state.rekey_incoming();
        }
        Ok(count)
    }
}

/// Bytes of the record that holds so many.
#[must_use]
pub const fn record_bytes(plaintext: usize) -> usize {
    LENGTH_BYTES + plaintext + TAG_BYTES
}

fn seal(state: &mut TransportState, plaintext: &[u8], out: &mut [u8]) -> usize {
    assert!(plaintext.len() <= MAX_PLAINTEXT, "what is to be sealed was cut into records");
    let bytes = record_bytes(plaintext.len());
    let (field, ciphertext) = out[..bytes].split_at_mut(LENGTH_BYTES);
    let length = u16::try_from(ciphertext.len()).expect("the limit fits");
    field.copy_from_slice(&length.to_le_bytes());
    let written = state.write_message(plaintext, ciphertext);
    assert_eq!(written, Ok(ciphertext.len()), "there is room for the record, and a nonce");
    bytes
}

impl fmt::Debug for Cipher {
    /// No key is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher")
            .field("sealed", &self.sealed)
            .field("opened", &self.opened)
            .field("is_broken", &self.is_broken)
            .finish_non_exhaustive()
    }
}

/// Records under one key of a direction. AES-GCM bears more than 2^24 of this length; a new key costs one record.
const REKEY_AFTER: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::tests::pair;

    /// Records of these plaintexts, without their lengths.
    fn sealed(cipher: &mut Cipher, plaintexts: &[&[u8]]) -> Vec<Vec<u8>> {
        let seal = |plaintext: &&[u8]| {
            let mut record = Vec::new();
            cipher.seal(&[plaintext], &mut record);
            let length = ciphertext_length(*record.first_chunk().unwrap()).unwrap();
            assert_eq!(record.len(), LENGTH_BYTES + length);
            record.split_off(LENGTH_BYTES)
        };
        plaintexts.iter().map(seal).collect()
    }

    fn opened(cipher: &mut Cipher, records: &[&[u8]]) -> Result<Vec<u8>, RecordError> {
        let mut plain = Vec::new();
        records.iter().try_for_each(|record| cipher.open(record, &mut plain)).map(|()| plain)
    }

    fn refused(cipher: &mut Cipher, records: &[&[u8]]) {
        let error = opened(cipher, records).unwrap_err();
        assert_eq!(error, RecordError::Unauthentic);
    }

    #[test]
    fn parts_arrive_as_one() {
        let (mut ours, mut theirs) = pair();
        let (mut records, mut plain) = (Vec::new(), b"before ".to_vec());
        ours.seal(&[b"head", b"", b"er and page"], &mut records);
        theirs.open(&records[LENGTH_BYTES..], &mut plain).unwrap();
        assert_eq!(plain, b"before header and page");
        records.clear();
        theirs.seal(&[], &mut records);
        assert_eq!(opened(&mut ours, &[&records[LENGTH_BYTES..]]), Ok(Vec::new()));
        let longest = vec![7; MAX_PLAINTEXT];
        let longest_sealed = sealed(&mut ours, &[&longest]).remove(0);
        assert_eq!(longest_sealed.len(), MAX_CIPHERTEXT);
        assert_eq!(opened(&mut theirs, &[&longest_sealed]), Ok(longest));
    }

    #[test]
    fn a_bit_flipped_anywhere_is_noticed() {
        let page = [0x5a; 300];
        for offset in 0..page.len() + TAG_BYTES {
            let (mut ours, mut theirs) = pair();
            let mut records = sealed(&mut ours, &[&page, b"next"]);
            records[0][offset] ^= 1 << (offset % 8);
            refused(&mut theirs, &[&records[0]]);
            // Nor does anything that follows open.
            refused(&mut theirs, &[&records[1]]);
        }
    }

    #[test]
    fn dropped_doubled_swapped_cut_and_spliced_records_are_noticed() {
        let texts: [&[u8]; 3] = [b"one", b"two", b"three"];
        let [one, two, three] = [0, 1, 2];
        // Which records arrive; the last of them is the one that is noticed.
        let arrivals: [&[usize]; 4] = [&[two], &[one, three], &[one, one], &[three]];
        for arrival in arrivals {
            let (mut ours, mut theirs) = pair();
            let records = sealed(&mut ours, &texts);
            let (last, first) = arrival.split_last().unwrap();
            let first: Vec<&[u8]> = first.iter().map(|n| &records[*n][..]).collect();
            assert!(opened(&mut theirs, &first).is_ok());
            refused(&mut theirs, &[&records[*last]]);
        }
        let (mut ours, mut theirs) = pair();
        let records = sealed(&mut ours, &texts);
        refused(&mut theirs, &[&records[0][..records[0].len() - 1]]);
        let (mut ours, mut theirs) = pair();
        let (begin, end) =
            (sealed(&mut ours, &texts).remove(0), sealed(&mut ours, &texts).remove(0));
        refused(&mut theirs, &[&[&begin[..10], &end[10..]].concat()]);
        // Of another connection, and of the other direction.
        let (mut ours, _) = pair();
        let (_, mut theirs) = pair();
        refused(&mut theirs, &[&sealed(&mut ours, &texts)[0]]);
        let (mut ours, _) = pair();
        let own = sealed(&mut ours, &texts).remove(0);
        refused(&mut ours, &[&own]);
    }

    #[test]
    fn keys_change_and_records_still_open() {
        let (mut ours, mut theirs) = pair();
        let (mut record, mut plain) = (Vec::new(), Vec::new());
        for count in 0..2 * u64::from(REKEY_AFTER) + 3 {
            record.clear();
            plain.clear();
            ours.seal(&[&count.to_le_bytes()], &mut record);
            theirs.open(&record[LENGTH_BYTES..], &mut plain).unwrap();
            assert_eq!(plain, count.to_le_bytes());
        }
    }

    #[test]
    fn lengths_that_no_record_has_are_refused() {
        for length in [0, TAG_BYTES - 1, MAX_CIPHERTEXT + 1, usize::from(u16::MAX)] {
            let field = u16::try_from(length).unwrap().to_le_bytes();
            assert_eq!(ciphertext_length(field), Err(RecordError::Length { length }));
            let (mut cipher, _) = pair();
            let error = opened(&mut cipher, &[&vec![0; length]]).unwrap_err();
            assert_eq!(error, RecordError::Length { length });
        }
    }
}
