//! What launchers, wrappers and programs of the PR204 family say, cut anywhere.

use dsm_net::pr204::{
    Announcement, AnnouncementReader, BlockReader, Contribution, ContributionReader, FormatError,
    LaunchBlock, MAX_BLOB_BYTES, MAX_NODES, RECORD_BYTES, Record, WrapProfile,
};
use std::fmt::Debug;

/// The first byte picks who reads, the second how much arrives at once. What comes out does not depend on
/// the segments, and says what the bytes say.
pub(crate) fn read(bytes: &[u8]) {
    let [kind, segment, stream @ ..] = bytes else { return };
    let segment = usize::from(*segment) + 1;
    match kind % 7 {
        0 => {
            let written = check(BlockReader::new, stream, segment, LaunchBlock::encode);
            same_but_for_padding(stream, written);
        }
        1 => {
            let nodes = |block: &LaunchBlock| i32::try_from(block.records.len());
            let encode = |block: &LaunchBlock| {
                let nodes = nodes(block).expect("ranks are few").to_le_bytes();
                [&nodes[..], &block.encode_records()].concat()
            };
            let written = check(|| BlockReader::of_rank(1), stream, segment, encode);
            same_but_for_padding(stream, written);
        }
        2 => {
            let reader = || BlockReader::of_job(1, 2);
            let written = check(reader, stream, segment, LaunchBlock::encode_records);
            same_but_for_padding(stream, written);
        }
        3 => {
            let reader = || ContributionReader::new(NODES);
            let written = check(reader, stream, segment, Contribution::encode);
            assert!(written.is_none_or(|it| stream.starts_with(&it.bytes)), "it has one form");
        }
        profile => {
            let profile = WrapProfile::ALL[usize::from(profile - 4)];
            let reader = || AnnouncementReader::new(profile, NODES);
            let encode = |announcement: &Announcement| announcement.encode(profile);
            let written = check(reader, stream, segment, encode);
            if profile == WrapProfile::Ref {
                // A name whose length counts more than one NUL is written shorter.
                let exact = |it: &Written| it.bytes.len() == it.taken;
                let same = |it: Written| stream.starts_with(&it.bytes);
                assert!(written.filter(exact).is_none_or(same), "it has one form");
            } else {
                same_but_for_padding(stream, written);
            }
        }
    }
}

/// Well-formed inputs.
pub(crate) fn examples() -> Vec<Vec<u8>> {
    let record = |rank| Record { rank, machine: format!("node{rank}"), port: 4000 + rank };
    let block = |rank, nodes| LaunchBlock { rank, records: (0..nodes).map(record).collect() };
    let announcement = Announcement {
        machine: "node1.example.org".into(),
        pid: Some(4242),
        port: 40001,
        tokens: [7, -7],
        rank: Some(1),
    };
    let contribution = Contribution { rank: 1, blob: record(1).encode().to_vec() };
    let two = block(1, 2);
    let of_rank = [&2_i32.to_le_bytes()[..], &two.encode_records()].concat();
    let streams = [block(0, 1).encode(), of_rank, two.encode_records(), contribution.encode()];
    let announced = WrapProfile::ALL.map(|profile| announcement.encode(profile));
    let kinds = (0..).zip(streams.into_iter().chain(announced)).chain([(0, two.encode())]);
    kinds.map(|(kind, stream)| [vec![kind, 200], stream].concat()).collect()
}

/// How long inputs may get: two records and what is around them.
pub(crate) const MAX_INPUT: usize = 2 * RECORD_BYTES + 512;

/// Something that takes one message as it arrives.
trait Reader {
    type Message: PartialEq + Debug;
    fn wanted(&self) -> usize;
    fn push(&mut self, bytes: &[u8]) -> Result<Option<Self::Message>, FormatError>;
    fn short(&self) -> FormatError;
}

/// A message that was read, written again.
struct Written {
    bytes: Vec<u8>,
    /// How many bytes were read.
    taken: usize,
}

/// Reads a stream as it is cut, and as a whole.
fn check<R: Reader>(
    reader: impl Fn() -> R,
    stream: &[u8],
    segment: usize,
    encode: impl Fn(&R::Message) -> Vec<u8>,
) -> Option<Written> {
    let read = read_in_segments(reader(), stream, segment);
    assert_eq!(read, read_in_segments(reader(), stream, stream.len()), "whatever the segments");
    let (message, taken) = match read {
        Ok(it) => it,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let bytes = encode(&message);
    let again = read_in_segments(reader(), &bytes, bytes.len());
    assert_eq!(again, Ok((message, bytes.len())), "what was read is written the same");
    Some(Written { bytes, taken })
}

/// The message, and how many bytes it took.
fn read_in_segments<R: Reader>(
    mut reader: R,
    stream: &[u8],
    segment: usize,
) -> Result<(R::Message, usize), FormatError> {
    let mut taken = 0;
    loop {
        let wanted = reader.wanted();
        assert!(wanted > 0 && wanted <= MAX_MESSAGE, "a reader wants {wanted} bytes");
        let end = stream.len().min(taken + wanted.min(segment));
        if end == taken {
            return Err(reader.short());
        }
        let got = reader.push(&stream[taken..end])?;
        taken = end;
        if let Some(message) = got {
            assert_eq!(reader.wanted(), 0, "nothing is wanted behind a message");
            return Ok((message, taken));
        }
    }
}

/// Behind the NUL of a name and in the private numbers of a record anything may stand, where zeros are
/// written; and records may come in any order. Everything else has one form.
fn same_but_for_padding(stream: &[u8], written: Option<Written>) {
    let Some(Written { bytes, taken }) = written else { return };
    let (header, records) = stream[..taken].split_at(taken % RECORD_BYTES);
    let mut records: Vec<_> = records.chunks(RECORD_BYTES).collect();
    // The rank is the first byte: there are few.
    records.sort_by_key(|record| record[0]);
    let read = [header, &records.concat()].concat();
    assert_eq!(read.len(), bytes.len());
    let differs = |(read, written): (&u8, &u8)| read != written && *written != 0;
    assert!(!read.iter().zip(&bytes).any(differs), "{read:02x?} was written as {bytes:02x?}");
}

impl Reader for BlockReader {
    type Message = LaunchBlock;
    fn wanted(&self) -> usize {
        self.wanted()
    }
    fn push(&mut self, bytes: &[u8]) -> Result<Option<LaunchBlock>, FormatError> {
        self.push(bytes)
    }
    fn short(&self) -> FormatError {
        self.short()
    }
}

impl Reader for AnnouncementReader {
    type Message = Announcement;
    fn wanted(&self) -> usize {
        self.wanted()
    }
    fn push(&mut self, bytes: &[u8]) -> Result<Option<Announcement>, FormatError> {
        self.push(bytes)
    }
    fn short(&self) -> FormatError {
        self.short()
    }
}

impl Reader for ContributionReader {
    type Message = Contribution;
    fn wanted(&self) -> usize {
        self.wanted()
    }
    fn push(&mut self, bytes: &[u8]) -> Result<Option<Contribution>, FormatError> {
        self.push(bytes)
    }
    fn short(&self) -> FormatError {
        self.short()
    }
}

const NODES: u16 = 3;
const MAX_MESSAGE: usize = 8 + MAX_NODES as usize * RECORD_BYTES;
const _: () = assert!(MAX_BLOB_BYTES + 12 < MAX_MESSAGE);
