//! Two connected ranks whose connection is reset again and again: every message arrives once, in order,
//! with its bytes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dsm_core::wire::{HEADER_BYTES, HELLO_BYTES, Limits, Preamble};
use dsm_core::{Epoch, Message, PageId, Payload, Placement, Rank, Right, Space};
use dsm_net::connection::{Connection, ConnectionError, MAX_OUTBOUND, Received};
use dsm_net::handshake::{Calling, First};
use dsm_net::record::Cipher;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendFlags, sockopt};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Small, so that every offset of an exchange can be tried.
const PAGE_BYTES: usize = 64;
const SPACE: Space =
    Space { nodes: 2, pages: 8, area_pages: 8, page_words: 8, placement: Placement::Cyclic };
const LIMITS: Limits = Limits { space: SPACE, page_bytes: 64 };

type Ciphers = fn() -> (Option<Cipher>, Option<Cipher>);

fn plain() -> (Option<Cipher>, Option<Cipher>) {
    (None, None)
}

fn encrypted() -> (Option<Cipher>, Option<Cipher>) {
    let preamble = Preamble { version: 1, from: Rank(1), to: Rank(0), nodes: 2, attempt: 1 };
    let (key, hello) = ([7; 32], [0; HELLO_BYTES]);
    let (calling, first) = Calling::begin(&key, &preamble).unwrap();
    let (second, theirs) = First::read(&first).unwrap().answer(&key, &hello).unwrap();
    (Some(calling.finish(&second).unwrap().1), Some(theirs))
}

fn streams() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn message(number: u64, with_page: u64) -> Message {
    let (page, epoch) = (PageId(number % 8), Epoch(number + 1));
    match with_page {
        0 => Message::Ack { page, epoch },
        _ => Message::Grant { page, right: Right::Shared, epoch, payload: Payload::Attached },
    }
}

fn content(message: &Message) -> Vec<u8> {
    let Message::Grant { epoch, .. } = message else { return Vec::new() };
    (0..PAGE_BYTES as u64).map(|at| (epoch.0.wrapping_mul(31) + at).to_le_bytes()[0]).collect()
}

/// One rank: what it has to send, and what it has received.
struct End {
    connection: Connection,
    to_send: VecDeque<Message>,
    page: Vec<u8>,
    got: Vec<(Message, Vec<u8>)>,
}

impl End {
    fn new(stream: TcpStream, cipher: Option<Cipher>, to_send: Vec<Message>) -> Self {
        let connection = Connection::new(stream, cipher, LIMITS).unwrap();
        Self { connection, to_send: to_send.into(), page: Vec::new(), got: Vec::new() }
    }

    /// Sends up to so many messages, and receives what is there.
    fn step(&mut self, messages: u64) {
        let sent = (0..messages).try_for_each(|_| self.send_one());
        let sent = sent.and_then(|()| self.connection.flush());
        let done = sent.and_then(|()| self.receive());
        match done {
            Ok(()) => (),
            Err(error) if error.is_reset() => self.connection.lose(),
            Err(error) => panic!("{error}"),
        }
    }

    fn send_one(&mut self) -> Result<(), ConnectionError> {
        let Some(message) = self.to_send.pop_front() else { return Ok(()) };
        if message.attached_page().is_none() {
            return self.connection.queue(&message);
        }
        let page = content(&message);
        let write = |socket: BorrowedFd<'_>, header: &[u8]| {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            Ok(rustix::net::send(socket, &[header, &page].concat(), flags)?)
        };
        self.connection.send_content(&message, write, |queue| queue.extend_from_slice(&page))
    }

    fn receive(&mut self) -> Result<(), ConnectionError> {
        loop {
            let whole = match self.connection.receive()? {
                Received::Message(message) => Some(message),
                Received::Nothing => return Ok(()),
                Received::Closed => panic!("nobody ends this connection"),
                Received::Content { offset, .. } => {
                    assert_eq!(offset, self.page.len());
                    self.page.extend_from_slice(self.connection.take_content());
                    if self.page.len() == offset {
                        let mut rest = vec![0; PAGE_BYTES - offset];
                        match rustix::io::read(self.connection.socket().unwrap(), &mut rest) {
                            Ok(count) => self.page.extend_from_slice(&rest[..count]),
                            Err(rustix::io::Errno::AGAIN) => return Ok(()),
                            Err(source) => {
                                let (operation, source) = ("recv", source.into());
                                return Err(ConnectionError::Socket { operation, source });
                            }
                        }
                    }
                    self.connection.content_arrived(self.page.len() - offset)
                }
            };
            if let Some(message) = whole {
                self.got.push((message, std::mem::take(&mut self.page)));
            }
            self.connection.acknowledge();
        }
    }
}

