//! Ranks meet over real sockets on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dsm_core::wire::{HELLO_BYTES, Hello, VERSION};
use dsm_core::{Placement, Rank};
use dsm_net::rendezvous::{Refusals, Rendezvous, RendezvousError};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

struct Job {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    supervisor: UnixStream,
    /// Keeps the supervisor's socket open.
    _launcher: UnixStream,
}

impl Job {
    fn new(nodes: u16) -> Self {
        let listen = |_| TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners: Vec<_> = (0..nodes).map(listen).collect();
        let addresses = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        let (supervisor, launcher) = UnixStream::pair().unwrap();
        Self { listeners, addresses, supervisor, _launcher: launcher }
    }

    fn hello(&self, rank: u16) -> Hello {
        Hello {
            version: VERSION,
            from: Rank(rank),
            to: Rank(rank),
            nodes: u16::try_from(self.listeners.len()).unwrap(),
            page_bytes: 4096,
            base: 1 << 45,
            size: 1 << 30,
            heap: 1 << 36,
            placement: Placement::Cyclic,
            key: [3; 32],
        }
    }

    fn meet(&self, hello: Hello, patience: Duration) -> Result<Vec<Rank>, RendezvousError> {
        let rendezvous = Rendezvous {
            hello,
            addresses: &self.addresses,
            listener: &self.listeners[usize::from(hello.from.0)],
            refusals: Refusals::Final,
            ended: Some(self.supervisor.as_fd()),
            remind_after: patience / 2,
            give_up_after: patience,
        };
        rendezvous.meet(|_| ()).map(|met| met.into_keys().collect())
    }
}

#[test]
fn every_rank_meets_every_other() {
    for nodes in [2, 3, 8] {
        let job = Job::new(nodes);
        thread::scope(|scope| {
            let job = &job;
            let meet = |rank| scope.spawn(move || job.meet(job.hello(rank), DEADLINE).unwrap());
            let ranks: Vec<_> = (0..nodes).rev().map(|rank| (rank, meet(rank))).collect();
            for (rank, met) in ranks {
                let others: Vec<_> = (0..nodes).filter(|r| *r != rank).map(Rank).collect();
                assert_eq!(met.join().unwrap(), others, "met by rank {rank} of {nodes}");
            }
        });
    }
}

