//! The memory of a stream to a peer: pieces that are filled, sent from, and used again.
//!
//! Bytes stay where they were put until they are acknowledged, and the memory that was acknowledged last, which
//! the processor's caches still have, is filled next.

use std::collections::VecDeque;

/// The bytes of a stream from the first that may have to be sent again, numbered from the stream's first on.
///
/// Invariant: `begin <= start <= sent <= end`, and `pieces` hold `begin..end`; none of them is empty.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pieces: VecDeque<Vec<u8>>,
    begin: u64,
    /// What is before is of no use any more.
    start: u64,
    sent: u64,
    end: u64,
    /// Where `sent` is: a piece, and a place in it, which may be its end.
    at: Place,
    spare: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    piece: usize,
    byte: usize,
}

impl Kept {
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent == self.end
    }

    /// How many bytes there are from `start` on.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.end - self.start).expect("memory has them")
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.push_with(bytes.len(), |piece| piece.extend_from_slice(bytes));
    }

    /// Has so many bytes appended, which stay next to each other.
    ///
    /// # Panics
    /// If another number is.
    pub(super) fn push_with(&mut self, bytes: usize, append: impl FnOnce(&mut Vec<u8>)) {
        if bytes == 0 {
            return;
        }
        let piece = self.piece_with_room(bytes);
        let before = piece.len();
        append(piece);
        assert_eq!(piece.len(), before + bytes, "a message has the bytes it says");
        self.end += bytes as u64;
    }

    fn piece_with_room(&mut self, bytes: usize) -> &mut Vec<u8> {
        let has_room = |piece: &Vec<u8>| piece.capacity() - piece.len() >= bytes;
        if !self.pieces.back().is_some_and(has_room) {
            let spare = self.spare.pop_if(|piece| has_room(piece));
            let piece = spare.unwrap_or_else(|| Vec::with_capacity(bytes.max(PIECE_BYTES)));
            self.pieces.push_back(piece);
        }
        self.pieces.back_mut().expect("one was added if there was none")
    }

    /// What was not sent, in pieces of which none is empty.
    pub(super) fn unsent(&self) -> impl Iterator<Item = &[u8]> {
        let Place { piece, byte } = self.at;
        let first = self.pieces.get(piece).map(|piece| &piece[byte..]);
        let others = self.pieces.range((piece + 1).min(self.pieces.len())..).map(Vec::as_slice);
        first.into_iter().chain(others).filter(|piece| !piece.is_empty())
    }

    /// So many more bytes are sent.
    ///
    /// # Panics
    /// If there are not so many.
    pub(super) fn on_sent(&mut self, count: usize) {
        self.sent += count as u64;
        assert!(self.sent <= self.end, "a socket takes no more than it is given");
        self.at.byte += count;
        // At the end of a piece more may be added to it, or to the next.
        while let Some(piece) = self.pieces.get(self.at.piece)
            && self.at.byte > piece.len()
        {
            self.at = Place { piece: self.at.piece + 1, byte: self.at.byte - piece.len() };
        }
    }

    /// What was sent from `start` on is to be sent once more.
    pub(super) fn send_again(&mut self) {
        self.sent = self.begin;
        self.at = Place::default();
        let acknowledged = usize::try_from(self.start - self.begin).expect("a piece has them");
        self.on_sent(acknowledged);
    }

    /// What is before this offset is of no use any more.
    ///
    /// # Panics
    /// If it was not sent.
    pub(super) fn drop_until(&mut self, offset: u64) {
        assert!(offset <= self.sent, "what is acknowledged was sent: {offset} of {}", self.sent);
        self.start = self.start.max(offset);
        while let Some(piece) =
            self.pieces.pop_front_if(|piece| self.begin + piece.len() as u64 <= self.start)
        {
            self.begin += piece.len() as u64;
            // The place may be the end of this piece, which is the beginning of the next.
            self.at = match self.at.piece.checked_sub(1) {
                Some(before) => Place { piece: before, ..self.at },
                None => Place::default(),
            };
            self.keep_spare(piece);
        }
    }

    fn keep_spare(&mut self, mut piece: Vec<u8>) {
        if self.spare.len() < SPARE_PIECES && piece.capacity() <= PIECE_BYTES {
            piece.clear();
            self.spare.push(piece);
        }
    }
}

/// Some pages, so that a piece is seldom left half empty.
const PIECE_BYTES: usize = 64 << 10;
/// What an idle connection keeps of the memory that it once needed: 1 MiB.
const SPARE_PIECES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_unsent(kept: &Kept, mut expected: &[u8]) -> bool {
        kept.unsent().all(|piece| {
            let (first, rest) = expected.split_at(piece.len());
            expected = rest;
            first == piece
        }) && expected.is_empty()
    }

    /// Adds, sends, acknowledges and rewinds in the order that `choices` say, beside a model of one vector.
    fn check(choices: impl IntoIterator<Item = u64>) {
        let mut kept = Kept::default();
        let (mut stream, mut start, mut sent) = (Vec::new(), 0, 0);
        for choice in choices {
            let amount = usize::try_from(choice / 8 % 50_000).unwrap();
            match choice % 8 {
                0..3 => {
                    let byte = u8::try_from(choice % 251).unwrap();
                    kept.push(&vec![byte; amount]);
                    stream.resize(stream.len() + amount, byte);
                }
                3..5 => {
                    let count = amount.min(stream.len() - sent);
                    kept.on_sent(count);
                    sent += count;
                }
                5..7 => {
                    start += amount.min(sent - start);
                    kept.drop_until(start as u64);
                }
                _ => {
                    kept.send_again();
                    sent = start;
                }
            }
            assert_eq!(kept.bytes(), stream.len() - start);
            assert_eq!((kept.start(), kept.sent()), (start as u64, sent as u64));
            assert!(is_unsent(&kept, &stream[sent..]), "at {choice}");
            assert_eq!(kept.is_sent(), sent == stream.len());
            assert!(kept.unsent().all(|piece| !piece.is_empty()));
        }
    }

    #[test]
    fn it_is_a_stream_in_whatever_order_it_is_used() {
        let mut drawn = 1_u64;
        check((0..500).map(|_| {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            drawn >> 20
        }));
    }

    #[test]
    fn what_is_added_at_once_is_in_one_piece() {
        let mut kept = Kept::default();
        kept.push(&[1; PIECE_BYTES - 10]);
        kept.push(&[2; 11]);
        kept.push(&[3; 3 * PIECE_BYTES]);
        let lengths: Vec<usize> = kept.unsent().map(<[u8]>::len).collect();
        assert_eq!(lengths, [PIECE_BYTES - 10, 11, 3 * PIECE_BYTES]);
    }

    #[test]
    fn memory_is_used_again_and_an_idle_stream_keeps_little() {
        let mut kept = Kept::default();
        kept.push(&[1; 100]);
        let first = kept.unsent().next().unwrap().as_ptr();
        kept.on_sent(100);
        kept.drop_until(100);
        kept.push(&[2; 100]);
        assert_eq!(kept.unsent().next().unwrap().as_ptr(), first);
        for _ in 0..100 {
            kept.push(&[3; PIECE_BYTES]);
        }
        kept.on_sent(kept.bytes());
        kept.drop_until(kept.sent());
        assert_eq!((kept.pieces.len(), kept.spare.len()), (0, SPARE_PIECES));
    }
}
