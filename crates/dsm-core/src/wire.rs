//! The bytes of the `native` protocol, version [`VERSION`]. All fields are little-endian.
//!
//! A frame is a header of [`HEADER_BYTES`], then as many attached bytes as the header says: none, or one
//! page. Bytes from a peer are checked here and nowhere else; see `docs/protocol.md` for the tables.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | kind, see [`Message`] |
//! | 1 | 1 | low four bits: access, right or barrier kind; high four bits: payload; or what is asked or answered |
//! | 2 | 2 | rank that a forward, a home or a leaving names, or whose thread asks, else 0 |
//! | 4 | 4 | attached bytes that follow |
//! | 8 | 8 | page or object, 0 for barriers and answers |
//! | 16 | 8 | epoch or call, else 0 |
//! | 24 | 8 | epoch of the copy a demand is about, or the first operand, else 0 |
//! | 32 | 8 | the second operand, else 0 |

mod asks;
mod hello;
mod preamble;

pub use hello::{HELLO_BYTES, Hello, HelloError, Secrecy, VERSION};
pub use preamble::{PREAMBLE_BYTES, Preamble};

use crate::{
    Access, BarrierKind, CallId, Epoch, Message, ObjectId, PageId, Payload, Rank, Right, Space,
};
use core::fmt;

/// Bytes of a frame without what is attached.
pub const HEADER_BYTES: usize = 40;

/// What the numbers in a frame are checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The ranks and the region.
    pub space: Space,
    /// Bytes of one page.
    pub page_bytes: u32,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireError {
    field: &'static str,
    value: u64,
    expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Below(u64),
    Exactly(u64),
    Known,
    NonZero,
}

/// The header of a message. Its attached bytes, if any, are one page.
#[must_use]
pub fn encode(message: &Message, limits: &Limits) -> [u8; HEADER_BYTES] {
    let mut fields = Fields::default();
    match *message {
        Message::Request { page, access } => {
            fields = Fields { kind: REQUEST, detail: access_code(access), page: page.0, ..fields };
        }
        Message::Forward { page, right, to, epoch, have } => {
            fields = Fields { kind: FORWARD, detail: right_code(right), rank: to.0, ..fields };
            fields = Fields { page: page.0, epoch: epoch.0, have: have.0, ..fields };
        }
        Message::Grant { page, right, epoch, payload } => {
            let detail = right_code(right) | payload_code(payload) << 4;
            let attached = if payload == Payload::Attached { limits.page_bytes } else { 0 };
            fields = Fields { kind: GRANT, detail, attached, ..fields };
            fields = Fields { page: page.0, epoch: epoch.0, ..fields };
        }
        Message::Invalidate { page, have } => {
            fields = Fields { kind: INVALIDATE, page: page.0, have: have.0, ..fields };
        }
        Message::Ack { page, epoch } => {
            fields = Fields { kind: ACK, page: page.0, epoch: epoch.0, ..fields };
        }
        Message::Unwritten { page, epoch } => {
            fields = Fields { kind: UNWRITTEN, page: page.0, epoch: epoch.0, ..fields };
        }
        Message::BarrierArrive { kind, epoch } => {
            let detail = barrier_code(kind);
            fields = Fields { kind: BARRIER_ARRIVE, detail, epoch: epoch.0, ..fields };
        }
        Message::BarrierRelease { kind, epoch } => {
            let detail = barrier_code(kind);
            fields = Fields { kind: BARRIER_RELEASE, detail, epoch: epoch.0, ..fields };
        }
        Message::Leaving { rank, epoch } => {
            fields = Fields { kind: LEAVING, rank: rank.0, epoch: epoch.0, ..fields };
        }
        Message::Ask { asker, id, object, ask } => {
            let (detail, have, operand) = asks::ask_codes(ask);
            fields = Fields { kind: ASK, detail, rank: asker.0, page: object.0, ..fields };
            fields = Fields { epoch: id.0, have, operand, ..fields };
        }
        Message::Answer { id, answer } => {
            let (detail, have, operand) = asks::answer_codes(answer);
            fields = Fields { kind: ANSWER, detail, epoch: id.0, have, operand, ..fields };
        }
        Message::Reclaim { first, pages } => {
            fields = Fields { kind: RECLAIM, page: first.0, have: pages, ..fields };
        }
        Message::Claim { page } => {
            fields = Fields { kind: CLAIM, page: page.0, ..fields };
        }
        Message::Home { page, home } => {
            fields = Fields { kind: HOME, rank: home.0, page: page.0, ..fields };
        }
        Message::Reclaimed { first } => {
            fields = Fields { kind: RECLAIMED, page: first.0, ..fields };
        }
    }
    fields.encode()
}