/// What lies between two ranks, until it has passed on as many bytes as it may.
struct Relay {
    ends: [TcpStream; 2],
    left: usize,
}

impl Relay {
    /// Two ends, connected through a relay that is going to cut after so many bytes.
    fn connect(left: usize) -> (TcpStream, TcpStream, Option<Self>) {
        let ((near, first), (second, far)) = (streams(), streams());
        for stream in [&first, &second] {
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
        }
        (near, far, Some(Self { ends: [first, second], left }))
    }

    /// Passes on what is there; `false` once it has cut the connection.
    fn pass_on(&mut self) -> bool {
        for (from, to) in [(0, 1), (1, 0)] {
            let mut bytes = [0; 300];
            let at_most = self.left.min(bytes.len());
            match self.ends[from].read(&mut bytes[..at_most]) {
                Ok(count) => {
                    self.ends[to].write_all(&bytes[..count]).unwrap();
                    self.left -= count;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        let lives = self.left > 0;
        if !lives {
            let reset = |end| sockopt::set_socket_linger(end, Some(Duration::ZERO)).unwrap();
            self.ends.iter().for_each(reset);
        }
        lives
    }
}

/// Both send what they have, over connections that are reset after `cuts` bytes each; gives how many were.
fn exchange(
    ciphers: Ciphers,
    scripts: [Vec<Message>; 2],
    mut cuts: impl FnMut() -> usize,
    mut burst: impl FnMut() -> u64,
) -> usize {
    let (near, far, mut relay) = Relay::connect(cuts());
    let (ours, theirs) = ciphers();
    let [first, second] = scripts.clone();
    let mut ends = [End::new(near, ours, first), End::new(far, theirs, second)];
    let mut resets = 0;
    let is_done = |ends: &[End; 2]| {
        ends[0].got.len() == scripts[1].len() && ends[1].got.len() == scripts[0].len()
    };
    while !is_done(&ends) {
        ends[0].step(burst());
        relay.take_if(|relay| !relay.pass_on());
        ends[1].step(burst());
        relay.take_if(|relay| !relay.pass_on());
        if relay.is_none() {
            ends.iter_mut().for_each(wait_until_lost);
            resets += 1;
            let (near, far, next) = Relay::connect(cuts());
            let (ours, theirs) = ciphers();
            let (delivered, returned) =
                (ends[1].connection.received(), ends[0].connection.received());
            ends[0].connection.resume(near, ours, delivered).unwrap();
            ends[1].connection.resume(far, theirs, returned).unwrap();
            relay = next;
        }
    }
    for (end, script) in ends.iter().zip([&scripts[1], &scripts[0]]) {
        let sent: Vec<_> = script.iter().map(|message| (*message, content(message))).collect();
        assert!(end.got == sent, "what arrives is what was sent");
    }
    resets
}

fn wait_until_lost(end: &mut End) {
    while let Some(socket) = end.connection.socket() {
        let deadline = Timespec { tv_sec: 20, tv_nsec: 0 };
        let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&deadline)), Ok(1), "no reset arrives within 20 s");
        end.connection.on_readable();
        end.step(0);
    }
}

