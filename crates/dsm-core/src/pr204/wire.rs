//! The bytes of messages, without those of pages. All numbers are 32-bit signed little-endian integers.
//!
//! | profile | message | bytes |
//! |---|---|---|
//! | seed8 | request | source, page |
//! | seed8 | finalize | source, -1 |
//! | seed8 | page | none: the page alone |
//! | bcast | request | 0, source, page |
//! | bcast | page | 1, new owner, page; the page itself to the new owner alone |
//! | bcast | negative, finalize, nothing | 2; 3; -1 |
//!
//! What is read here is a message; whether it can be is the engine's to say.

use super::{Message, Profile};
use crate::{PageId, Rank};
use alloc::vec::Vec;
use core::fmt;

/// Bytes of a request or finalize in [`Profile::Seed8`].
pub const SEED8_BYTES: usize = 8;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// A type that no message has.
    Type(i32),
    /// A number that no rank has.
    Rank(i32),
    /// A number that no page has.
    Page(i32),
}

/// Appends a message, without the bytes of its page.
pub fn encode(profile: Profile, from: Rank, message: Message, into: &mut Vec<u8>) {
    let rank = |rank: Rank| i32::from(rank.0);
    let number = |page: PageId| i32::try_from(page.0).expect("the family's pages are few");
    let (numbers, count) = match (profile, message) {
        (Profile::Seed8, Message::Request { source, page }) => ([rank(source), number(page), 0], 2),
        (Profile::Seed8, Message::Finalize) => ([rank(from), -1, 0], 2),
        // It has no words for the others.
        (Profile::Seed8, _) => ([0; 3], 0),
        (Profile::Bcast, Message::Request { source, page }) => {
            ([REQUEST, rank(source), number(page)], 3)
        }
        (Profile::Bcast, Message::Page { owner, page }) => ([PAGE, rank(owner), number(page)], 3),
        (Profile::Bcast, Message::Negative) => ([NEGATIVE, 0, 0], 1),
        (Profile::Bcast, Message::Finalize) => ([FINALIZE, 0, 0], 1),
        (Profile::Bcast, Message::Nothing) => ([NOTHING, 0, 0], 1),
    };
    into.extend(numbers[..count].iter().flat_map(|number| number.to_le_bytes()));
}

/// The message that begins these bytes in [`Profile::Bcast`], and how many bytes it has; `None` if there are
/// too few.
///
/// # Errors
/// If they are no message.
pub fn decode_bcast(bytes: &[u8]) -> Result<Option<(Message, usize)>, WireError> {
    let Some(kind) = number_at(bytes, 0) else { return Ok(None) };
    let short = |message| Ok(Some((message, 4)));
    match kind {
        REQUEST | PAGE => (),
        NEGATIVE => return short(Message::Negative),
        FINALIZE => return short(Message::Finalize),
        NOTHING => return short(Message::Nothing),
        other => return Err(WireError::Type(other)),
    }
    let (Some(rank), Some(page)) = (number_at(bytes, 4), number_at(bytes, 8)) else {
        return Ok(None);
    };
    let (rank, page) = (rank_of(rank)?, page_of(page)?);
    let message = if kind == REQUEST {
        Message::Request { source: rank, page }
    } else {
        Message::Page { owner: rank, page }
    };
    Ok(Some((message, 12)))
}

/// What these bytes say in [`Profile::Seed8`].
///
/// # Errors
/// If they are no message.
pub fn decode_seed8(bytes: [u8; SEED8_BYTES]) -> Result<(Rank, Message), WireError> {
    let number = |at| number_at(&bytes, at).expect("the bytes are two numbers");
    let source = rank_of(number(0))?;
    match number(4) {
        -1 => Ok((source, Message::Finalize)),
        page => Ok((source, Message::Request { source, page: page_of(page)? })),
    }
}

fn rank_of(number: i32) -> Result<Rank, WireError> {
    u16::try_from(number).map(Rank).map_err(|_| WireError::Rank(number))
}

fn page_of(number: i32) -> Result<PageId, WireError> {
    u64::try_from(number).map(PageId).map_err(|_| WireError::Page(number))
}

fn number_at(bytes: &[u8], offset: usize) -> Option<i32> {
    let field = bytes.get(offset..)?.first_chunk()?;
    Some(i32::from_le_bytes(*field))
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(number) => write!(f, "no message has type {number}"),
            Self::Rank(number) => write!(f, "no rank is {number}"),
            Self::Page(number) => write!(f, "no page is {number}"),
        }
    }
}

impl core::error::Error for WireError {}

const REQUEST: i32 = 0;
const PAGE: i32 = 1;
const NEGATIVE: i32 = 2;
const FINALIZE: i32 = 3;
const NOTHING: i32 = -1;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn bytes(profile: Profile, message: Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(profile, Rank(1), message, &mut bytes);
        bytes
    }

    const REQUESTED: Message = Message::Request { source: Rank(1), page: PageId(99) };
    const MOVED: Message = Message::Page { owner: Rank(7), page: PageId(2) };

    #[test]
    fn the_bytes_are_those_of_the_family() {
        let seed8 = |message| bytes(Profile::Seed8, message);
        assert_eq!(seed8(REQUESTED), [1, 0, 0, 0, 99, 0, 0, 0]);
        assert_eq!(seed8(Message::Finalize), [1, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(seed8(MOVED), []);
        let bcast = |message| bytes(Profile::Bcast, message);
        assert_eq!(bcast(REQUESTED), [0, 0, 0, 0, 1, 0, 0, 0, 99, 0, 0, 0]);
        assert_eq!(bcast(MOVED), [1, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(bcast(Message::Negative), [2, 0, 0, 0]);
        assert_eq!(bcast(Message::Finalize), [3, 0, 0, 0]);
        assert_eq!(bcast(Message::Nothing), [255; 4]);
    }

    #[test]
    fn what_is_written_is_read_at_any_cut() {
        for message in [REQUESTED, MOVED, Message::Negative, Message::Finalize, Message::Nothing] {
            let bytes = bytes(Profile::Bcast, message);
            for cut in 0..bytes.len() {
                assert_eq!(decode_bcast(&bytes[..cut]), Ok(None));
            }
            assert_eq!(decode_bcast(&bytes), Ok(Some((message, bytes.len()))));
        }
        for message in [REQUESTED, Message::Finalize] {
            let bytes = bytes(Profile::Seed8, message);
            assert_eq!(decode_seed8(bytes.try_into().unwrap()), Ok((Rank(1), message)));
        }
    }

    #[test]
    fn other_bytes_are_an_error() {
        let numbers = |numbers: &[i32]| -> Vec<u8> {
            numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
        };
        assert_eq!(decode_bcast(&numbers(&[4])), Err(WireError::Type(4)));
        assert_eq!(decode_bcast(&numbers(&[i32::MIN])), Err(WireError::Type(i32::MIN)));
        assert_eq!(decode_bcast(&numbers(&[0, -1, 0])), Err(WireError::Rank(-1)));
        assert_eq!(decode_bcast(&numbers(&[1, 0, -5])), Err(WireError::Page(-5)));
        let seed8 = |numbers_: &[i32]| decode_seed8(numbers(numbers_).try_into().unwrap());
        assert_eq!(seed8(&[70_000, 1]), Err(WireError::Rank(70_000)));
        assert_eq!(seed8(&[1, -2]), Err(WireError::Page(-2)));
        assert_eq!(WireError::Type(4).to_string(), "no message has type 4");
    }
}
