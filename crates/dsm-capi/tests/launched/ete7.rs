//! The launch of 2025: variables name a launcher that listens.

use super::launcher::{Said, built, start_told};
use super::{all_are_right, number};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::time::Duration;

#[test]
fn ranks_join_a_launcher_that_listens() {
    for nodes in 1..=3 {
        let program = built("test/launched");
        let (ranks, mut links, blobs) = gather(nodes, &program);
        for link in &mut links {
            link.write_all(&blobs.concat()).unwrap();
        }
        all_are_right(&ended(ranks));
    }
}

#[test]
fn the_answer_may_come_byte_by_byte() {
    let (ranks, mut links, blobs) = gather(2, &built("test/launched"));
    for link in &mut links {
        link.set_nodelay(true).unwrap();
        blobs.concat().chunks(1).for_each(|byte| link.write_all(byte).unwrap());
    }
    all_are_right(&ended(ranks));
}

#[test]
fn a_blob_is_the_record_of_its_rank() {
    let (ranks, links, blobs) = gather(2, &built("test/launched"));
    for (rank, blob) in blobs.iter().enumerate() {
        assert_eq!(blob.len(), 1040);
        assert_eq!(blob[..4], number(rank));
        assert_eq!(&blob[4..14], b"127.0.0.1\0");
        assert!(blob[14..1028].iter().chain(&blob[1032..]).all(|byte| *byte == 0));
        let port = i32::from_le_bytes(blob[1028..1032].try_into().unwrap());
        TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    }
    drop(links);
    let cause = "the stream ended after 0 of 2080 bytes of the launch block";
    for said in ended(ranks) {
        assert!(said.out.contains(cause) && said.code == Some(3), "{said:?}");
    }
}

#[test]
fn an_answer_that_cannot_be_is_one_line() {
    let (ranks, mut links, blobs) = gather(1, &built("test/launched"));
    let mut lie = blobs.concat();
    lie[1028..1032].fill(0);
    links[0].write_all(&lie).unwrap();
    let said = ended(ranks).remove(0);
    let line = format!(
        "dsm: cannot join the job: cannot learn the job from the launcher at localhost port {}: \
         port 0 of 127.0.0.1, expected 1 to 65535\n",
        links[0].local_addr().unwrap().port()
    );
    assert_eq!((said.code, said.err), (Some(3), line));
}

#[test]
fn a_launcher_that_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let refused = format!("launcher at 127.0.0.1 port {port}: Connection refused");
    check([Some("127.0.0.1"), Some(&port), Some("0"), Some("1")], &refused);
    check([Some("node9.invalid"), Some(&port), Some("0"), Some("1")], "at node9.invalid port");
    check([Some(""), Some(&port), Some("0"), Some("1")], "DSMEXEC_HOSTNAME is \"\"");
    check(
        [Some("h"), Some("0"), Some("0"), Some("1")],
        "DSMEXEC_PORTNUM is \"0\", expected a port",
    );
    check([Some("h"), Some("80x"), Some("0"), Some("1")], "DSMEXEC_PORTNUM is \"80x\"");
    check(
        [Some("h"), Some("80"), Some("1"), Some("1")],
        "DSMEXEC_RANKID is \"1\", expected a rank",
    );
    check([Some("h"), Some("80"), Some("-1"), Some("1")], "DSMEXEC_RANKID is \"-1\"");
    check([Some("h"), Some("80"), Some("0"), Some("257")], "DSMEXEC_RANKNUM is \"257\", expected");
    check([Some("h"), Some("80"), Some("0"), Some("0")], "DSMEXEC_RANKNUM is \"0\", expected");
    let unset = "DSMEXEC_HOSTNAME is set and DSMEXEC_RANKNUM is not";
    check([Some("h"), Some("80"), Some("0"), None], unset);
}

fn check(values: [Option<&str>; 4], cause: &str) {
    let set = NAMES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?)));
    let child = start_told(&set.collect::<Vec<_>>(), &[&built("test/launched")]);
    let said = ended(vec![child]).remove(0);
    assert!(said.out.contains(cause) && said.code == Some(3), "expected {cause:?}: {said:?}");
    assert_eq!(said.err.matches('\n').count(), 1, "{said:?}");
}

/// Starts ranks and hears all their contributions: the connections and the blobs, in rank order.
fn gather(nodes: usize, program: &str) -> (Vec<Child>, Vec<TcpStream>, Vec<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port().to_string(), nodes.to_string());
    let start = |rank: usize| {
        let rank = rank.to_string();
        let values = ["localhost", &port, &rank, &count];
        start_told(&NAMES.into_iter().zip(values).collect::<Vec<_>>(), &[program])
    };
    let ranks = (0..nodes).map(start).collect();
    let mut heard: Vec<_> = (0..nodes).map(|_| hear(&listener)).collect();
    heard.sort_by_key(|(rank, ..)| *rank);
    let (links, blobs) = heard.into_iter().map(|(_, link, blob)| (link, blob)).unzip();
    (ranks, links, blobs)
}

/// The rank that connects, its connection, and its blob.
fn hear(listener: &TcpListener) -> (i32, TcpStream, Vec<u8>) {
    let patience = Duration::from_secs(20);
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&Timespec::try_from(patience).unwrap())).unwrap(), 1);
    let (mut link, _) = listener.accept().unwrap();
    link.set_read_timeout(Some(patience)).unwrap();
    let mut header = [0; 12];
    link.read_exact(&mut header).unwrap();
    let size = u64::from_le_bytes(header[4..].try_into().unwrap());
    let mut blob = vec![0; usize::try_from(size).unwrap()];
    link.read_exact(&mut blob).unwrap();
    (i32::from_le_bytes(header[..4].try_into().unwrap()), link, blob)
}

fn ended(children: Vec<Child>) -> Vec<Said> {
    children.into_iter().map(|child| Said::of(child.wait_with_output().unwrap())).collect()
}

const NAMES: [&str; 4] =
    ["DSMEXEC_HOSTNAME", "DSMEXEC_PORTNUM", "DSMEXEC_RANKID", "DSMEXEC_RANKNUM"];