/// Reads a header that a peer sent.
///
/// # Errors
/// If it is not exactly what [`encode`] gives for some message within the limits.
pub fn decode(header: &[u8; HEADER_BYTES], limits: &Limits) -> Result<Message, WireError> {
    let fields = Fields::decode(header);
    let space = &limits.space;
    let page = || below("page", fields.page, space.pages + space.words()).map(PageId);
    let message = match fields.kind {
        REQUEST => Message::Request { page: page()?, access: access_of(fields.detail)? },
        FORWARD => Message::Forward {
            page: page()?,
            right: right_of(fields.detail)?,
            to: rank_of(fields.rank, limits)?,
            epoch: Epoch(nonzero("epoch", fields.epoch)?),
            have: Epoch(fields.have),
        },
        GRANT => Message::Grant {
            page: page()?,
            right: right_of(fields.detail & 15)?,
            epoch: Epoch(nonzero("epoch", fields.epoch)?),
            payload: payload_of(fields.detail >> 4)?,
        },
        INVALIDATE => Message::Invalidate { page: page()?, have: Epoch(fields.have) },
        ACK => Message::Ack { page: page()?, epoch: Epoch(fields.epoch) },
        UNWRITTEN => Message::Unwritten {
            page: PageId(below("page", fields.page, space.pages)?),
            epoch: Epoch(nonzero("epoch", fields.epoch)?),
        },
        BARRIER_ARRIVE => {
            Message::BarrierArrive { kind: barrier_of(fields.detail)?, epoch: Epoch(fields.epoch) }
        }
        BARRIER_RELEASE => {
            Message::BarrierRelease { kind: barrier_of(fields.detail)?, epoch: Epoch(fields.epoch) }
        }
        LEAVING => {
            Message::Leaving { rank: rank_of(fields.rank, limits)?, epoch: Epoch(fields.epoch) }
        }
        ASK => Message::Ask {
            asker: rank_of(fields.rank, limits)?,
            id: CallId(fields.epoch),
            object: ObjectId(below("object", fields.page, space.words())?),
            ask: asks::ask_of(fields.detail, fields.have, fields.operand, limits)?,
        },
        ANSWER => Message::Answer {
            id: CallId(fields.epoch),
            answer: asks::answer_of(fields.detail, fields.have, fields.operand, limits)?,
        },
        RECLAIM => {
            let first = below("page", fields.page, space.pages)?;
            let pages = below("pages", fields.have, space.pages - first + 1)?;
            Message::Reclaim { first: PageId(first), pages }
        }
        CLAIM => Message::Claim { page: claimed_page(&fields, space)? },
        HOME => Message::Home {
            page: claimed_page(&fields, space)?,
            home: rank_of(fields.rank, limits)?,
        },
        RECLAIMED => Message::Reclaimed { first: PageId(below("page", fields.page, space.pages)?) },
        other => return Err(unknown("kind", other)),
    };
    if message.attached_page().is_some_and(|page| space.is_token(page)) {
        return Err(WireError {
            field: "page",
            value: fields.page,
            expected: Expected::Below(space.pages),
        });
    }
    let canonical = Fields::decode(&encode(&message, limits));
    exactly("detail", fields.detail.into(), canonical.detail.into())?;
    exactly("rank", fields.rank.into(), canonical.rank.into())?;
    exactly("attached", fields.attached.into(), canonical.attached.into())?;
    exactly("page", fields.page, canonical.page)?;
    exactly("epoch", fields.epoch, canonical.epoch)?;
    exactly("have", fields.have, canonical.have)?;
    exactly("operand", fields.operand, canonical.operand)?;
    Ok(message)
}

