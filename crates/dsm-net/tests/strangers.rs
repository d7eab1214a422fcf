//! Strangers at a rank that waits for the others, over real sockets on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ranks;

use dsm_core::Rank;
use dsm_core::wire::{Hello, Preamble, Secrecy};
use dsm_net::handshake::{Calling, FIRST_BYTES, SECOND_BYTES};
use dsm_net::rendezvous::{Notice, Party, Rendezvous, RendezvousError, Waiting};
use ranks::{Job, answer, patient};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// What became of a rank: whom it met, and how many connections it told it had turned away.
#[derive(Debug)]
struct Outcome {
    met: Result<Vec<Rank>, RendezvousError>,
    turned_away: u64,
}

fn meet(party: Party) -> Outcome {
    meet_telling(party, &patient(), || ())
}

fn meet_telling(party: Party, waiting: &Waiting<'_>, reminded: impl Fn()) -> Outcome {
    let mut turned_away = 0;
    let met = Rendezvous::new(party).meet(waiting, |notice| match notice {
        Notice::Missing(_) => reminded(),
        Notice::TurnedAway { count, last } => {
            assert_eq!(last, IpAddr::from(Ipv4Addr::LOCALHOST));
            turned_away += count;
        }
        Notice::Silent { .. } | Notice::Called { .. } | Notice::Unmet { .. } => (),
    });
    Outcome { met: met.map(|met| met.into_keys().collect()), turned_away }
}

/// What this process has: kilobytes in memory, and descriptors.
fn holdings() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    (kib, std::fs::read_dir("/proc/self/fd").unwrap().count())
}

#[test]
fn ten_thousand_half_handshakes_keep_nobody_out_and_cost_nothing() {
    let job = Job::new(2);
    let before = holdings();
    thread::scope(|scope| {
        let lower = scope.spawn(|| meet(job.party(0)));
        let mut held = VecDeque::new();
        let (_, first) = job.first(1, 0, 1);
        let (mut most_kib, mut most_fds) = (0, 0);
        for count in 0..10_000 {
            held.push_back(job.call(0, &first[..FIRST_BYTES / 2]));
            if held.len() > 200 {
                assert_eq!(answer(&held.pop_front().unwrap()), b"");
            }
            if count % 100 == 0 {
                let (kib, fds) = holdings();
                (most_kib, most_fds) = (most_kib.max(kib), most_fds.max(fds));
            }
        }
        assert_eq!(meet(job.party(1)).met.unwrap(), [Rank(0)]);
        let lower = lower.join().unwrap();
        assert_eq!(lower.met.unwrap(), [Rank(1)]);
        // The last may have been in the kernel's queue when the socket was closed.
        assert!((9_700..=10_001).contains(&lower.turned_away), "{}", lower.turned_away);
        for stranger in held {
            assert_eq!(answer(&stranger), b"");
        }
        let (kib, fds) = (most_kib.saturating_sub(before.0), most_fds - before.1);
        // Of them, 201 are this test's own ends.
        assert!(fds <= 201 + 64 + 8, "{fds} descriptors more");
        assert!(kib < 4 << 10, "{kib} KiB more");
    });
}

#[test]
fn a_first_message_said_again_or_elsewhere_is_not_answered() {
    let job = Job::new(3);
    thread::scope(|scope| {
        let lower = scope.spawn(|| meet(job.party(0)));
        let higher = scope.spawn(|| meet(job.party(1)));
        let once = |from, to, nodes, attempt| {
            let preamble = Preamble::new(Rank(from), Rank(to), nodes, attempt);
            // With a key that rank 0 shares with somebody, whoever is meant.
            let keys = job.keys(1, Some(&ranks::key()));
            answer(&job.call(0, &Calling::begin(keys.with(Rank(0)), &preamble).unwrap().1))
        };
        assert_eq!(once(0, 0, 3, 1), b"", "itself");
        assert_eq!(once(3, 0, 3, 1), b"", "no rank of this job");
        assert_eq!(once(3, 0, 4, 1), b"", "no rank of this job, in a larger one");
        assert_eq!(once(2, 0, 3, 1), b"", "another rank, with rank 1's key");
        assert_eq!(once(1, 2, 3, 1), b"", "to another rank");
        assert_eq!(once(1, 0, 3, 0), b"", "no attempt");
        assert_eq!(meet(job.party(2)).met.unwrap(), [Rank(0), Rank(1)]);
        let (lower, higher) = (lower.join().unwrap(), higher.join().unwrap());
        assert_eq!((lower.met.unwrap(), lower.turned_away), (vec![Rank(1), Rank(2)], 6));
        assert_eq!((higher.met.unwrap(), higher.turned_away), (vec![Rank(0), Rank(2)], 0));
    });
}

