//! Two connected ranks over a real socket pair on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dsm_core::wire::{HEADER_BYTES, Limits};
use dsm_core::{Epoch, Message, PageId, Payload, Placement, Right, Space};
use dsm_net::connection::{Connection, ConnectionError, MAX_OUTBOUND, Received};
use rustix::net::SendFlags;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::BorrowedFd;

const PAGE_BYTES: usize = 4096;
const SPACE: Space =
    Space { nodes: 2, pages: 8, area_pages: 8, page_words: 512, placement: Placement::Cyclic };
const LIMITS: Limits = Limits { space: SPACE, page_bytes: 4096 };

fn pair() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    (Connection::new(near, None, LIMITS).unwrap(), far)
}

fn grant(epoch: u64) -> Message {
    let payload = Payload::Attached;
    Message::Grant { page: PageId(3), right: Right::Shared, epoch: Epoch(epoch), payload }
}

fn send_page(near: &mut Connection, epoch: u64) -> Result<(), ConnectionError> {
    let page = [u8::try_from(epoch % 251).unwrap(); PAGE_BYTES];
    let write = |stream: BorrowedFd<'_>, header: &[u8]| -> io::Result<usize> {
        let frame = [header, &page].concat();
        Ok(rustix::net::send(stream, &frame, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    };
    near.send_content(&grant(epoch), write, |queue| queue.extend_from_slice(&page))
}

/// Reads the next message, waiting for the socket.
fn next(far: &mut Connection) -> Received {
    loop {
        match far.receive().unwrap() {
            Received::Nothing => wait_readable(far),
            Received::Content { offset, .. } => {
                let here = far.take_content().len();
                if here > 0 {
                    if let Some(message) = far.content_arrived(here) {
                        return Received::Message(message);
                    }
                    continue;
                }
                let mut bytes = vec![0; PAGE_BYTES - offset];
                match rustix::io::read(far.socket().unwrap(), &mut bytes) {
                    Ok(count) => {
                        if let Some(message) = far.content_arrived(count) {
                            return Received::Message(message);
                        }
                    }
                    Err(rustix::io::Errno::AGAIN) => wait_readable(far),
                    Err(error) => panic!("{error}"),
                }
            }
            other => return other,
        }
    }
}

fn wait_readable(connection: &Connection) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let deadline = Timespec { tv_sec: 20, tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(connection.socket().unwrap(), PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&deadline)), Ok(1), "nothing arrives within 20 s");
}

#[test]
fn order_survives_a_full_socket() {
    let (mut near, far) = pair();
    let mut far = Connection::new(far, None, LIMITS).unwrap();
    let mut sent = 0;
    while !near.is_blocked() || sent % 100 != 0 {
        sent += 1;
        send_page(&mut near, sent).unwrap();
        near.queue(&Message::Ack { page: PageId(1), epoch: Epoch(sent) }).unwrap();
        near.flush().unwrap();
    }
    for epoch in 1..=sent {
        near.flush().unwrap();
        assert_eq!(next(&mut far), Received::Message(grant(epoch)));
        near.flush().unwrap();
        let ack = Message::Ack { page: PageId(1), epoch: Epoch(epoch) };
        assert_eq!(next(&mut far), Received::Message(ack));
    }
    drop(near);
    assert_eq!(next(&mut far), Received::Closed);
}

#[test]
fn a_peer_that_does_not_read_has_a_limit() {
    let (mut near, _far) = pair();
    let frames = MAX_OUTBOUND / PAGE_BYTES + 10_000;
    let error = (1..).take(frames).find_map(|epoch| send_page(&mut near, epoch).err());
    assert!(matches!(error, Some(ConnectionError::QueueFull { .. })), "{error:?}");
}

#[test]
fn garbage_is_an_error_not_a_panic() {
    let (mut near, mut far) = pair();
    far.write_all(&[0xff; 64]).unwrap();
    wait_readable(&near);
    let error = near.receive().unwrap_err();
    assert_eq!(
        error.to_string(),
        "it sent a malformed frame: field kind of a frame is 255, expected a known code"
    );
}

/// Something arrives, and its event is told, while messages that were read before wait to be looked at: it
/// was once left in the socket for good.
#[test]
fn what_comes_while_earlier_messages_wait_is_read() {
    let (mut near, far) = pair();
    let mut far = Connection::new(far, None, LIMITS).unwrap();
    let ack = |epoch| Message::Ack { page: PageId(1), epoch: Epoch(epoch) };
    for epoch in 1..=2 {
        near.queue(&ack(epoch)).unwrap();
    }
    near.flush().unwrap();
    wait_readable(&far);
    assert_eq!(far.receive().unwrap(), Received::Message(ack(1)));
    near.queue(&ack(3)).unwrap();
    near.flush().unwrap();
    wait_readable(&far);
    far.on_readable();
    assert_eq!(far.receive().unwrap(), Received::Message(ack(2)));
    assert_eq!(far.receive().unwrap(), Received::Message(ack(3)));
}

/// A peer that sends and goes: everything it said is heard before that it is gone, although each event is
/// told once only.
#[test]
fn what_a_peer_said_last_is_heard() {
    let (mut near, far) = pair();
    let mut far = Connection::new(far, None, LIMITS).unwrap();
    let ack = Message::Ack { page: PageId(1), epoch: Epoch(1) };
    near.queue(&ack).unwrap();
    near.flush().unwrap();
    drop(near);
    wait_readable(&far);
    assert_eq!(far.receive().unwrap(), Received::Message(ack));
    far.hang_up();
    assert_eq!(next(&mut far), Received::Closed);
}

/// Between a ping and its pong lies everything that was said before.
#[test]
fn a_ping_is_answered_behind_what_was_said_before() {
    let (mut near, far) = pair();
    let mut far = Connection::new(far, None, LIMITS).unwrap();
    let ack = Message::Ack { page: PageId(1), epoch: Epoch(1) };
    near.queue(&ack).unwrap();
    near.ping();
    near.ping();
    near.flush().unwrap();
    assert!(!near.is_answered() && near.said() == 1);
    assert_eq!(next(&mut far), Received::Message(ack));
    assert_eq!(far.receive().unwrap(), Received::Nothing);
    assert!(far.is_asked());
    assert!(far.answer().unwrap());
    assert!(!far.is_asked() && !far.answer().unwrap(), "one answer does for both");
    assert_eq!(far.said(), 0, "an answer is no message");
    far.flush().unwrap();
    wait_readable(&near);
    assert_eq!(near.receive().unwrap(), Received::Nothing);
    assert!(near.is_answered());
}

#[test]
fn a_peer_cannot_answer_what_it_was_not_asked_nor_skip_a_ping() {
    check_control(&[(66, 1)], "it answered ping 1, expected 1 to 0");
    check_control(&[(65, 2)], "it sent ping 2, expected 1 to 1");
    check_control(&[(65, 1), (65, 1)], "it sent ping 1, expected 2 to 2");
}

#[track_caller]
fn check_control(frames: &[(u8, u64)], expected: &str) {
    let (mut near, mut far) = pair();
    for (kind, number) in frames {
        let mut frame = [0; HEADER_BYTES];
        frame[0] = *kind;
        frame[8..16].copy_from_slice(&number.to_le_bytes());
        far.write_all(&frame).unwrap();
    }
    let error = loop {
        match near.receive() {
            Ok(_) => wait_readable(&near),
            Err(error) => break error,
        }
    };
    assert_eq!(error.to_string(), expected);
}
