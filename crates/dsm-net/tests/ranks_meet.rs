//! Ranks meet over real sockets on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ranks;

use dsm_core::Rank;
use dsm_core::wire::{Hello, Preamble};
use dsm_net::Encryption;
use dsm_net::handshake::Calling;
use dsm_net::launch::JobKey;
use dsm_net::rendezvous::{Met, Party, Refusals, Rendezvous, RendezvousError, Waiting};
use ranks::{DEADLINE, Job, answer, patient, waiting};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

fn meet(party: Party, waiting: &Waiting<'_>) -> Result<BTreeMap<Rank, Met>, RendezvousError> {
    Rendezvous::new(party).meet(waiting, |_| ())
}

#[test]
fn every_rank_meets_every_other() {
    for nodes in [2, 3, 8] {
        let job = Job::new(nodes);
        thread::scope(|scope| {
            let job = &job;
            let meet = |rank| scope.spawn(move || meet(job.party(rank), &patient()).unwrap());
            let ranks: Vec<_> = (0..nodes).rev().map(|rank| (rank, meet(rank))).collect();
            for (rank, met) in ranks {
                let others: Vec<_> = (0..nodes).filter(|r| *r != rank).map(Rank).collect();
                let met: Vec<_> = met.join().unwrap().into_keys().collect();
                assert_eq!(met, others, "met by rank {rank} of {nodes}");
            }
        });
    }
}

#[test]
fn what_follows_is_encrypted_where_it_is_to_be() {
    for (encryption, is_encrypted) in
        [(Encryption::Always, true), (Encryption::Auto, false), (Encryption::Never, false)]
    {
        let job = Job::new(2);
        let party = |rank| Party { encryption, ..job.party(rank) };
        thread::scope(|scope| {
            let lower = scope.spawn(|| meet(party(0), &patient()).unwrap());
            let mut higher = meet(party(1), &patient()).unwrap().remove(&Rank(0)).unwrap();
            let mut lower = lower.join().unwrap().remove(&Rank(1)).unwrap();
            assert_eq!(lower.cipher.is_some(), is_encrypted, "{encryption}");
            let (Some(seals), Some(opens)) = (&mut lower.cipher, &mut higher.cipher) else {
                assert!(lower.cipher.is_none() && higher.cipher.is_none());
                return;
            };
            let (mut record, mut plain) = (Vec::new(), Vec::new());
            seals.seal(&[b"hello"], &mut record);
            opens.open(&record[2..], &mut plain).unwrap();
            assert_eq!(plain, b"hello");
        });
    }
}

#[test]
fn strangers_get_no_byte_and_keep_nobody_out() {
    let job = Job::new(2);
    let wrong_key = {
        let keys = job.keys(1, Some(&JobKey::new([4; 32])));
        let preamble = Preamble::new(Rank(1), Rank(0), 2, 1);
        Calling::begin(keys.with(Rank(0)), &preamble).unwrap().1
    };
    let firsts = [vec![], b"GET / HTTP/1.0\r\n\r\n".to_vec(), vec![0; 64], wrong_key.to_vec()];
    let strangers = firsts.map(|first| job.call(0, &first));
    thread::scope(|scope| {
        let lower = scope.spawn(|| meet(job.party(0), &patient()).unwrap());
        let higher = scope.spawn(|| meet(job.party(1), &patient()).unwrap());
        assert!(lower.join().unwrap().contains_key(&Rank(1)));
        assert!(higher.join().unwrap().contains_key(&Rank(0)));
    });
    for stranger in strangers {
        assert_eq!(answer(&stranger), b"");
    }
}

/// What both of two ranks say if the second is like this.
fn errors(change: impl FnOnce(Party) -> Party) -> [String; 2] {
    let job = Job::new(2);
    let other = change(job.party(1));
    thread::scope(|scope| {
        let lower = scope.spawn(|| meet(job.party(0), &patient()).unwrap_err().to_string());
        let higher = scope.spawn(|| meet(other, &patient()).unwrap_err().to_string());
        [lower.join().unwrap(), higher.join().unwrap()]
    })
}

