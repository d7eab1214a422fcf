//! What the PR204 family says, byte for byte.
//!
//! The files in `testdata/pr204` are written out from the description of what its members were seen to say,
//! field by field and without our encoders; names, ports and pids are made up. A line is an offset, bytes
//! in hexadecimal (`00*7` is seven zeros), and what they are; offsets begin anew with each speaker.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dsm_net::pr204::{
    Announcement, AnnouncementReader, BlockReader, Contribution, ContributionReader, LaunchBlock,
    Record, WrapProfile,
};

#[test]
fn the_launch_block_is_as_captured() {
    check_launch(include_str!("../testdata/pr204/launch_1.txt"), 0, &[("localhost", 40000)]);
    check_launch(include_str!("../testdata/pr204/launch_2.txt"), 1, &TWO);
    let four = [("node0", 1), ("10.0.0.2", 255), ("node2.example.org", 256), ("node3", 65535)];
    check_launch(include_str!("../testdata/pr204/launch_4.txt"), 2, &four);
}

#[test]
fn wrap_ref_is_as_captured() {
    let capture = turns(include_str!("../testdata/pr204/wrap_ref.txt"));
    let [(wrapper, announced), (launcher, told)] = &capture[..] else { panic!("{capture:?}") };
    assert_eq!([*wrapper, *launcher], ["wrapper -> launcher", "launcher -> program"]);
    let (profile, block) = (WrapProfile::Ref, block(1, &TWO));
    let announcement = Announcement { tokens: [17, -4], ..announcement() };
    check_announcement(profile, &announcement, announced);
    assert_eq!(profile.greeting(1, 2), b"");
    assert_eq!(&profile.answer(&block), told);
    assert_eq!(BlockReader::new().push_all(told), block);
}

#[test]
fn wrap_seed_is_as_captured() {
    let capture = turns(include_str!("../testdata/pr204/wrap_seed.txt"));
    let [(first, greeting), (wrapper, announced), (then, answer)] = &capture[..] else {
        panic!("{capture:?}")
    };
    let who = ["launcher -> wrapper", "wrapper -> launcher", "launcher -> wrapper"];
    assert_eq!([*first, *wrapper, *then], who);
    let (profile, block) = (WrapProfile::Seed, block(1, &TWO));
    check_announcement(profile, &announcement(), announced);
    assert_eq!(&profile.greeting(1, 2), greeting);
    assert_eq!(&profile.answer(&block), answer);
    let mut reader = BlockReader::new();
    assert_eq!((reader.push(greeting), reader.has_header()), (Ok(None), true));
    assert_eq!(reader.push_all(answer), block);
    assert_eq!([&greeting[..], answer].concat(), block.encode(), "what a program reads");
}

#[test]
fn wrap_rank_is_as_captured() {
    let capture = turns(include_str!("../testdata/pr204/wrap_rank.txt"));
    let [(first, greeting), (wrapper, announced), (then, answer), (last, served)] = &capture[..]
    else {
        panic!("{capture:?}")
    };
    let who =
        ["launcher -> wrapper", "wrapper -> launcher", "launcher -> wrapper", "wrapper -> program"];
    assert_eq!([*first, *wrapper, *then, *last], who);
    let (profile, block) = (WrapProfile::Rank, block(1, &TWO));
    let announcement = Announcement { pid: None, rank: Some(1), ..announcement() };
    check_announcement(profile, &announcement, announced);
    assert_eq!(&profile.greeting(1, 2), greeting);
    assert_eq!(&profile.answer(&block), answer);
    let mut reader = BlockReader::of_rank(1);
    assert_eq!((reader.push(greeting), reader.has_header()), (Ok(None), true));
    assert_eq!(reader.push_all(answer), block);
    assert_eq!(&block.encode(), served);
}

