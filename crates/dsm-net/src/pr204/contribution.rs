use super::{FormatError, number_at, rank_of, to_bytes};

/// What a program tells a launcher of 2025 about itself (`launch/ete7`): its rank, the size of a blob as
/// 64 bits, and the blob. The launcher answers with the blobs of all ranks, one behind the other, in rank
/// order; what is in them is the programs' own affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// The rank it is from.
    pub rank: u16,
    /// What the other ranks shall know, at most [`MAX_BLOB_BYTES`].
    pub blob: Vec<u8>,
}

/// The most bytes of a blob.
pub const MAX_BLOB_BYTES: usize = 64 << 10;

impl Contribution {
    /// Its bytes.
    ///
    /// # Panics
    /// If the blob is over the limit.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.blob.len() <= MAX_BLOB_BYTES, "blobs are bounded by who makes them");
        [&to_bytes(self.rank)[..], &(self.blob.len() as u64).to_le_bytes(), &self.blob].concat()
    }
}

/// Takes a contribution as it arrives, in any segmentation, and nothing that follows it.
#[derive(Clone, Debug)]
pub struct ContributionReader {
    nodes: u16,
    bytes: Vec<u8>,
}

impl ContributionReader {
    /// A reader of what a program says in a job of `nodes` ranks.
    #[must_use]
    pub fn new(nodes: u16) -> Self {
        Self { nodes, bytes: Vec::new() }
    }

    /// How many bytes to read next at most: 0 once the contribution is complete.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.expected() - self.bytes.len()
    }

    /// Adds bytes read, at most [`wanted`](Self::wanted); gives the contribution when it is complete.
    ///
    /// # Errors
    /// As soon as a field is read that cannot be.
    ///
    /// # Panics
    /// If there are more bytes than wanted.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Contribution>, FormatError> {
        assert!(bytes.len() <= self.wanted(), "a reader takes nothing behind its contribution");
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() < HEADER_BYTES {
            return Ok(None);
        }
        let rank = rank_of(number_at(&self.bytes, 0), self.nodes)?;
        let size = self.size();
        if size > MAX_BLOB_BYTES as u64 {
            return Err(FormatError::TooLong {
                what: "a blob",
                bytes: size,
                limit: MAX_BLOB_BYTES,
            });
        }
        let complete = self.wanted() == 0;
        Ok(complete.then(|| Contribution { rank, blob: self.bytes[HEADER_BYTES..].to_vec() }))
    }

    /// What to say when the stream has ended before the contribution was complete.
    #[must_use]
    pub fn short(&self) -> FormatError {
        let (got, expected) = (self.bytes.len(), self.expected());
        FormatError::Short { what: "a program's contribution", got, expected }
    }

    fn expected(&self) -> usize {
        if self.bytes.len() < HEADER_BYTES {
            return HEADER_BYTES;
        }
        // A size over the limit was refused when it came.
        HEADER_BYTES + usize::try_from(self.size()).unwrap_or(MAX_BLOB_BYTES).min(MAX_BLOB_BYTES)
    }

    fn size(&self) -> u64 {
        let field = self.bytes[4..].first_chunk().expect("the header is complete");
        u64::from_le_bytes(*field)
    }
}

const HEADER_BYTES: usize = 12;
