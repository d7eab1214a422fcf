//! Handshakes and records that somebody on the way changes, or makes up.

use crate::targets::{OURS, array};
use dsm_core::Rank;
use dsm_core::wire::Preamble;
use dsm_net::handshake::{Calling, FIRST_BYTES, First, SECOND_BYTES};
use dsm_net::keys::KEY_BYTES;
use dsm_net::record::{self, Cipher, LENGTH_BYTES, RecordError};

/// The first byte says what is attacked. Only what nobody changed is believed.
///
/// # Panics
/// If anything else is.
pub(crate) fn read(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 5 {
        0 => read_first(&array(bytes)),
        1 => change_first(&array(bytes)),
        2 => change_second(&array(bytes)),
        3 => read_records(bytes),
        _ => change_records(bytes),
    }
}

/// A message that is made up.
fn read_first(bytes: &[u8; FIRST_BYTES]) {
    let Some(first) = First::read(bytes) else { return };
    let preamble = first.preamble().encode();
    assert_eq!(bytes[..preamble.len()], preamble);
    assert!(first.answer(&KEY, &OURS.encode()).is_err(), "a stranger is answered");
}

fn change_first(mask: &[u8; FIRST_BYTES]) {
    let (_, mut first) = begin();
    change(&mut first, mask);
    let answered = First::read(&first).and_then(|first| first.answer(&KEY, &OURS.encode()).ok());
    assert_eq!(answered.is_some(), is_zero(mask), "what was changed is believed, or else not");
}

fn change_second(mask: &[u8; SECOND_BYTES]) {
    let (calling, first) = begin();
    let hello = OURS.encode();
    let first = First::read(&first).expect("our own message is one");
    let (mut second, _) = first.answer(&KEY, &hello).expect("it was made with the key");
    change(&mut second, mask);
    match calling.finish(&second) {
        Ok((heard, _)) => assert!(is_zero(mask) && heard == hello, "a change is believed"),
        Err(_) => assert!(!is_zero(mask), "nothing was changed"),
    }
}

/// A stream that is made up, read as a connection does.
fn read_records(mut bytes: &[u8]) {
    let (_, mut cipher) = pair();
    let mut plain = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() {
        let Ok(length) = record::ciphertext_length(*length) else { return };
        let Some((ciphertext, rest)) = rest.split_at_checked(length) else { return };
        assert_eq!(cipher.open(ciphertext, &mut plain), Err(RecordError::Unauthentic));
        assert_eq!(plain, b"");
        bytes = rest;
    }
}

/// Two records, changed, and cut or lengthened.
fn change_records(mask: &[u8]) {
    let (mut ours, mut theirs) = pair();
    let Some((cut, mask)) = mask.split_first() else { return };
    let mut is_intact = true;
    for (text, mask) in [b"one".as_slice(), b"two"].into_iter().zip(mask.chunks(19)) {
        let (mut record, mut plain) = (Vec::new(), Vec::new());
        ours.seal(&[text], &mut record);
        let mut ciphertext = record.split_off(LENGTH_BYTES);
        change(&mut ciphertext, mask);
        is_intact &= is_zero(mask);
        if *cut > 0 {
            ciphertext.resize(usize::from(*cut), 0);
            is_intact &= usize::from(*cut) == text.len() + record::TAG_BYTES;
        }
        match theirs.open(&ciphertext, &mut plain) {
            Ok(()) => assert!(is_intact && plain == text, "a change is believed"),
            Err(_) => assert!(!is_intact, "nothing was changed"),
        }
    }
}

/// Masks that change nothing, a message that is nearly one, a record that has a possible length.
pub(crate) fn examples() -> Vec<Vec<u8>> {
    let (_, first) = begin();
    let mut stranger = first.to_vec();
    stranger[FIRST_BYTES - 1] ^= 1;
    let mut record = Vec::new();
    pair().0.seal(&[b"of another connection"], &mut record);
    vec![
        [vec![0], stranger].concat(),
        vec![1; 1],
        [vec![1], vec![0; FIRST_BYTES]].concat(),
        [vec![2], vec![0; SECOND_BYTES]].concat(),
        [vec![3], record.clone(), record].concat(),
        [vec![4, 0], vec![0; 38]].concat(),
        [vec![4, 19], vec![0; 38]].concat(),
    ]
}

fn begin() -> (Calling, [u8; FIRST_BYTES]) {
    let preamble = Preamble::new(Rank(1), Rank(0), OURS.nodes, 1);
    Calling::begin(&KEY, &preamble).expect("there are random numbers")
}

fn pair() -> (Cipher, Cipher) {
    let (calling, first) = begin();
    let first = First::read(&first).expect("our own message is one");
    let (second, theirs) = first.answer(&KEY, &OURS.encode()).expect("it was made with the key");
    let (_, ours) = calling.finish(&second).expect("so was this");
    (ours, theirs)
}

fn change(bytes: &mut [u8], mask: &[u8]) {
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

fn is_zero(mask: &[u8]) -> bool {
    mask.iter().all(|byte| *byte == 0)
}

const KEY: [u8; KEY_BYTES] = [0x5a; KEY_BYTES];
