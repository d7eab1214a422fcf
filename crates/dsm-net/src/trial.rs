use crate::handshake::{Calling, First, HandshakeError};
use crate::keys::KEY_BYTES;
use crate::record::LENGTH_BYTES;
use dsm_core::Rank;
use dsm_core::wire::{HELLO_BYTES, Preamble};
use std::time::{Duration, Instant};

/// What it costs on this machine that nobody on the way reads along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncryptionCost {
    /// To encrypt a page.
    pub seal: Duration,
    /// To decrypt and check it.
    pub open: Duration,
}

impl EncryptionCost {
    /// The best of several times, for a page of `page_bytes`.
    ///
    /// # Errors
    /// If no handshake can be made here.
    ///
    /// # Panics
    /// If a page is longer than a record may be.
    pub fn of_page(page_bytes: usize) -> Result<Self, HandshakeError> {
        let (key, page) = ([0; KEY_BYTES], vec![0x5a; page_bytes]);
        let (calling, first) = Calling::begin(&key, &Preamble::new(Rank(1), Rank(0), 2, 1))?;
        let first = First::read(&first).expect("our own message is one");
        let (second, mut theirs) = first.answer(&key, &[0; HELLO_BYTES])?;
        let (_, mut ours) = calling.finish(&second)?;
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        let mut best = Self { seal: Duration::MAX, open: Duration::MAX };
        for _ in 0..TIMES {
            sealed.clear();
            opened.clear();
            let begun = Instant::now();
            ours.seal(&[&page], &mut sealed);
            let between = Instant::now();
            theirs.open(&sealed[LENGTH_BYTES..], &mut opened).expect("the record is the next");
            best.open = best.open.min(between.elapsed());
            best.seal = best.seal.min(between - begun);
        }
        Ok(best)
    }
}

const TIMES: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_some_time() {
        let EncryptionCost { seal, open } = EncryptionCost::of_page(4096).unwrap();
        for time in [seal, open] {
            assert!(time > Duration::ZERO && time < Duration::from_millis(100), "{time:?}");
        }
    }
}
