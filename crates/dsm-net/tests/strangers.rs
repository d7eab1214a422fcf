//! Strangers at a rank that waits for the others, over real sockets on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dsm_core::wire::{HELLO_BYTES, Hello, VERSION};
use dsm_core::{Placement, Rank};
use dsm_net::rendezvous::{Notice, Refusals, Rendezvous, RendezvousError};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(30);

struct Job {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

/// What became of a rank: whom it met, and how many connections it told it had turned away.
#[derive(Debug)]
struct Outcome {
    met: Result<Vec<Rank>, RendezvousError>,
    turned_away: u64,
}

impl Job {
    fn new(nodes: u16) -> Self {
        let listeners: Vec<_> =
            (0..nodes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = listeners.iter().map(|it| it.local_addr().unwrap()).collect();
        Self { listeners, addresses }
    }

    fn hello(&self, from: u16, to: u16) -> Hello {
        Hello {
            version: VERSION,
            from: Rank(from),
            to: Rank(to),
            nodes: u16::try_from(self.listeners.len()).unwrap(),
            page_bytes: 4096,
            base: 1 << 45,
            size: 1 << 30,
            heap: 1 << 36,
            placement: Placement::Cyclic,
            key: [3; 32],
        }
    }

    fn meet(&self, rank: u16) -> Outcome {
        self.meet_telling(rank, DEADLINE, || ())
    }

    fn meet_telling(&self, rank: u16, remind_after: Duration, reminded: impl Fn()) -> Outcome {
        let rendezvous = Rendezvous {
            hello: self.hello(rank, rank),
            addresses: &self.addresses,
            listener: &self.listeners[usize::from(rank)],
            refusals: Refusals::Final,
            ended: None,
            remind_after,
            give_up_after: DEADLINE,
        };
        let mut turned_away = 0;
        let met = rendezvous.meet(|notice| match notice {
            Notice::Missing(_) => reminded(),
            Notice::TurnedAway { count, last } => {
                assert_eq!(last, IpAddr::from(Ipv4Addr::LOCALHOST));
                turned_away += count;
            }
            Notice::Silent { .. } => (),
        });
        Outcome { met: met.map(|met| met.into_keys().collect()), turned_away }
    }

    fn call(&self, rank: usize, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.addresses[rank]).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }
}

/// All that the stream brings until it is closed.
fn answer(mut stream: &TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = Vec::new();
    // A reset counts as silence: it carries no byte. A timeout does not: it was to be closed.
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    bytes
}

#[test]
fn ten_thousand_half_handshakes_keep_nobody_out() {
    let job = Job::new(2);
    thread::scope(|scope| {
        let lower = scope.spawn(|| job.meet(0));
        let mut held = VecDeque::new();
        let half = &job.hello(1, 0).encode()[..HELLO_BYTES / 2];
        for _ in 0..10_000 {
            held.push_back(job.call(0, half));
            if held.len() > 200 {
                assert_eq!(answer(&held.pop_front().unwrap()), b"");
            }
        }
        assert_eq!(job.meet(1).met.unwrap(), [Rank(0)]);
        let lower = lower.join().unwrap();
        assert_eq!(lower.met.unwrap(), [Rank(1)]);
        // The last may have been in the kernel's queue when the socket was closed.
        assert!((9_700..=10_001).contains(&lower.turned_away), "{}", lower.turned_away);
        for stranger in held {
            assert_eq!(answer(&stranger), b"");
        }
    });
}

#[test]
fn a_hello_said_again_or_elsewhere_is_not_answered() {
    let job = Job::new(3);
    thread::scope(|scope| {
        let lower = scope.spawn(|| job.meet(0));
        let higher = scope.spawn(|| job.meet(1));
        // Rank 1 has met rank 0 when it asks no more: rank 2 is still missing.
        let again = |hello: Hello| answer(&job.call(0, &hello.encode()));
        let own_rank = again(job.hello(0, 0));
        // Whatever else is wrong with it.
        let no_rank = again(Hello { size: 0, ..job.hello(3, 0) });
        let for_another = again(job.hello(2, 1));
        assert_eq!([own_rank, no_rank, for_another], [b"", b"", b""]);
        assert_eq!(job.meet(2).met.unwrap(), [Rank(0), Rank(1)]);
        let (lower, higher) = (lower.join().unwrap(), higher.join().unwrap());
        assert_eq!((lower.met.unwrap(), lower.turned_away), (vec![Rank(1), Rank(2)], 3));
        assert_eq!((higher.met.unwrap(), higher.turned_away), (vec![Rank(0), Rank(2)], 0));
    });
}

#[test]
fn the_same_rank_twice_is_answered_once() {
    let job = Job::new(3);
    thread::scope(|scope| {
        let lower = scope.spawn(|| job.meet(0));
        let mut first = job.call(0, &job.hello(1, 0).encode());
        let mut bytes = [0; HELLO_BYTES];
        first.set_read_timeout(Some(DEADLINE)).unwrap();
        first.read_exact(&mut bytes).unwrap();
        assert_eq!(answer(&job.call(0, &job.hello(1, 0).encode())), b"");
        let mut last = job.call(0, &job.hello(2, 0).encode());
        last.set_read_timeout(Some(DEADLINE)).unwrap();
        last.read_exact(&mut bytes).unwrap();
        let lower = lower.join().unwrap();
        assert_eq!((lower.met.unwrap(), lower.turned_away), (vec![Rank(1), Rank(2)], 1));
    });
}

#[test]
fn one_byte_now_and_then_is_cut_off_after_three_seconds() {
    let job = Job::new(2);
    thread::scope(|scope| {
        let lower = scope.spawn(|| job.meet(0));
        let slow = job.call(0, b"");
        let began = Instant::now();
        slow.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        for byte in job.hello(1, 0).encode() {
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
        job.meet(1).met.unwrap();
        assert_eq!(lower.join().unwrap().turned_away, 1);
    });
}

#[test]
fn nobody_listens_when_all_have_met() {
    let job = Job::new(2);
    // As the one of dsmwrap, which stays open.
    let copy = job.listeners[0].try_clone().unwrap();
    thread::scope(|scope| {
        let lower = scope.spawn(|| job.meet(0));
        job.meet(1).met.unwrap();
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
        let tell = move || reminded.send(()).unwrap();
        let higher = scope.spawn(move || job.meet_telling(1, Duration::from_millis(2_500), tell));
        wait.recv_timeout(DEADLINE).unwrap();
        let lower = job.meet(0);
        assert_eq!(lower.met.unwrap(), [Rank(1)]);
        assert_eq!(higher.join().unwrap().met.unwrap(), [Rank(0)]);
    });
}