/// Speaks as a rank up to the answer.
fn answered(job: &Job, from: u16, first: &[u8; FIRST_BYTES]) -> (TcpStream, [u8; SECOND_BYTES]) {
    assert!(from > 0);
    let mut stream = job.call(0, first);
    stream.set_read_timeout(Some(ranks::DEADLINE)).unwrap();
    let mut second = [0; SECOND_BYTES];
    stream.read_exact(&mut second).unwrap();
    (stream, second)
}

/// The rest of the handshake.
fn third(job: &Job, from: u16, calling: Calling, second: &[u8; SECOND_BYTES]) -> Vec<u8> {
    let (_, mut cipher) = calling.finish(second).unwrap();
    let hello = Hello { to: Rank(0), secrecy: Secrecy::Encrypted, ..job.hello(from) };
    let mut third = Vec::new();
    cipher.seal(&[&hello.encode()], &mut third);
    third
}

#[test]
fn a_replay_gets_no_byte_and_displaces_nobody() {
    let job = Job::new(3);
    thread::scope(|scope| {
        let lower = scope.spawn(|| {
            let met = Rendezvous::new(job.party(0)).meet(&patient(), |_| ()).unwrap();
            let of_1 = &met[&Rank(1)].stream;
            // Behind the handshake of the rank, on its own connection.
            let mut bytes = [0; 4];
            of_1.set_nonblocking(false).unwrap();
            (&*of_1).read_exact(&mut bytes).unwrap();
            bytes
        });
        let (calling, first) = job.first(1, 0, 7);
        let (mut rank_1, second) = answered(&job, 1, &first);
        // Heard on the way, and said again: before the rank has finished, and after.
        assert_eq!(answer(&job.call(0, &first)), b"");
        let third_of_1 = third(&job, 1, calling, &second);
        rank_1.write_all(&[&third_of_1[..], b"mine"].concat()).unwrap();
        assert_eq!(answer(&job.call(0, &first)), b"");
        assert_eq!(answer(&job.call(0, &[&first[..], &third_of_1].concat())), b"");
        // One that was never delivered is answered, and no further.
        let (_, unheard) = job.first(1, 0, 8);
        let (mut thief, _) = answered(&job, 1, &unheard);
        thief.write_all(&third_of_1).unwrap();
        assert_eq!(answer(&thief), b"");
        let (calling, first) = job.first(2, 0, 1);
        let (mut rank_2, second) = answered(&job, 2, &first);
        rank_2.write_all(&third(&job, 2, calling, &second)).unwrap();
        assert_eq!(&lower.join().unwrap(), b"mine");
    });
}