fn script(random: &mut Random, messages: u64) -> Vec<Message> {
    (0..messages).map(|number| message(number, random.below(2))).collect()
}

/// One reset, after every number of bytes that the exchange has.
fn cut_everywhere(ciphers: Ciphers) {
    let mut random = Random(1);
    for cut in 1.. {
        let scripts = [script(&mut random, 6), script(&mut random, 5)];
        let mut cuts = [cut, usize::MAX].into_iter();
        let resets = exchange(ciphers, scripts, || cuts.next().unwrap(), || 2);
        if resets == 0 {
            assert!(cut > 11 * HEADER_BYTES, "the exchange has at least its headers");
            return;
        }
    }
}

#[test]
fn a_reset_after_any_byte_loses_nothing() {
    cut_everywhere(plain);
}

#[test]
fn a_reset_after_any_byte_of_records_loses_nothing() {
    cut_everywhere(encrypted);
}

/// Many resets at random moments, some before anything has come through. A record must fit between two.
fn cut_often(ciphers: Ciphers, longest: u64, seed: u64) {
    let mut random = Random(seed);
    let scripts = [script(&mut random, 4000), script(&mut random, 3000)];
    let (mut lengths, mut bursts) = (Random(seed + 1), Random(seed + 2));
    let cuts = || usize::try_from(1 + lengths.below(longest)).unwrap();
    let resets = exchange(ciphers, scripts, cuts, || bursts.below(20));
    assert!(resets >= 20, "{resets} resets with seed {seed}");
}

#[test]
fn many_resets_lose_nothing() {
    cut_often(plain, 2_000, 10);
}

#[test]
fn many_resets_of_records_lose_nothing() {
    cut_often(encrypted, 40_000, 20);
}

fn ends() -> (End, End) {
    let (near, far) = streams();
    (End::new(near, None, Vec::new()), End::new(far, None, Vec::new()))
}

fn wait_readable(end: &End) {
    let deadline = Timespec { tv_sec: 20, tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(end.connection.socket().unwrap(), PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&deadline)), Ok(1), "nothing arrives within 20 s");
}

/// A few messages one way cost nothing the other way.
#[test]
fn a_short_exchange_has_no_acknowledgement() {
    let (mut near, mut far) = ends();
    near.to_send = (0..100).map(|number| message(number, 1)).collect();
    near.step(100);
    while far.got.len() < 100 {
        wait_readable(&far);
        far.connection.on_readable();
        far.step(0);
    }
    far.connection.flush().unwrap();
    assert_eq!(near.connection.received(), 0);
    assert!(far.connection.is_flushed());
    near.step(0);
    assert_eq!(near.connection.received(), 0);
}

/// A peer that reads and acknowledges can be sent more than the limit in all.
#[test]
fn what_is_acknowledged_is_not_kept() {
    let (mut near, mut far) = ends();
    let frame = HEADER_BYTES + PAGE_BYTES;
    let messages = MAX_OUTBOUND / frame + 10_000;
    for number in 0..messages as u64 {
        near.to_send.push_back(message(number, 1));
        if number % 200 == 199 {
            near.step(200);
            wait_readable(&far);
            far.step(0);
            far.got.clear();
        }
    }
    assert!(near.to_send.len() < 200);
    assert!(near.connection.received() > 0, "acknowledgements came");
}

#[test]
fn more_comes_at_a_time_than_ever_before() {
    for ciphers in [plain, encrypted] {
        let ((near, far), (ours, theirs)) = (streams(), ciphers());
        let messages: Vec<Message> = (0..5000).map(|number| message(number, 1)).collect();
        let mut near = End::new(near, ours, messages.clone());
        let mut far = End::new(far, theirs, Vec::new());
        near.step(5000);
        while far.got.len() < messages.len() {
            wait_readable(&far);
            far.step(0);
            near.step(0);
        }
        let expected = messages.iter().map(|message| (*message, content(message)));
        assert!(far.got.iter().cloned().eq(expected));
    }
}

