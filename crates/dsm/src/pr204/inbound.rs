//! What a rank hears, as messages.
//!
//! # What cannot be told apart in seed8
//!
//! A reply is a page without a header, and a request or finalize eight bytes that a page could begin with.
//! While no request of ours is outstanding all is requests. While one is, the next 4096 bytes are the page
//! (that is how members of the family read), unless the other rank asked at the same time: then its request
//! stands before them. A member that reads no better than that is lost in this case whatever we do; two
//! ranks of ours, or others that look, are not. Eight bytes can be a request if they name the other rank, and
//! a page that is here, or finalize. They are taken for one
//!
//! - if nothing follows them for [`SILENCE`]: pages are written whole;
//! - if 4096 bytes follow, unless the last eight of all that came can be a request too, and are not the zeros
//!   that pages like to end with. Then the page came first, and after it the request.
//!
//! So a page is misread if two requests cross *and* the page that comes ends with the number of the other rank
//! and that of a page it can want. Programs in which one rank at a time touches what is shared never have
//! requests cross; if they do, a large number in the last word of each page is enough.

use dsm_core::pr204::Message;
use dsm_core::pr204::wire::{self, SEED8_BYTES, WireError};
use dsm_core::{PageId, Rank};
use dsm_net::pr204::PAGE_BYTES;
use std::time::Duration;

/// What bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A message of so many bytes, without those of its page.
    Message(Message, usize),
    /// The page that was asked for.
    Page,
    /// More bytes are needed.
    Unfinished,
    /// More bytes are needed; if none come for [`SILENCE`], they are a message.
    Doubtful,
}

/// What is known of the bytes of a seed8 rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed8State {
    /// Who says them.
    pub(super) from: Rank,
    /// The page that was asked for.
    pub(super) outstanding: Option<PageId>,
    /// Nothing came for [`SILENCE`], or nothing can come any more.
    pub(super) is_silent: bool,
}

/// What the bytes of a seed8 rank begin with; `is_here` says of a message whether the page it asks for is.
pub(super) fn next_seed8(
    bytes: &[u8],
    state: Seed8State,
    is_here: impl Fn(Message) -> bool,
) -> Result<Next, WireError> {
    let Some(first) = bytes.first_chunk::<SEED8_BYTES>() else { return Ok(Next::Unfinished) };
    let message_at = |bytes: [u8; SEED8_BYTES]| {
        let (source, message) = wire::decode_seed8(bytes)?;
        if source == state.from { Ok(message) } else { Err(WireError::Rank(i32::from(source.0))) }
    };
    if state.outstanding.is_none() {
        return Ok(Next::Message(message_at(*first)?, SEED8_BYTES));
    }
    let can_be =
        |bytes| message_at(bytes).ok().filter(|&it| it == Message::Finalize || is_here(it));
    let whole = if bytes.len() < PAGE_BYTES { Next::Unfinished } else { Next::Page };
    let Some(message) = can_be(*first) else { return Ok(whole) };
    let message_first = Next::Message(message, SEED8_BYTES);
    let Some(rest) = bytes.get(PAGE_BYTES..) else {
        return Ok(if state.is_silent { message_first } else { Next::Doubtful });
    };
    Ok(match (rest.first_chunk::<SEED8_BYTES>(), rest.is_empty()) {
        (_, true) => Next::Page,
        (None, false) if state.is_silent => Next::Page,
        (None, false) => Next::Doubtful,
        (Some(_), false) if message == Message::Finalize => message_first,
        (Some(last), false) => {
            // The page that comes first can be asked for again.
            let again =
                |it| matches!(it, Message::Request { page, .. } if Some(page) == state.outstanding);
            let can_be_last = can_be(*last).is_some() || message_at(*last).is_ok_and(again);
            // Pages end with zeros more often than they begin with the number of one.
            let ends_empty = *last == [0; SEED8_BYTES] && first != last;
            if can_be_last && !ends_empty { Next::Page } else { message_first }
        }
    })
}