#[test]
fn ete7_is_as_captured() {
    let capture = turns(include_str!("../testdata/pr204/ete7.txt"));
    let [(zero, first), (one, second), (launcher, answer)] = &capture[..] else {
        panic!("{capture:?}")
    };
    let who = ["program 0 -> launcher", "program 1 -> launcher", "launcher -> programs"];
    assert_eq!([*zero, *one, *launcher], who);
    let block = block(1, &TWO);
    for (record, said) in block.records.iter().zip([first, second]) {
        let sent = Contribution { rank: record.rank, blob: record.encode().to_vec() };
        assert_eq!(&sent.encode(), said);
        let mut reader = ContributionReader::new(2);
        assert_eq!(reader.push(&said[..12]), Ok(None));
        assert_eq!(reader.push(&said[12..]), Ok(Some(sent)));
    }
    assert_eq!(&block.encode_records(), answer);
    assert_eq!(BlockReader::of_job(1, 2).push_all(answer), block);
}

#[test]
fn an_answer_that_is_short_is_counted_without_what_was_known() {
    let mut reader = BlockReader::of_job(0, 2);
    assert_eq!((reader.wanted(), reader.push(&[0; 7])), (2080, Ok(None)));
    let expected = "the stream ended after 7 of 2080 bytes of the launch block";
    assert_eq!(reader.short().to_string(), expected);
}

fn check_launch(capture: &str, rank: u16, machines: &[(&str, u16)]) {
    let capture = turns(capture);
    let [(speaker, bytes)] = &capture[..] else { panic!("{capture:?}") };
    assert_eq!(*speaker, "launcher -> program");
    let block = block(rank, machines);
    assert_eq!(&block.encode(), bytes);
    assert_eq!(BlockReader::new().push_all(bytes), block);
}

fn check_announcement(profile: WrapProfile, announcement: &Announcement, bytes: &[u8]) {
    assert_eq!(announcement.encode(profile), bytes);
    let mut reader = AnnouncementReader::new(profile, 2);
    let mut rest = bytes;
    loop {
        let (piece, behind) = rest.split_at(reader.wanted());
        rest = behind;
        if let Some(read) = reader.push(piece).unwrap() {
            assert_eq!((&read, rest), (announcement, &b""[..]));
            return;
        }
    }
}

trait PushAll {
    fn push_all(self, bytes: &[u8]) -> LaunchBlock;
}

impl PushAll for BlockReader {
    /// The block that ends with these bytes.
    fn push_all(mut self, mut bytes: &[u8]) -> LaunchBlock {
        loop {
            let (piece, behind) = bytes.split_at(self.wanted());
            bytes = behind;
            if let Some(block) = self.push(piece).unwrap() {
                assert_eq!(bytes, b"");
                return block;
            }
        }
    }
}

fn block(rank: u16, machines: &[(&str, u16)]) -> LaunchBlock {
    let record = |(rank, &(machine, port)): (u16, &(&str, u16))| Record {
        rank,
        machine: machine.into(),
        port,
    };
    LaunchBlock { rank, records: (0..).zip(machines).map(record).collect() }
}

fn announcement() -> Announcement {
    let (machine, port) = TWO[1];
    Announcement { machine: machine.into(), pid: Some(4321), port, tokens: [0; 2], rank: None }
}

/// Who says what, in order.
fn turns(capture: &str) -> Vec<(&str, Vec<u8>)> {
    let mut turns: Vec<(&str, Vec<u8>)> = Vec::new();
    for line in capture.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(speaker) = line.strip_suffix(':').filter(|it| it.contains(" -> ")) {
            turns.push((speaker, Vec::new()));
            continue;
        }
        let (_, said) = turns.last_mut().expect("a line begins with who speaks");
        let (offset, rest) = line.split_once("  ").unwrap();
        assert_eq!(usize::from_str_radix(offset, 16), Ok(said.len()), "{line}");
        let (bytes, _) = rest.split_once("  ").unwrap();
        for byte in bytes.split_whitespace() {
            let (byte, times) = byte.split_once('*').unwrap_or((byte, "1"));
            let byte = u8::from_str_radix(byte, 16).unwrap();
            said.extend(std::iter::repeat_n(byte, times.parse().unwrap()));
        }
    }
    turns
}

const TWO: [(&str, u16); 2] = [("node0", 40000), ("10.0.0.2", 40001)];