/// Bytes that the far end says instead of a frame of its own.
fn told(frame: [u8; HEADER_BYTES]) -> ConnectionError {
    let (near, mut far) = streams();
    let mut near = End::new(near, None, vec![message(0, 0), message(1, 0)]);
    near.step(2);
    far.write_all(&frame).unwrap();
    wait_readable(&near);
    near.receive().unwrap_err()
}

fn acknowledgement(offset: u64) -> [u8; HEADER_BYTES] {
    control(64, offset)
}

fn control(kind: u8, number: u64) -> [u8; HEADER_BYTES] {
    let mut frame = [0; HEADER_BYTES];
    frame[0] = kind;
    frame[8..16].copy_from_slice(&number.to_le_bytes());
    frame
}

#[test]
fn a_peer_cannot_acknowledge_what_it_was_not_sent() {
    let error = told(acknowledgement(81));
    assert_eq!(error.to_string(), "it acknowledged 81 bytes, expected 0 to 80");
    assert!(!error.is_reset());
    let error = told(acknowledgement(u64::MAX));
    assert!(matches!(error, ConnectionError::Acknowledged { .. }), "{error}");
}

#[test]
fn a_peer_cannot_take_back_what_it_acknowledged() {
    let (near, mut far) = streams();
    let mut near = End::new(near, None, vec![message(0, 0), message(1, 0)]);
    near.step(2);
    far.write_all(&[acknowledgement(80), acknowledgement(79)].concat()).unwrap();
    wait_readable(&near);
    let error = near.receive().unwrap_err();
    assert_eq!(error.to_string(), "it acknowledged 79 bytes, expected 80 to 80");
}

#[test]
fn an_acknowledgement_says_nothing_else() {
    let mut frame = acknowledgement(80);
    frame[39] = 1;
    assert!(matches!(told(frame), ConnectionError::Padded));
}

/// A peer that is met again and says that it has more, or less, than it can have.
#[test]
fn a_peer_that_lies_when_it_is_met_again_is_refused() {
    for (delivered, is_true) in [(0, false), (40, true), (80, true), (81, false)] {
        let (near, mut far) = streams();
        let mut near = End::new(near, None, vec![message(0, 0), message(1, 0)]);
        near.step(2);
        far.write_all(&acknowledgement(40)).unwrap();
        wait_readable(&near);
        near.step(0);
        near.connection.lose();
        let resumed = near.connection.resume(streams().0, None, delivered);
        assert_eq!(resumed.is_ok(), is_true, "{delivered}: {resumed:?}");
    }
}

#[test]
fn a_lost_connection_has_a_limit() {
    let (mut near, _far) = ends();
    near.connection.lose();
    let frames = MAX_OUTBOUND / (HEADER_BYTES + PAGE_BYTES) + 1;
    let error = (0..=frames as u64).find_map(|number| {
        near.to_send.push_back(message(number, 1));
        near.send_one().err()
    });
    assert!(matches!(error, Some(ConnectionError::QueueFull { .. })), "{error:?}");
}

/// Somebody between two ranks changes a byte.
#[test]
fn a_changed_record_is_no_reset() {
    let ((near, mut first), (mut second, far)) = (streams(), streams());
    let (ours, theirs) = encrypted();
    let mut near = End::new(near, ours, vec![message(0, 1)]);
    let mut far = End::new(far, theirs, Vec::new());
    near.step(1);
    let mut record = vec![0; 2 + HEADER_BYTES + PAGE_BYTES + 16];
    first.read_exact(&mut record).unwrap();
    record[50] ^= 1;
    second.write_all(&record).unwrap();
    wait_readable(&far);
    let error = far.receive().unwrap_err();
    assert!(matches!(error, ConnectionError::Record(_)), "{error}");
    assert!(!error.is_reset());
}