#[test]
fn strangers_get_no_byte_and_keep_nobody_out() {
    let job = Job::new(2);
    let mut strangers = Vec::new();
    for first_bytes in [vec![], b"GET / HTTP/1.0\r\n\r\n".to_vec(), vec![0; HELLO_BYTES], {
        let mut wrong_key = job.hello(1);
        wrong_key.key[0] ^= 1;
        wrong_key.encode().to_vec()
    }] {
        let mut stranger = TcpStream::connect(job.addresses[0]).unwrap();
        stranger.write_all(&first_bytes).unwrap();
        strangers.push(stranger);
    }
    thread::scope(|scope| {
        let lower = scope.spawn(|| job.meet(job.hello(0), DEADLINE).unwrap());
        let higher = scope.spawn(|| job.meet(job.hello(1), DEADLINE).unwrap());
        assert_eq!(lower.join().unwrap(), [Rank(1)]);
        assert_eq!(higher.join().unwrap(), [Rank(0)]);
    });
    for mut stranger in strangers {
        stranger.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut answer = Vec::new();
        // A reset counts as silence: it carries no byte.
        let _ = stranger.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
}

#[test]
fn ranks_set_up_differently_both_say_how() {
    let job = Job::new(2);
    thread::scope(|scope| {
        let lower = scope.spawn(|| job.meet(job.hello(0), DEADLINE).unwrap_err().to_string());
        let other = Hello { size: 4096, ..job.hello(1) };
        let job = &job;
        let higher = scope.spawn(move || job.meet(other, DEADLINE).unwrap_err().to_string());
        let (lower, higher) = (lower.join().unwrap(), higher.join().unwrap());
        for (error, peer) in [(lower, 1), (higher, 0)] {
            assert!(error.starts_with(&format!("cannot join rank {peer}: its size")), "{error}");
            assert!(error.contains("1073741824") && error.contains("4096"), "{error}");
        }
    });
}

#[test]
fn a_rank_that_does_not_come_is_named() {
    let job = Job::new(3);
    let error = job.meet(job.hello(0), Duration::from_millis(200)).unwrap_err();
    assert!(matches!(error, RendezvousError::Missing { missing: Rank(1), .. }), "{error}");
}

#[test]
fn the_wait_ends_with_the_launcher() {
    let Job { listeners, addresses, supervisor, _launcher } = Job::new(2);
    drop(_launcher);
    let (_, unused) = UnixStream::pair().unwrap();
    let job = Job { listeners, addresses, supervisor, _launcher: unused };
    let error = job.meet(job.hello(0), DEADLINE).unwrap_err();
    assert!(matches!(error, RendezvousError::Ended), "{error}");
}

#[test]
fn a_keyed_job_takes_a_keyless_rank_for_a_stranger() {
    let job = Job::new(2);
    thread::scope(|scope| {
        let keyed = scope.spawn(|| job.meet(job.hello(0), Duration::from_secs(1)).unwrap_err());
        let keyless = Hello { key: [0; 32], ..job.hello(1) };
        let error = job.meet(keyless, DEADLINE).unwrap_err();
        assert!(matches!(error, RendezvousError::Lost { rank: Rank(0), .. }), "{error}");
        let error = keyed.join().unwrap();
        assert!(matches!(error, RendezvousError::Missing { missing: Rank(1), .. }), "{error}");
    });
}

#[test]
fn a_keyless_rank_gets_no_byte_of_a_keyed_job() {
    let job = Job::new(2);
    let mut stranger = TcpStream::connect(job.addresses[0]).unwrap();
    let keyless = Hello { to: Rank(0), key: [0; 32], ..job.hello(1) };
    stranger.write_all(&keyless.encode()).unwrap();
    assert!(job.meet(job.hello(0), Duration::from_millis(500)).is_err());
    stranger.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = Vec::new();
    // A reset counts as silence: it carries no byte.
    let _ = stranger.read_to_end(&mut answer);
    assert_eq!(answer, b"");
}

#[test]
fn a_rank_that_listens_late_is_met_where_that_may_be() {
    let bound = |_| {
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let socket = socket.unwrap();
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        TcpListener::from(socket)
    };
    let meet = |listeners: &[TcpListener], rank, refusals| {
        let addresses: Vec<_> = listeners.iter().map(|it| it.local_addr().unwrap()).collect();
        let hello = Hello { from: Rank(rank), key: [0; 32], ..Job::new(2).hello(0) };
        let listener = &listeners[usize::from(rank)];
        let ended = None;
        let (remind_after, give_up_after) = (DEADLINE, Duration::from_secs(2));
        let addresses = &addresses[..];
        let rendezvous =
            Rendezvous { hello, addresses, listener, refusals, ended, remind_after, give_up_after };
        rendezvous.meet(|_| ())
    };
    let listeners: Vec<_> = (0..2).map(bound).collect();
    listen(&listeners[1], 16).unwrap();
    let error = meet(&listeners, 1, Refusals::Final).unwrap_err();
    assert!(matches!(error, RendezvousError::Connect { rank: Rank(0), .. }), "{error}");
    let error = meet(&listeners, 1, Refusals::Early).unwrap_err();
    assert!(matches!(error, RendezvousError::Missing { missing: Rank(0), .. }), "{error}");
    thread::scope(|scope| {
        let higher = scope.spawn(|| meet(&listeners, 1, Refusals::Early).unwrap());
        // Rank 1 may have been refused or not: both are right.
        thread::yield_now();
        listen(&listeners[0], 16).unwrap();
        assert!(meet(&listeners, 0, Refusals::Early).unwrap().contains_key(&Rank(1)));
        assert!(higher.join().unwrap().contains_key(&Rank(0)));
    });
}