#[test]
fn a_bit_flipped_in_any_message_keeps_the_connection_from_being_made() {
    let job = Job::new(2);
    thread::scope(|scope| {
        let lower = scope.spawn(|| meet(job.party(0)));
        let mut attempt = 0;
        let mut call = || {
            attempt += 1;
            job.first(1, 0, attempt)
        };
        for offset in 0..FIRST_BYTES {
            let (_, mut first) = call();
            first[offset] ^= 1 << (offset % 8);
            assert_eq!(answer(&job.call(0, &first)), b"", "offset {offset} of the first message");
        }
        for offset in 0..dsm_net::handshake::THIRD_BYTES {
            let (calling, first) = call();
            let (mut stream, second) = answered(&job, 1, &first);
            let mut third = third(&job, 1, calling, &second);
            third[offset] ^= 1 << (offset % 8);
            stream.write_all(&third).unwrap();
            assert_eq!(answer(&stream), b"", "offset {offset} of the third message");
        }
        let (calling, first) = call();
        let (mut stream, second) = answered(&job, 1, &first);
        stream.write_all(&third(&job, 1, calling, &second)).unwrap();
        assert_eq!(lower.join().unwrap().met.unwrap(), [Rank(1)]);
    });
}

#[test]
fn an_answer_that_was_changed_ends_the_job_and_names_the_rank() {
    let job = Job::new(2);
    thread::scope(|scope| {
        let higher = scope.spawn(|| meet(job.party(1)));
        let (mut stream, _) = job.listeners[0].accept().unwrap();
        let mut first = [0; FIRST_BYTES];
        stream.read_exact(&mut first).unwrap();
        stream.write_all(&[7; SECOND_BYTES]).unwrap();
        let error = higher.join().unwrap().met.unwrap_err();
        assert!(matches!(error, RendezvousError::Unauthentic { rank: Rank(0), .. }), "{error}");
        assert!(error.to_string().starts_with("cannot trust rank 0 at 127.0.0.1:"), "{error}");
    });
}

#[test]
fn one_byte_now_and_then_is_cut_off_after_three_seconds() {
    let job = Job::new(2);
    thread::scope(|scope| {
        let lower = scope.spawn(|| meet(job.party(0)));
        let slow = job.call(0, b"");
        let began = Instant::now();
        slow.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        for byte in job.first(1, 0, 1).1 {
            // The wait between two bytes is one for an answer that must not come.
            match (&slow).write_all(&[byte]).and_then(|()| (&slow).read(&mut [0])) {
                Ok(count) => {
                    assert_eq!(count, 0, "it was answered");
                    break;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                Err(_) => break,
            }
        }
        let held = began.elapsed();
        assert!(held > Duration::from_millis(2_500) && held < Duration::from_secs(8), "{held:?}");
        meet(job.party(1)).met.unwrap();
        assert_eq!(lower.join().unwrap().turned_away, 1);
    });
}

#[test]
fn nobody_listens_when_all_have_met() {
    let job = Job::new(2);
    // As the one of dsmwrap, which stays open.
    let copy = job.listeners[0].try_clone().unwrap();
    thread::scope(|scope| {
        let lower = scope.spawn(|| meet(job.party(0)));
        meet(job.party(1)).met.unwrap();
        lower.join().unwrap().met.unwrap();
    });
    for address in &job.addresses {
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
    drop(copy);
}

#[test]
fn a_queue_full_of_strangers_delays_a_rank_and_no_more() {
    let job = Job::new(2);
    rustix::net::listen(&job.listeners[0], 4).unwrap();
    let patience = Duration::from_millis(500);
    let full = || TcpStream::connect_timeout(&job.addresses[0], patience);
    let strangers: Vec<_> = std::iter::from_fn(|| full().ok()).take(1_000).collect();
    assert!(strangers.len() < 1_000, "the queue does not fill");
    thread::scope(|scope| {
        let (reminded, wait) = channel();
        let job = &job;
        // Longer than an attempt to connect takes.
        let waiting = Waiting { remind_after: Duration::from_millis(2_500), ..patient() };
        let tell = move || reminded.send(()).unwrap();
        let higher = scope.spawn(move || meet_telling(job.party(1), &waiting, tell));
        wait.recv_timeout(ranks::DEADLINE).unwrap();
        let lower = meet(job.party(0));
        assert_eq!(lower.met.unwrap(), [Rank(1)]);
        assert_eq!(higher.join().unwrap().met.unwrap(), [Rank(0)]);
    });
}
