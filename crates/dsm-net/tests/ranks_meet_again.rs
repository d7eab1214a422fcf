//! Connections that were lost are made again, over real sockets on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ranks;

use dsm_core::Rank;
use dsm_net::rendezvous::{Met, Notice, Rendezvous, RendezvousError};
use ranks::{DEADLINE, Job, answer, patient};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// Ranks that have met.
fn met(job: &Job) -> Vec<(Rendezvous, BTreeMap<Rank, Met>)> {
    thread::scope(|scope| {
        let ranks = (0..job.nodes()).map(|rank| {
            scope.spawn(move || {
                let mut rendezvous = job.rendezvous(rank);
                let met = rendezvous.meet(&patient(), |_| ()).unwrap();
                (rendezvous, met)
            })
        });
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

fn again(
    rendezvous: &mut Rendezvous,
    lost: &[(u16, u64)],
    patience: Duration,
) -> (BTreeMap<Rank, Met>, Result<(), RendezvousError>) {
    let lost = lost.iter().map(|(rank, received)| (Rank(*rank), *received)).collect();
    let (mut all, give_up_at) = (BTreeMap::new(), Instant::now() + patience);
    let mut met = |rank, met| drop(all.insert(rank, met));
    let ended = rendezvous.meet_again(&lost, give_up_at, None, &mut met, |_| ());
    (all, ended)
}

#[test]
fn each_learns_how_much_the_other_has_received() {
    let job = Job::new(3);
    let mut ranks = met(&job);
    // More than once: the port stays the same.
    for round in 1..4 {
        let [(zero, _), (one, _), (two, _)] = &mut ranks[..] else { unreachable!() };
        thread::scope(|scope| {
            let zero = scope.spawn(|| again(zero, &[(1, 10 * round), (2, 20)], DEADLINE));
            let one = scope.spawn(|| again(one, &[(0, 1 << 40)], DEADLINE));
            let (of_two, ended) = again(two, &[(0, round)], DEADLINE);
            ended.unwrap();
            assert_eq!(of_two[&Rank(0)].received, 20);
            let (of_one, ended) = one.join().unwrap();
            ended.unwrap();
            assert_eq!(of_one[&Rank(0)].received, 10 * round);
            let (mut of_zero, ended) = zero.join().unwrap();
            ended.unwrap();
            assert_eq!(of_zero[&Rank(1)].received, 1 << 40);
            assert_eq!(of_zero[&Rank(2)].received, round);
            let (mut record, mut plain) = (Vec::new(), Vec::new());
            let mut cipher = of_zero.remove(&Rank(1)).unwrap().cipher.unwrap();
            cipher.seal(&[b"again"], &mut record);
            let mut theirs = { of_one }.remove(&Rank(0)).unwrap().cipher.unwrap();
            theirs.open(&record[2..], &mut plain).unwrap();
            assert_eq!(plain, b"again");
        });
        let error = TcpStream::connect(job.addresses[0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
}

#[test]
fn one_that_comes_late_is_met_and_strangers_are_not() {
    let job = Job::new(2);
    let mut ranks = met(&job);
    let [(zero, _), (one, _)] = &mut ranks[..] else { unreachable!() };
    thread::scope(|scope| {
        let one = scope.spawn(|| again(one, &[(0, 0)], DEADLINE).1);
        // It is refused until then.
        let late = again(zero, &[], Duration::ZERO);
        assert!(late.0.is_empty() && late.1.is_ok());
        let zero = scope.spawn(|| again(zero, &[(1, 0)], DEADLINE).1);
        one.join().unwrap().unwrap();
        zero.join().unwrap().unwrap();
    });
    let [(zero, _), (one, _)] = &mut ranks[..] else { unreachable!() };
    thread::scope(|scope| {
        let zero = scope.spawn(|| again(zero, &[(1, 0)], DEADLINE).1);
        let stranger = loop {
            match TcpStream::connect(job.addresses[0]) {
                Ok(stream) => break stream,
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}"),
            }
        };
        std::io::Write::write_all(&mut &stranger, &[7; 64]).unwrap();
        assert_eq!(answer(&stranger), b"");
        again(one, &[(0, 0)], DEADLINE).1.unwrap();
        zero.join().unwrap().unwrap();
    });
}

/// Waits until the rank listens again.
fn call(job: &Job, rank: usize) -> TcpStream {
    loop {
        match TcpStream::connect(job.addresses[rank]) {
            Ok(stream) => return stream,
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}"),
        }
    }
}

/// How many connections the rank turns away while it meets rank 1 again, which comes after `strangers` have.
fn turned_away(strangers: impl FnOnce(&Job) -> Vec<TcpStream>) -> u64 {
    let job = Job::new(2);
    let mut ranks = met(&job);
    let [(zero, _), (one, _)] = &mut ranks[..] else { unreachable!() };
    thread::scope(|scope| {
        let zero = scope.spawn(|| {
            let (lost, give_up_at) = (BTreeMap::from([(Rank(1), 0)]), Instant::now() + DEADLINE);
            let mut turned_away = 0;
            let tell = |notice: Notice<'_>| {
                if let Notice::TurnedAway { count, .. } = notice {
                    turned_away += count;
                }
            };
            zero.meet_again(&lost, give_up_at, None, |_, _| (), tell).unwrap();
            turned_away
        });
        let held = strangers(&job);
        again(one, &[(0, 0)], DEADLINE).1.unwrap();
        let turned_away = zero.join().unwrap();
        held.iter().for_each(|stranger| assert_eq!(answer(stranger), b""));
        turned_away
    })
}

#[test]
fn ranks_whose_connections_are_lost_again_and_again_are_no_strangers() {
    // Each was connected, and reset before it said a word, or waits for its word to come.
    let silent = |job: &Job| {
        for _ in 0..20 {
            let lost = call(job, 0);
            rustix::net::sockopt::set_socket_linger(&lost, Some(Duration::ZERO)).unwrap();
        }
        (0..5).map(|_| call(job, 0)).collect()
    };
    assert_eq!(turned_away(silent), 0);
    let with_strangers = |job: &Job| {
        let strangers: Vec<_> = [&b"GET / HTTP/1.1"[..], &[7; 64], &[0; 3]]
            .into_iter()
            .map(|said| {
                let stranger = call(job, 0);
                std::io::Write::write_all(&mut &stranger, said).unwrap();
                stranger
            })
            .collect();
        strangers.into_iter().chain(silent(job)).collect()
    };
    assert_eq!(turned_away(with_strangers), 3);
}

#[test]
fn who_says_a_byte_a_second_is_cut_off_after_three() {
    let slow = |job: &Job| {
        let mut slow = call(job, 0);
        slow.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let (_, first) = job.first(1, 0, 1 << 20);
        let began = Instant::now();
        for byte in first {
            let heard = std::io::Write::write_all(&mut slow, &[byte])
                .and_then(|()| std::io::Read::read(&mut slow, &mut [0]));
            match heard {
                Ok(0) => break,
                Ok(_) => panic!("it was answered"),
                Err(error) if error.kind() == ErrorKind::WouldBlock => (),
                Err(_) => break,
            }
        }
        let held = began.elapsed().as_secs_f64();
        assert!((2.9..8.0).contains(&held), "held for {held} s");
        Vec::new()
    };
    assert_eq!(turned_away(slow), 1);
}

#[test]
fn what_was_said_before_is_not_taken_again() {
    let job = Job::new(2);
    let mut ranks = met(&job);
    let (zero, _) = &mut ranks[0];
    thread::scope(|scope| {
        let zero = scope.spawn(|| again(zero, &[(1, 0)], Duration::from_secs(2)).1);
        let (_, first) = job.first(1, 0, 1);
        let stream = loop {
            match TcpStream::connect(job.addresses[0]) {
                Ok(stream) => break stream,
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}"),
            }
        };
        std::io::Write::write_all(&mut &stream, &first).unwrap();
        assert_eq!(answer(&stream), b"", "rank 1 has made its first connection long ago");
        let error = zero.join().unwrap().unwrap_err();
        assert!(matches!(error, RendezvousError::Missing { missing: Rank(1), .. }), "{error}");
    });
}

#[test]
fn a_rank_whose_loss_is_not_known_is_told_of() {
    let job = Job::new(3);
    let mut ranks = met(&job);
    let [(zero, _), (one, _), (two, _)] = &mut ranks[..] else { unreachable!() };
    thread::scope(|scope| {
        let (called, calls) = channel();
        let (interrupt, end) = UnixStream::pair().unwrap();
        let (over, is_over) = channel();
        let zero = scope.spawn(move || {
            let lost = BTreeMap::from([(Rank(1), 0)]);
            let give_up_at = Instant::now() + DEADLINE;
            let tell = |notice: Notice<'_>| {
                if let Notice::Called { rank } = notice {
                    called.send(rank).unwrap();
                }
            };
            let interrupt = Some(interrupt.as_fd());
            let ended = zero.meet_again(&lost, give_up_at, interrupt, |_, _| (), tell);
            assert!(matches!(ended, Err(RendezvousError::Ended)), "{ended:?}");
            over.send(()).unwrap();
            again(zero, &[(1, 0), (2, 0)], DEADLINE).1
        });
        let two = scope.spawn(|| again(two, &[(0, 0)], DEADLINE).1);
        assert_eq!(calls.recv_timeout(DEADLINE).unwrap(), Rank(2));
        drop(end);
        // Else rank 1 might be met by the call that has just been told to end.
        is_over.recv_timeout(DEADLINE).unwrap();
        again(one, &[(0, 0)], DEADLINE).1.unwrap();
        two.join().unwrap().unwrap();
        zero.join().unwrap().unwrap();
    });
}