impl Message {
    /// Whether one page's bytes follow the header.
    #[must_use]
    pub fn attached_page(&self) -> Option<PageId> {
        match *self {
            Self::Grant { page, payload: Payload::Attached, .. } => Some(page),
            _ => None,
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, expected } = self;
        write!(f, "field {field} of a frame is {value}, expected ")?;
        match expected {
            Expected::Below(limit) => write!(f, "less than {limit}"),
            Expected::Exactly(wanted) => write!(f, "{wanted}"),
            Expected::Known => write!(f, "a known code"),
            Expected::NonZero => write!(f, "at least 1"),
        }
    }
}

impl core::error::Error for WireError {}

#[derive(Clone, Copy, Default)]
struct Fields {
    kind: u8,
    detail: u8,
    rank: u16,
    attached: u32,
    page: u64,
    epoch: u64,
    have: u64,
    operand: u64,
}

impl Fields {
    fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.kind;
        bytes[1] = self.detail;
        bytes[2..4].copy_from_slice(&self.rank.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.attached.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.page.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.have.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.operand.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        Self {
            kind: bytes[0],
            detail: bytes[1],
            rank: u16::from_le_bytes(field(bytes, 2)),
            attached: u32::from_le_bytes(field(bytes, 4)),
            page: u64::from_le_bytes(field(bytes, 8)),
            epoch: u64::from_le_bytes(field(bytes, 16)),
            have: u64::from_le_bytes(field(bytes, 24)),
            operand: u64::from_le_bytes(field(bytes, 32)),
        }
    }
}

/// The `N` bytes at `offset`, which the caller knows to be inside.
fn field<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[offset..offset + N]);
    array
}

fn access_code(access: Access) -> u8 {
    match access {
        Access::None => 0,
        Access::Read => 1,
        Access::Write => 2,
    }
}

fn access_of(code: u8) -> Result<Access, WireError> {
    match code {
        1 => Ok(Access::Read),
        2 => Ok(Access::Write),
        other => Err(unknown("access", other)),
    }
}

fn right_code(right: Right) -> u8 {
    match right {
        Right::Shared => 1,
        Right::Exclusive => 2,
        Right::Modified => 3,
    }
}

fn right_of(code: u8) -> Result<Right, WireError> {
    match code {
        1 => Ok(Right::Shared),
        2 => Ok(Right::Exclusive),
        3 => Ok(Right::Modified),
        other => Err(unknown("right", other)),
    }
}

fn payload_code(payload: Payload) -> u8 {
    match payload {
        Payload::Attached => 1,
        Payload::Zero => 2,
        Payload::Held => 3,
    }
}

fn payload_of(code: u8) -> Result<Payload, WireError> {
    match code {
        1 => Ok(Payload::Attached),
        2 => Ok(Payload::Zero),
        3 => Ok(Payload::Held),
        other => Err(unknown("payload", other)),
    }
}

fn barrier_code(kind: BarrierKind) -> u8 {
    match kind {
        BarrierKind::Program => 1,
        BarrierKind::Finalize => 2,
    }
}

fn barrier_of(code: u8) -> Result<BarrierKind, WireError> {
    match code {
        1 => Ok(BarrierKind::Program),
        2 => Ok(BarrierKind::Finalize),
        other => Err(unknown("barrier kind", other)),
    }
}

/// A page whose home is the rank that claims it first; there is none with most placements.
fn claimed_page(fields: &Fields, space: &Space) -> Result<PageId, WireError> {
    let page = PageId(fields.page);
    let claimed = if space.is_claimed(PageId(0)) { space.area_pages } else { 0 };
    below("page", page.0, claimed).map(PageId)
}

fn rank_of(rank: u16, limits: &Limits) -> Result<Rank, WireError> {
    below("rank", rank.into(), limits.space.nodes.into())?;
    Ok(Rank(rank))
}

fn below(field: &'static str, value: u64, limit: u64) -> Result<u64, WireError> {
    if value < limit {
        return Ok(value);
    }
    Err(WireError { field, value, expected: Expected::Below(limit) })
}