/// How long nothing may come before what came is believed to be all. Pages are written whole, and a second
/// segment of one comes within a round trip.
pub(super) const SILENCE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Rank = Rank(0);

    fn record(numbers: [i32; 2]) -> Vec<u8> {
        numbers.into_iter().flat_map(i32::to_le_bytes).collect()
    }

    /// A page that begins and ends with these.
    fn page(first: [i32; 2], last: [i32; 2]) -> Vec<u8> {
        let mut page = record(first);
        page.resize(PAGE_BYTES - SEED8_BYTES, 7);
        page.extend(record(last));
        page
    }

    #[track_caller]
    fn check(
        parts: &[&[u8]],
        is_waiting: bool,
        is_silent: bool,
        expected: Result<Next, WireError>,
    ) {
        // Page 2 is here.
        let here = |message| message == REQUEST;
        let outstanding = is_waiting.then_some(PageId(9));
        let state = Seed8State { from: PEER, outstanding, is_silent };
        assert_eq!(next_seed8(&parts.concat(), state, here), expected);
    }

    const REQUEST: Message = Message::Request { source: PEER, page: PageId(2) };
    const OTHER: Message = Message::Request { source: PEER, page: PageId(3) };
    const BYTES: [i32; 2] = [0, 2];
    const NEITHER: [i32; 2] = [5, 5];

    #[test]
    fn without_a_request_outstanding_all_is_messages() {
        check(&[&record(BYTES)], false, false, Ok(Next::Message(REQUEST, 8)));
        check(&[&record([0, 3])], false, false, Ok(Next::Message(OTHER, 8)));
        check(&[&record([0, -1])], false, false, Ok(Next::Message(Message::Finalize, 8)));
        check(&[&record([1, 2])], false, false, Err(WireError::Rank(1)));
        check(&[&record([0, -2])], false, false, Err(WireError::Page(-2)));
        check(&[&record(BYTES)[..7]], false, false, Ok(Next::Unfinished));
    }

    #[test]
    fn with_one_the_next_page_bytes_are_the_page() {
        let whole = page(NEITHER, NEITHER);
        for cut in [0, 7, 8, 9, 4095] {
            check(&[&whole[..cut]], true, true, Ok(Next::Unfinished));
        }
        check(&[&whole], true, false, Ok(Next::Page));
        check(&[&whole, &record(BYTES)], true, false, Ok(Next::Page));
        // It begins like a request, and nothing stands before it.
        check(&[&page(BYTES, NEITHER)], true, false, Ok(Next::Page));
        check(&[&page(BYTES, NEITHER), &record(BYTES)], true, false, Ok(Next::Page));
        // Page 3 is not here: the other rank cannot ask for it now.
        check(&[&record([0, 3])], true, true, Ok(Next::Unfinished));
    }

    #[test]
    fn a_request_that_crossed_ours_stands_before_the_page() {
        check(&[&record(BYTES)], true, false, Ok(Next::Doubtful));
        check(&[&record(BYTES)], true, true, Ok(Next::Message(REQUEST, 8)));
        let whole = page(NEITHER, NEITHER);
        check(&[&record(BYTES), &whole], true, false, Ok(Next::Message(REQUEST, 8)));
        check(&[&record(BYTES), &whole[..100]], true, false, Ok(Next::Doubtful));
        let left = Ok(Next::Message(Message::Finalize, 8));
        check(&[&record([0, -1]), &page(BYTES, BYTES)], true, false, left);
        // It is asked for again as soon as it is given.
        check(&[&page(BYTES, NEITHER), &record([0, 9])], true, false, Ok(Next::Page));
        // Both can be: which one is it?
        check(&[&page(BYTES, NEITHER), &record(BYTES)], true, false, Ok(Next::Page));
        check(&[&record(BYTES), &[0; PAGE_BYTES]], true, false, Ok(Next::Message(REQUEST, 8)));
    }
}
