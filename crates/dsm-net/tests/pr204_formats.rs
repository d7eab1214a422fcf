//! What the PR204 family says is read in any segmentation, and what cannot be is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dsm_net::pr204::{
    Announcement, AnnouncementReader, BlockReader, Contribution, ContributionReader, FormatError,
    LaunchBlock, MAX_BLOB_BYTES, MAX_NODES, NameFault, RECORD_BYTES, Record, WrapProfile,
};

/// Feeds `bytes` in segments of every size; the last push must give `expected`, and nothing before.
fn read_in_segments<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    expected: &T,
    mut reader: impl FnMut() -> Box<dyn FnMut(&[u8]) -> (usize, Option<T>)>,
) {
    for segment in [1, 2, 3, 5, 7, 8, 64, 1000, 1040, bytes.len()] {
        let mut push = reader();
        let (mut wanted, mut rest) = (push(&[]).0, bytes);
        let mut got = None;
        while !rest.is_empty() {
            assert!(got.is_none() && wanted > 0, "complete before the end");
            let (piece, behind) = rest.split_at(segment.min(wanted).min(rest.len()));
            rest = behind;
            (wanted, got) = push(piece);
        }
        assert_eq!((wanted, got.as_ref()), (0, Some(expected)), "in segments of {segment}");
    }
}

fn block(rank: u16, nodes: u16) -> LaunchBlock {
    let record = |rank| Record { rank, machine: format!("host{rank}.test"), port: 4000 + rank };
    LaunchBlock { rank, records: (0..nodes).map(record).collect() }
}

#[test]
fn a_block_is_read_in_any_segmentation() {
    for nodes in [1, 2, 5] {
        let block = block(nodes - 1, nodes);
        read_in_segments(&block.encode(), &block, || {
            let mut reader = BlockReader::new();
            Box::new(move |bytes| {
                let got = reader.push(bytes).unwrap();
                (reader.wanted(), got)
            })
        });
    }
}

#[test]
fn each_wrap_profile_says_the_same_block() {
    let block = block(1, 3);
    for profile in WrapProfile::ALL {
        let stream = [profile.greeting(1, 3), profile.answer(&block)].concat();
        read_in_segments(&stream, &block, || {
            let mut reader = match profile {
                WrapProfile::Rank => BlockReader::of_rank(1),
                WrapProfile::Ref | WrapProfile::Seed => BlockReader::new(),
            };
            Box::new(move |bytes| {
                let got = reader.push(bytes).unwrap();
                (reader.wanted(), got)
            })
        });
    }
}

#[test]
fn an_announcement_is_read_in_any_segmentation() {
    for profile in WrapProfile::ALL {
        let knows_rank = profile == WrapProfile::Rank;
        let sent = Announcement {
            machine: "node1".into(),
            pid: (!knows_rank).then_some(4242),
            port: 40001,
            tokens: if profile == WrapProfile::Ref { [-7, 1 << 30] } else { [0; 2] },
            rank: knows_rank.then_some(2),
        };
        read_in_segments(&sent.encode(profile), &sent, || {
            let mut reader = AnnouncementReader::new(profile, 3);
            Box::new(move |bytes| {
                let got = reader.push(bytes).unwrap();
                (reader.wanted(), got)
            })
        });
    }
}

#[test]
fn a_contribution_is_read_in_any_segmentation() {
    let sent = Contribution { rank: 1, blob: (0..200).collect() };
    read_in_segments(&sent.encode(), &sent, || {
        let mut reader = ContributionReader::new(2);
        Box::new(move |bytes| {
            let got = reader.push(bytes).unwrap();
            (reader.wanted(), got)
        })
    });
}

