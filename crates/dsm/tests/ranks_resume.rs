//! Several real processes share one memory while the connections between them are reset.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod job;

use dsm::Node;
use rustix::fd::OwnedFd;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The connections of this rank to others, each by another descriptor than the runtime has.
fn connections() -> Vec<OwnedFd> {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let numbers = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let numbers: Vec<i32> = numbers.collect();
    // Some may be closed meanwhile.
    let all = numbers
        .into_iter()
        .filter_map(|number| pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).ok());
    all.filter(|fd| {
        let peer = rustix::net::getpeername(fd).ok().flatten();
        peer.is_some_and(|peer| SocketAddr::try_from(peer).is_ok())
    })
    .collect()
}

/// Resets one of this rank's connections, as a router does that forgets it: both ends lose what is under way.
/// Waits until there is one.
fn reset(number: usize) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let connections = connections();
        let chosen = connections.get(number % connections.len().max(1));
        if chosen.is_some_and(|chosen| rustix::net::connect_unspec(chosen).is_ok()) {
            return;
        }
        assert!(Instant::now() < until, "no connection within 20 s");
        thread::yield_now();
    }
}

/// Resets a connection of this rank each time `work` asks for it, while it goes on. It is to use all connections
/// before it asks again: who resets every attempt to connect again ends the job, as is promised.
fn tormented(node: &Node, work: impl FnOnce(&dyn Fn())) {
    let (ask, asked) = mpsc::sync_channel(0);
    thread::scope(|scope| {
        let first = usize::from(node.rank());
        scope.spawn(move || asked.iter().zip(first..).for_each(|((), number)| reset(number)));
        work(&|| ask.send(()).unwrap());
        drop(ask);
    });
}

/// One word, counted up by every rank.
fn counted(nodes: u16, environment: &[(&str, &str)]) {
    const EACH: u64 = 3000;
    job::run(nodes, environment, |node| {
        let counter = &node.words::<AtomicU64>(4096 * 5 + 64, 1).unwrap()[0];
        tormented(node, |reset| {
            for step in 0..EACH {
                counter.fetch_add(1, SeqCst);
                if step % 20 == 0 {
                    node.barrier().unwrap();
                    reset();
                }
            }
        });
        node.barrier().unwrap();
        assert_eq!(counter.load(SeqCst), EACH * u64::from(nodes));
        node.barrier().unwrap();
    });
}

#[test]
fn two_ranks_count_on_through_resets_uffd() {
    counted(2, &[("DSM_FAULT", "uffd")]);
}

#[test]
fn two_ranks_count_on_through_resets_sigsegv() {
    counted(2, &[("DSM_FAULT", "sigsegv")]);
}

#[test]
fn two_ranks_count_on_through_resets_encrypted() {
    counted(2, &[("DSM_ENCRYPT", "always")]);
}

#[test]
fn three_ranks_count_on_through_resets() {
    counted(3, &[]);
}

/// Every rank writes its share of the pages, all read all of them, in rotation.
fn rotated(nodes: u16, environment: &[(&str, &str)]) {
    job::run(nodes, environment, |node| {
        tormented(node, |reset| {
            job::rotate(node, 256, 6, |page| {
                if page % 16 == 0 {
                    node.barrier().unwrap();
                    reset();
                }
            });
        });
        node.barrier().unwrap();
    });
}

#[test]
fn pages_rotate_through_resets_uffd() {
    rotated(3, &[("DSM_FAULT", "uffd")]);
}

#[test]
fn pages_rotate_through_resets_sigsegv() {
    rotated(2, &[("DSM_FAULT", "sigsegv")]);
}

#[test]
fn pages_rotate_through_resets_encrypted() {
    rotated(3, &[("DSM_ENCRYPT", "always")]);
}

/// What resets connections from before the last barrier until the job is left, a few times.
fn left(nodes: u16, environment: &[(&str, &str)]) {
    const RESETS: usize = 12;
    job::run(nodes, environment, |node| {
        let counter = &node.words::<AtomicU64>(0, 1).unwrap()[0];
        counter.fetch_add(1, SeqCst);
        node.barrier().unwrap();
        let first = usize::from(node.rank());
        thread::spawn(move || {
            for number in first..first + RESETS {
                let all = connections();
                if let Some(chosen) = all.get(number % all.len().max(1)) {
                    let _ = rustix::net::connect_unspec(chosen);
                }
                thread::yield_now();
            }
        });
        assert_eq!(counter.load(SeqCst), u64::from(node.nodes()));
    });
}

#[test]
fn two_ranks_leave_through_resets() {
    left(2, &[]);
}

#[test]
fn four_ranks_leave_through_resets_encrypted() {
    left(4, &[("DSM_ENCRYPT", "always")]);
}