fn nonzero(field: &'static str, value: u64) -> Result<u64, WireError> {
    if value > 0 { Ok(value) } else { Err(WireError { field, value, expected: Expected::NonZero }) }
}

fn exactly(field: &'static str, value: u64, wanted: u64) -> Result<(), WireError> {
    if value == wanted {
        return Ok(());
    }
    Err(WireError { field, value, expected: Expected::Exactly(wanted) })
}

fn unknown(field: &'static str, code: u8) -> WireError {
    WireError { field, value: code.into(), expected: Expected::Known }
}

const REQUEST: u8 = 1;
const FORWARD: u8 = 2;
const GRANT: u8 = 3;
const INVALIDATE: u8 = 4;
const ACK: u8 = 5;
const BARRIER_ARRIVE: u8 = 6;
const BARRIER_RELEASE: u8 = 7;
const ASK: u8 = 8;
const ANSWER: u8 = 9;
const RECLAIM: u8 = 10;
const RECLAIMED: u8 = 11;
const CLAIM: u8 = 12;
const HOME: u8 = 13;
const LEAVING: u8 = 14;
const UNWRITTEN: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Placement;
    use alloc::vec::Vec;

    const SPACE: Space = Space {
        nodes: 4,
        pages: 100,
        area_pages: 60,
        page_words: 512,
        placement: Placement::FirstTouch,
    };
    const LIMITS: Limits = Limits { space: SPACE, page_bytes: 4096 };

    fn every_kind() -> Vec<Message> {
        let (page, epoch, have) = (PageId(99), Epoch(u64::MAX), Epoch(7));
        let mut all = Vec::new();
        all.extend([Access::Read, Access::Write].map(|access| Message::Request { page, access }));
        for right in [Right::Shared, Right::Exclusive, Right::Modified] {
            all.push(Message::Forward { page, right, to: Rank(3), epoch, have });
            for payload in [Payload::Attached, Payload::Zero, Payload::Held] {
                all.push(Message::Grant { page, right, epoch, payload });
            }
        }
        all.extend([Message::Invalidate { page, have }, Message::Ack { page, epoch }]);
        for kind in [BarrierKind::Program, BarrierKind::Finalize] {
            all.push(Message::BarrierArrive { kind, epoch });
            all.push(Message::BarrierRelease { kind, epoch });
        }
        let (asker, id, object) = (Rank(2), CallId(u64::MAX), ObjectId(51_199));
        all.extend(asks::every_ask().map(|ask| Message::Ask { asker, id, object, ask }));
        all.extend(asks::every_answer().map(|answer| Message::Answer { id, answer }));
        all.push(Message::Reclaim { first: PageId(60), pages: 40 });
        all.push(Message::Reclaimed { first: PageId(99) });
        all.push(Message::Claim { page: PageId(59) });
        all.push(Message::Home { page: PageId(59), home: Rank(3) });
        all.push(Message::Leaving { rank: Rank(3), epoch });
        all.push(Message::Unwritten { page, epoch });
        let (page, right) = (PageId(51_299), Right::Modified);
        all.push(Message::Grant { page, right, epoch, payload: Payload::Zero });
        all
    }

    #[test]
    fn every_message_survives_the_wire() {
        for message in every_kind() {
            assert_eq!(decode(&encode(&message, &LIMITS), &LIMITS), Ok(message));
        }
    }

    /// Whatever single byte is changed, the frame is refused or is another well-formed message.
    #[test]
    fn a_changed_byte_is_refused_or_means_something_else() {
        for message in every_kind() {
            let frame = encode(&message, &LIMITS);
            for at in 0..HEADER_BYTES {
                for value in 0..=255 {
                    let mut changed = frame;
                    changed[at] = value;
                    if let Ok(other) = decode(&changed, &LIMITS) {
                        assert_eq!(encode(&other, &LIMITS), changed, "{message:?} byte {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_over_the_limits_are_named() {
        let page = PageId(51_300);
        let frame = encode(&Message::Invalidate { page, have: Epoch(1) }, &LIMITS);
        let error = decode(&frame, &LIMITS).unwrap_err();
        assert_eq!(
            alloc::format!("{error}"),
            "field page of a frame is 51300, expected less than 51300"
        );
    }
}