/// A block of one rank with bytes put over it.
fn refused(at: usize, bytes: &[u8]) -> FormatError {
    let mut stream = block(0, 1).encode();
    stream[at..at + bytes.len()].copy_from_slice(bytes);
    let mut reader = BlockReader::new();
    let mut rest = &stream[..];
    loop {
        let (piece, behind) = rest.split_at(reader.wanted());
        rest = behind;
        match reader.push(piece) {
            Ok(got) => assert!(got.is_none(), "the block was taken: {got:?}"),
            Err(error) => return error,
        }
    }
}

#[test]
fn a_block_that_cannot_be_is_refused() {
    let number = i32::to_le_bytes;
    let nodes = |nodes| FormatError::Nodes { nodes };
    assert_eq!(refused(0, &number(0)), nodes(0));
    assert_eq!(refused(0, &number(-1)), nodes(-1));
    assert_eq!(refused(0, &number(i32::MAX)), nodes(i32::MAX));
    assert_eq!(refused(0, &number(i32::from(MAX_NODES) + 1)), nodes(i32::from(MAX_NODES) + 1));
    assert_eq!(refused(4, &number(1)), FormatError::Rank { rank: 1, nodes: 1 });
    assert_eq!(refused(4, &number(-1)), FormatError::Rank { rank: -1, nodes: 1 });
    assert_eq!(refused(8, &number(9)), FormatError::Rank { rank: 9, nodes: 1 });
    let machine = "host0.test".to_owned();
    assert_eq!(refused(1036, &number(0)), FormatError::Port { port: 0, machine: machine.clone() });
    assert_eq!(refused(1036, &number(65_536)), FormatError::Port { port: 65_536, machine });
    assert_eq!(refused(12, &[b'x'; 1024]), FormatError::Machine(NameFault::Unterminated));
    assert_eq!(refused(12, &[0; 16]), FormatError::Machine(NameFault::Empty));
    assert_eq!(refused(12, b"a b"), FormatError::Machine(NameFault::NotAName));
    assert_eq!(refused(12, &[0xff]), FormatError::Machine(NameFault::NotAName));
}

#[test]
fn two_records_of_one_rank_are_refused() {
    let mut stream = block(0, 2).encode();
    let second = 8 + RECORD_BYTES;
    stream[second..second + 4].fill(0);
    let mut reader = BlockReader::new();
    assert_eq!(reader.push(&stream[..8]), Ok(None));
    assert_eq!(reader.push(&stream[8..]), Err(FormatError::Twice { rank: 0 }));
}

#[test]
fn records_may_come_in_any_order() {
    let block = block(1, 3);
    let mut records: Vec<_> = block.records.iter().map(Record::encode).collect();
    records.reverse();
    let mut reader = BlockReader::new();
    assert_eq!(reader.push(&block.encode()[..8]), Ok(None));
    assert_eq!(reader.push(&records.concat()), Ok(Some(block)));
}

#[test]
fn lengths_over_their_limits_are_refused_when_they_come() {
    let mut reader = AnnouncementReader::new(WrapProfile::Ref, 2);
    assert!(matches!(reader.push(&(-1_i32).to_le_bytes()), Err(FormatError::TooLong { .. })));
    let mut reader = AnnouncementReader::new(WrapProfile::Ref, 2);
    assert!(matches!(reader.push(&1025_i32.to_le_bytes()), Err(FormatError::TooLong { .. })));
    let mut reader = ContributionReader::new(2);
    let size = MAX_BLOB_BYTES as u64 + 1;
    let header = [&0_i32.to_le_bytes()[..], &size.to_le_bytes()].concat();
    assert!(
        matches!(reader.push(&header), Err(FormatError::TooLong { bytes, .. }) if bytes == size)
    );
}

#[test]
fn a_stream_that_ends_early_says_how_far_it_came() {
    let mut reader = BlockReader::new();
    assert_eq!(reader.push(&block(0, 2).encode()[..8]), Ok(None));
    assert_eq!(reader.push(&[0; 100]), Ok(None));
    let expected = "the stream ended after 108 of 2088 bytes of the launch block";
    assert_eq!(reader.short().to_string(), expected);
}
