use super::{
    FormatError, RECORD_BYTES, Record, WrapProfile, nodes_of, number_at, rank_of, to_bytes,
};

/// What a launcher tells a program: `launch/pr204`.
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | N, the number of ranks |
/// | 4 | 4 | the program's rank |
/// | 8 + 1040 k | 1040 | the [`Record`] of rank k |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchBlock {
    /// The rank of who is told.
    pub rank: u16,
    /// All ranks, in rank order, its own included.
    pub records: Vec<Record>,
}

impl LaunchBlock {
    /// Its bytes. Members of the family that read once need them in one write.
    ///
    /// # Panics
    /// If there are more than [`MAX_NODES`](super::MAX_NODES) records.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.header().to_vec();
        bytes.extend(self.encode_records());
        bytes
    }

    /// The records alone.
    #[must_use]
    pub fn encode_records(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.records.len() * RECORD_BYTES);
        for record in &self.records {
            bytes.extend_from_slice(&record.encode());
        }
        bytes
    }

    /// The number of ranks and the program's rank.
    fn header(&self) -> [u8; HEADER_BYTES] {
        let nodes = i32::try_from(self.records.len()).expect("a job's ranks were counted");
        assert!(nodes_of(nodes).is_ok(), "a job has 1 to 256 ranks in this format");
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&to_bytes(nodes));
        bytes[4..].copy_from_slice(&to_bytes(self.rank));
        bytes
    }
}

/// Takes a block as it arrives, in any segmentation, and nothing that follows it.
#[derive(Clone, Debug)]
pub struct BlockReader {
    bytes: Vec<u8>,
    /// Known before: a launcher of [`WrapProfile::Rank`] does not say it.
    rank: Option<u16>,
    /// How many of the bytes were known before and are never read.
    given: usize,
}

impl BlockReader {
    /// A reader of what a program reads.
    #[must_use]
    pub fn new() -> Self {
        Self { bytes: Vec::new(), rank: None, given: 0 }
    }

    /// A reader of what a wrapper reads that was told `rank` on its command line.
    #[must_use]
    pub fn of_rank(rank: u16) -> Self {
        Self { bytes: Vec::new(), rank: Some(rank), given: 0 }
    }

    /// A reader of what a launcher of 2025 answers: the records alone, if all ranks contribute theirs.
    ///
    /// # Panics
    /// If the rank is not one of the job's, or there are more than [`MAX_NODES`](super::MAX_NODES).
    #[must_use]
    pub fn of_job(rank: u16, nodes: u16) -> Self {
        assert!(nodes_of(nodes.into()).is_ok() && rank < nodes, "the environment was checked");
        let bytes = to_bytes(nodes).to_vec();
        Self { given: bytes.len(), bytes, rank: Some(rank) }
    }

    /// How many bytes to read next at most: 0 once the block is complete.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.expected() - self.bytes.len()
    }

    /// Whether the launcher has said what it says before it knows every rank: when a wrapper of
    /// [`WrapProfile::Seed`] or [`WrapProfile::Rank`] is to announce itself.
    #[must_use]
    pub fn has_header(&self) -> bool {
        self.bytes.len() >= self.header_bytes()
    }

    /// Adds bytes read, at most [`wanted`](Self::wanted); gives the block when it is complete.
    ///
    /// # Errors
    /// As soon as a field is read that cannot be.
    ///
    /// # Panics
    /// If there are more bytes than wanted.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<LaunchBlock>, FormatError> {
        assert!(bytes.len() <= self.wanted(), "a block's reader takes nothing behind the block");
        let headless = !self.has_header();
        self.bytes.extend_from_slice(bytes);
        if !self.has_header() {
            return Ok(None);
        }
        let (nodes, rank) = self.header()?;
        if headless {
            // No more than the limit on ranks allows.
            self.bytes.reserve(usize::from(nodes) * RECORD_BYTES);
        }
        if self.wanted() > 0 {
            return Ok(None);
        }
        let records = self.records(nodes)?;
        Ok(Some(LaunchBlock { rank, records }))
    }

    /// What to say when the stream has ended before the block was complete.
    #[must_use]
    pub fn short(&self) -> FormatError {
        let (got, expected) = (self.bytes.len() - self.given, self.expected() - self.given);
        FormatError::Short { what: "the launch block", got, expected }
    }

    fn header(&self) -> Result<(u16, u16), FormatError> {
        let nodes = nodes_of(number_at(&self.bytes, 0))?;
        let rank = self.rank.map_or_else(|| number_at(&self.bytes, 4), i32::from);
        Ok((nodes, rank_of(rank, nodes)?))
    }

    fn records(&self, nodes: u16) -> Result<Vec<Record>, FormatError> {
        let mut places = vec![None; usize::from(nodes)];
        for bytes in self.bytes[self.header_bytes()..].as_chunks().0 {
            let record = Record::decode(bytes, nodes)?;
            let rank = record.rank;
            if places[usize::from(rank)].replace(record).is_some() {
                return Err(FormatError::Twice { rank });
            }
        }
        Ok(places.into_iter().flatten().collect())
    }

    /// Bytes of the header, and once it is there, of the whole.
    fn expected(&self) -> usize {
        let header = self.header_bytes();
        let nodes = self.has_header().then(|| self.header().ok()).flatten();
        header + nodes.map_or(0, |(nodes, _)| usize::from(nodes) * RECORD_BYTES)
    }

    fn header_bytes(&self) -> usize {
        if self.rank.is_some() { HEADER_BYTES / 2 } else { HEADER_BYTES }
    }
}

impl Default for BlockReader {
    fn default() -> Self {
        Self::new()
    }
}

impl WrapProfile {
    /// What a launcher of this profile says to the wrapper of its block's rank when that connects.
    #[must_use]
    pub fn greeting(self, block_of: u16, nodes: u16) -> Vec<u8> {
        match self {
            Self::Ref => Vec::new(),
            Self::Seed => [to_bytes(nodes), to_bytes(block_of)].concat(),
            Self::Rank => to_bytes(nodes).to_vec(),
        }
    }

    /// What it says when every wrapper has announced itself.
    #[must_use]
    pub fn answer(self, block: &LaunchBlock) -> Vec<u8> {
        match self {
            Self::Ref => block.encode(),
            Self::Seed | Self::Rank => block.encode_records(),
        }
    }
}

const HEADER_BYTES: usize = 8;