#[test]
fn ranks_set_up_differently_both_say_how() {
    let errors_of_size = errors(|party| {
        let hello = Hello { size: 4096, ..party.hello };
        Party { hello, ..party }
    });
    for (error, peer) in errors_of_size.into_iter().zip([1, 0]) {
        assert!(error.starts_with(&format!("cannot join rank {peer}: its size")), "{error}");
        assert!(error.contains("1073741824") && error.contains("4096"), "{error}");
    }
    let [lower, higher] = errors(|party| Party { encryption: Encryption::Never, ..party });
    let differs = "here it is encrypted (DSM_ENCRYPT differs)";
    assert_eq!(
        lower,
        format!("cannot join rank 1: its end of their connection is plain, {differs}")
    );
    let differs = "here it is plain (DSM_ENCRYPT differs)";
    assert_eq!(higher, format!("cannot join rank 0: it encrypts their connection, {differs}"));
    let versions = errors(|party| {
        let hello = Hello { version: 99, ..party.hello };
        Party { hello, ..party }
    });
    for (error, peer) in versions.into_iter().zip([1, 0]) {
        let expected = format!("cannot join rank {peer}: its protocol version is ");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn a_rank_that_does_not_come_is_named() {
    let job = Job::new(3);
    let error = meet(job.party(0), &waiting(Duration::from_millis(200))).unwrap_err();
    assert!(matches!(error, RendezvousError::Missing { missing: Rank(1), .. }), "{error}");
}

#[test]
fn the_wait_ends_with_the_launcher() {
    let job = Job::new(2);
    let (supervisor, launcher) = UnixStream::pair().unwrap();
    drop(launcher);
    let waiting = Waiting { ended: Some(supervisor.as_fd()), ..patient() };
    let error = meet(job.party(0), &waiting).unwrap_err();
    assert!(matches!(error, RendezvousError::Ended), "{error}");
}

#[test]
fn a_keyed_job_takes_a_keyless_rank_for_a_stranger() {
    let job = Job::new(2);
    thread::scope(|scope| {
        let keyed = scope.spawn(|| meet(job.party(0), &waiting(Duration::from_secs(1))));
        let keyless = Party { keys: job.keys(1, None), ..job.party(1) };
        let error = meet(keyless, &patient()).unwrap_err();
        assert!(matches!(error, RendezvousError::Lost { rank: Rank(0), .. }), "{error}");
        let error = keyed.join().unwrap().unwrap_err();
        assert!(matches!(error, RendezvousError::Missing { missing: Rank(1), .. }), "{error}");
    });
}

#[test]
fn a_keyless_job_meets_and_is_plain() {
    let job = Job::new(2);
    let party = |rank| Party { keys: job.keys(rank, None), ..job.party(rank) };
    thread::scope(|scope| {
        let lower = scope.spawn(|| meet(party(0), &patient()).unwrap());
        assert!(meet(party(1), &patient()).unwrap()[&Rank(0)].cipher.is_none());
        assert!(lower.join().unwrap()[&Rank(1)].cipher.is_none());
    });
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
    let listeners: Vec<_> = (0..2).map(bound).collect();
    let addresses = listeners.iter().map(|it| it.local_addr().unwrap()).collect();
    let job = Job { listeners, addresses };
    let meet = |rank, refusals| {
        let party = Party { keys: job.keys(rank, None), ..job.party(rank) };
        let give_up_after = Duration::from_secs(2);
        let waiting = Waiting { refusals, remind_after: DEADLINE, give_up_after, ended: None };
        meet(party, &waiting)
    };
    listen(&job.listeners[1], 16).unwrap();
    let error = meet(1, Refusals::Final).unwrap_err();
    assert!(matches!(error, RendezvousError::Connect { rank: Rank(0), .. }), "{error}");
    let error = meet(1, Refusals::Early).unwrap_err();
    assert!(matches!(error, RendezvousError::Missing { missing: Rank(0), .. }), "{error}");
    thread::scope(|scope| {
        let higher = scope.spawn(|| meet(1, Refusals::Early).unwrap());
        // Rank 1 may have been refused or not: both are right.
        thread::yield_now();
        listen(&job.listeners[0], 16).unwrap();
        assert!(meet(0, Refusals::Early).unwrap().contains_key(&Rank(1)));
        assert!(higher.join().unwrap().contains_key(&Rank(0)));
    });
}
