//! The key of each pair of ranks, derived from the job's.

use crate::launch::{JobId, JobKey};
use dsm_core::Rank;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use std::fmt;

/// What a rank shares with each other rank of its job and with nobody else.
///
/// It is kept as long as connections may have to be made again; the job's key, which opens all of them, is not.
pub struct PairKeys {
    /// The key of this rank with rank *r* is the *r*th; its own is never used.
    bytes: Box<dyn AsRef<[u8]> + Send + Sync>,
    are_secret: bool,
}

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

impl PairKeys {
    /// The keys of `own`, one of `nodes` ranks, put into `store`, which has [`KEY_BYTES`] for each of them: where
    /// keys may lie is the caller's affair. Without a job key they are zeros.
    ///
    /// # Panics
    /// If `store` is smaller.
    pub fn derive<S>(job: JobId, key: Option<&JobKey>, own: Rank, nodes: u16, mut store: S) -> Self
    where
        S: AsRef<[u8]> + AsMut<[u8]> + Send + Sync + 'static,
    {
        let bytes = store.as_mut();
        assert!(bytes.len() >= usize::from(nodes) * KEY_BYTES, "the store has room for all keys");
        for (rank, pair_key) in (0..nodes).zip(bytes.chunks_exact_mut(KEY_BYTES)) {
            match key {
                Some(key) => derive_one(job, key, own, Rank(rank), pair_key),
                None => pair_key.fill(0),
            }
        }
        Self { bytes: Box::new(store), are_secret: key.is_some() }
    }

    /// Whether they are derived from a job's key, and not zeros.
    #[must_use]
    pub fn are_secret(&self) -> bool {
        self.are_secret
    }

    /// The key of this rank with `peer`.
    ///
    /// # Panics
    /// If there is no such rank.
    #[must_use]
    pub fn with(&self, peer: Rank) -> &[u8; KEY_BYTES] {
        let begin = usize::from(peer.0) * KEY_BYTES;
        let (key, _) =
            (*self.bytes).as_ref()[begin..].split_first_chunk().expect("a key for each rank");
        key
    }
}

fn derive_one(job: JobId, key: &JobKey, own: Rank, peer: Rank, pair_key: &mut [u8]) {
    let (lower, higher) = (own.min(peer), own.max(peer));
    let info = [PURPOSE, &job.0.to_le_bytes()[..], &lower.0.to_le_bytes(), &higher.0.to_le_bytes()];
    let extracted = Salt::new(HKDF_SHA256, &[]).extract(key.bytes());
    let expanded = extracted.expand(&info, PairKeyLength);
    expanded.and_then(|key| key.fill(pair_key)).expect("HKDF gives more than one key");
}

struct PairKeyLength;

impl KeyType for PairKeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

impl fmt::Debug for PairKeys {
    /// No key is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairKeys(..)")
    }
}

const PURPOSE: &[u8] = b"dsm pair";

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(job: u64, key: u8, own: u16) -> PairKeys {
        let store = vec![0; 4 * KEY_BYTES];
        PairKeys::derive(JobId(job), Some(&JobKey::new([key; 32])), Rank(own), 4, store)
    }

    #[test]
    fn a_key_is_one_pairs_of_one_job() {
        let key = *keys(7, 1, 0).with(Rank(2));
        assert_eq!(*keys(7, 1, 2).with(Rank(0)), key);
        let others = [(7, 1, 0, 1), (7, 1, 1, 2), (7, 2, 0, 2), (8, 1, 0, 2)];
        for (job, job_key, own, peer) in others {
            assert_ne!(
                *keys(job, job_key, own).with(Rank(peer)),
                key,
                "{job} {job_key} {own} {peer}"
            );
        }
        let without = PairKeys::derive(JobId(7), None, Rank(0), 4, vec![9; 4 * KEY_BYTES]);
        assert_eq!(*without.with(Rank(3)), [0; KEY_BYTES]);
        assert_eq!(format!("{without:?}"), "PairKeys(..)");
    }

    #[test]
    fn keys_are_those_of_hkdf() {
        // Made with HKDF-SHA256 of another library, of the same key, no salt, and the documented info.
        let key = keys(0x0102_0304_0506_0708, 0x2a, 1);
        let hex: String = key.with(Rank(3)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "dd580a7db80b0a49c6cf10ca69c544bc45c483d08b188eaef534067f413f35d5");
    }
}
