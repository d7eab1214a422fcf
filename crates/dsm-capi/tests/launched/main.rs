//! libdsm under launchers of the PR204 family: it joins with what they give, however little that is, and
//! says in one line what is wrong with what they say.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod ete7;
mod launcher;
mod native;

use launcher::{
    Naming, Said, Sockets, Started, above_ten, bound_socket, built, null, number, record, start,
    start_told,
};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

#[test]
fn ranks_join_with_two_variables_and_sockets_that_do_not_listen() {
    for nodes in 1..=3 {
        let said = run(nodes, Naming::Variables, &[&built("test/launched")], Started::tell);
        all_are_right(&said);
    }
}

#[test]
fn ranks_join_with_descriptors_three_and_four() {
    for nodes in 1..=3 {
        let said = run(nodes, Naming::Bare, &[&built("test/launched"), "3", "4"], Started::tell);
        all_are_right(&said);
    }
}

#[test]
fn a_block_may_come_byte_by_byte() {
    let byte_by_byte = |rank: &mut Started, block: &[u8]| {
        block.chunks(1).for_each(|byte| rank.tell(byte));
    };
    all_are_right(&run(2, Naming::Variables, &[&built("test/launched")], byte_by_byte));
}

#[test]
fn ranks_may_be_told_one_after_the_other() {
    let sockets = Sockets::of(3);
    let program = built("test/launched");
    // The higher ranks connect to sockets whose ranks have not begun.
    let start = |rank| {
        let mut started = sockets.start(rank, Naming::Variables, &[&program]);
        started.tell(&sockets.block(rank));
        started
    };
    let ranks: Vec<_> = (0..3).rev().map(start).collect();
    let mut said: Vec<_> = ranks.into_iter().map(Started::wait).collect();
    said.reverse();
    all_are_right(&said);
}

#[test]
fn descriptors_are_not_passed_on_to_programs_that_a_rank_starts() {
    let sockets = Sockets::of(1);
    let (mut link, theirs) = UnixStream::pair().unwrap();
    let (theirs, listener) = (OwnedFd::from(theirs), bound_socket());
    let numbers = [&theirs, &listener].map(|fd| fd.as_raw_fd().to_string());
    let program = [&built("test/launched")[..], &numbers[0], &numbers[1]];
    let child = start(&theirs, &listener, Naming::Variables, &program);
    std::io::Write::write_all(&mut link, &sockets.block(0)).unwrap();
    all_are_right(&[Said::of(child.wait_with_output().unwrap())]);
}

#[test]
fn a_block_that_cannot_be_is_one_line_and_no_job() {
    let sockets = Sockets::of(2);
    let right = sockets.block(0);
    let with = |at: usize, bytes: &[u8]| {
        let mut block = right.clone();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        block
    };
    let long_name = [b'x'; 1024];
    refused(&[], "the stream ended after 0 of 8 bytes of the launch block");
    refused(&right[..5], "the stream ended after 5 of 8 bytes of the launch block");
    refused(&right[..1000], "the stream ended after 1000 of 2088 bytes of the launch block");
    refused(&with(0, &number(0)), "a job of 0 ranks, expected 1 to 256");
    refused(&with(0, &[0xff; 4]), "a job of -1 ranks, expected 1 to 256");
    refused(&with(0, &i32::MAX.to_le_bytes()), "a job of 2147483647 ranks, expected 1 to 256");
    refused(&with(4, &number(2)), "rank 2 in a job of 2 ranks");
    refused(&with(4, &[0xff; 4]), "rank -1 in a job of 2 ranks");
    refused(&with(8, &number(7)), "rank 7 in a job of 2 ranks");
    refused(&with(1048, &number(0)), "two records of rank 0");
    refused(&with(12, &long_name), "a machine name that does not end");
    refused(&with(12, &[0; 16]), "a machine name that is empty");
    refused(&with(1036, &number(0)), "port 0 of 127.0.0.1, expected 1 to 65535");
    refused(&with(1036, &[0xff; 4]), "port -1 of 127.0.0.1, expected 1 to 65535");
}

#[test]
fn a_block_that_does_not_come_is_waited_for_and_no_longer() {
    let sockets = Sockets::of(2);
    let program = built("test/launched");
    // The setting is beside the two variables: it is the runtime's, not the launcher's.
    let command = ["/usr/bin/env", "DSM_JOIN_TIMEOUT_S=1", &program];
    let mut rank = sockets.start(0, Naming::Variables, &command);
    rank.tell(&sockets.block(0)[..100]);
    let cause =
        "not complete after 1 s: the stream ended after 100 of 2088 bytes of the launch block";
    let said = rank.wait();
    assert!(said.out.contains(cause), "{said:?}");
    assert!(said.out.starts_with("refused: errno 110: "), "ETIMEDOUT: {said:?}");
    assert_eq!(said.code, Some(3), "{said:?}");
}

#[test]
fn a_rank_that_does_not_come_is_named_in_time() {
    let sockets = Sockets::of(2);
    let program = built("test/launched");
    let command = ["/usr/bin/env", "DSM_JOIN_TIMEOUT_S=1", &program];
    for (rank, missing) in [(0, 1), (1, 0)] {
        let mut started = sockets.start(rank, Naming::Variables, &command);
        started.tell(&sockets.block(rank));
        let said = started.wait();
        let cause = format!("rank {missing} did not call dsm_init within 1 s");
        assert!(said.out.contains(&cause), "{said:?}");
    }
}

#[test]
fn a_machine_that_is_not_found_is_named_with_its_rank() {
    let block = [number(2), number(0)].concat();
    let records = [record(0, "no name that the others need", 1), record(1, "node9.invalid", 4000)];
    refused(&[block.clone(), records.concat()].concat(), "a machine name that is not one");
    let records = [record(0, "node8.invalid", 4000), record(1, "node9.invalid", 4000)].concat();
    let said = told(&[block, records].concat());
    let cause = "cannot join the job: cannot find the machine of rank 1, node9.invalid: ";
    assert!(said.out.contains(cause), "{said:?}");
    assert_eq!(said.err.matches('\n').count(), 1, "{said:?}");
}

#[test]
fn descriptors_that_are_not_such_sockets_are_named() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (stream, listener) = (OwnedFd::from(theirs), bound_socket());
    let not_a_stream = "named by DSMEXEC_FD is not a connected stream socket";
    let not_bound = "named by MASTER_FD is not a bound TCP/IPv4 socket";
    let unix = UnixListener::bind(tempfile::tempdir().unwrap().path().join("socket")).unwrap();
    let six = TcpListener::bind("[::1]:0").map(OwnedFd::from).map_or_else(|_| null(), above_ten);
    let check = |launcher: &OwnedFd, listener: &OwnedFd, cause: &str| {
        let child = start(launcher, listener, Naming::Variables, &[&built("test/launched")]);
        let said = Said::of(child.wait_with_output().unwrap());
        assert_eq!((said.code, said.err.matches('\n').count()), (Some(3), 1), "{said:?}");
        assert!(said.out.contains(cause), "expected {cause:?}: {said:?}");
    };
    check(&null(), &listener, not_a_stream);
    check(&listener, &listener, not_a_stream);
    check(&stream, &null(), not_bound);
    check(&stream, &unix.into(), not_bound);
    check(&stream, &six, not_bound);
    check(&stream, &OwnedFd::from(ours), not_bound);
}

#[test]
fn variables_that_are_not_descriptors_are_named() {
    let check = |variables: &[(&str, &str)], cause: &str| {
        let child = start_told(variables, &[&built("test/launched")]);
        let said = Said::of(child.wait_with_output().unwrap());
        assert_eq!((said.code, said.err.matches('\n').count()), (Some(3), 1), "{said:?}");
        assert!(said.out.contains(cause), "expected {cause:?}: {said:?}");
    };
    check(&[("DSMEXEC_FD", "5")], "DSMEXEC_FD is set and MASTER_FD is not");
    check(&[("MASTER_FD", "5")], "MASTER_FD is set and DSMEXEC_FD is not");
    let number = "expected the number of an open descriptor";
    check(&[("DSMEXEC_FD", "x"), ("MASTER_FD", "5")], &format!("DSMEXEC_FD is \"x\", {number}"));
    check(&[("DSMEXEC_FD", "5"), ("MASTER_FD", "")], &format!("MASTER_FD is \"\", {number}"));
    let both = |value| [("DSMEXEC_FD", value), ("MASTER_FD", value)];
    check(&both("99999999999"), number);
    check(&both("-1"), "cannot take over descriptor -1 named by DSMEXEC_FD");
    check(&both("0"), "cannot take over descriptor 0 named by DSMEXEC_FD");
    check(&both("777"), "cannot take over descriptor 777 named by DSMEXEC_FD: Bad file descriptor");
}

#[test]
fn other_things_at_three_and_four_are_left_alone() {
    let program = built("test/launched");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (stream, other_end) = (above_ten(theirs.into()), above_ten(ours.into()));
    let bound = bound_socket();
    let acceptor = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(acceptor.local_addr().unwrap()).unwrap();
    let pairs = [
        (&null(), &null()),
        (&null(), &bound),
        (&bound, &bound),
        (&stream, &null()),
        (&stream, &other_end),
        (&stream, &above_ten(connected.into())),
    ];
    for (three, four) in pairs {
        let child = start(three, four, Naming::Bare, &[&program]);
        all_are_right(&[Said::of(child.wait_with_output().unwrap())]);
    }
    let child = start_told(&[], &[&program]);
    all_are_right(&[Said::of(child.wait_with_output().unwrap())]);
}

#[test]
fn a_rank_that_is_lost_is_named_with_its_host() {
    for (vanishing, host) in [(1, "localhost"), (0, "127.0.0.1")] {
        let (program, number) = (built("test/launched"), vanishing.to_string());
        let said = run(2, Naming::Variables, &[&program, "vanish", &number], Started::tell);
        assert_eq!(said[vanishing].code, Some(5), "{said:?}");
        let left = &said[1 - vanishing];
        assert_eq!(left.code, Some(75), "{said:?}");
        let line = left.err.lines().last().unwrap();
        let cause = format!("contact with rank {vanishing} lost: ");
        assert!(line.starts_with(&format!("dsm: rank {} pid ", 1 - vanishing)), "{line}");
        assert!(line.contains(&cause), "{line}");
        assert!(line.ends_with(&format!(" (rank {vanishing} is on {host})")), "{line}");
    }
}

#[test]
fn programs_of_the_course_run_unchanged() {
    for naming in [Naming::Variables, Naming::Bare] {
        let said = run(2, naming, &[&built("exemple")], Started::tell);
        for (rank, said) in said.iter().enumerate() {
            assert_eq!(said.code, Some(0), "{said:?}");
            let expected = format!("[{rank}] valeur de l'entier : 0\n");
            assert!(said.out.starts_with(&format!("[{rank}] Coucou, mon adresse")), "{said:?}");
            assert!(said.out.ends_with(&expected), "{said:?}");
        }
        // It does not use dsm: nobody reads the block.
        for said in run(2, naming, &[&built("truc")], Started::tell) {
            assert_eq!((said.code, &said.err[..]), (Some(0), ""), "{said:?}");
        }
    }
}

#[test]
fn rank_zero_says_once_that_nothing_is_protected() {
    let said = run(2, Naming::Variables, &[&built("test/launched")], Started::tell);
    let line = "dsm: launch profile pr204, peer profile native: the connections between the 2 ranks are \
                plaintext and unauthenticated\n";
    assert_eq!([&said[0].err[..], &said[1].err[..]], [line, ""]);
}

#[test]
fn every_rank_says_it_where_rank_zero_may_be_foreign() {
    let program = ["/usr/bin/env", "DSM_PEER=bcast", &built("exemple")];
    for said in run(2, Naming::Variables, &program, Started::tell) {
        let line = "dsm: launch profile pr204, peer profile bcast: the connections between the 2 ranks are \
                    plaintext and unauthenticated\n";
        assert_eq!((said.code, &said.err[..]), (Some(0), line), "{said:?}");
    }
}

/// Runs a job; gives what its ranks said. Their sockets stay bound until all have ended.
fn run(
    nodes: usize,
    naming: Naming,
    program: &[&str],
    tell: impl Fn(&mut Started, &[u8]),
) -> Vec<Said> {
    let sockets = Sockets::of(nodes);
    let start = |rank| sockets.start(rank, naming, program);
    let mut ranks: Vec<_> = (0..nodes).map(start).collect();
    for (rank, started) in ranks.iter_mut().enumerate() {
        tell(started, &sockets.block(rank));
    }
    ranks.into_iter().map(Started::finish).collect()
}

fn all_are_right(said: &[Said]) {
    let nodes = said.len();
    for (rank, one) in said.iter().enumerate() {
        let expected = (Some(0), format!("rank {rank} of {nodes}: right\n"));
        assert_eq!((one.code, one.out.clone()), expected, "{said:?}");
    }
}

/// What a rank says that is told this, and then nothing more.
fn told(stream: &[u8]) -> Said {
    let mut rank = Sockets::of(1).start(0, Naming::Variables, &[&built("test/launched")]);
    rank.tell(stream);
    rank.finish()
}

fn refused(stream: &[u8], cause: &str) {
    let said = told(stream);
    assert_eq!(said.code, Some(3), "expected {cause:?}: {said:?}");
    let block = "cannot join the job: cannot read the launch block from descriptor ";
    let line = said.err.strip_suffix('\n').unwrap();
    assert!(line.starts_with(&format!("dsm: {block}")) && line.ends_with(cause), "{line}");
    assert!(!line.contains('\n'), "{line}");
    assert!(said.out.starts_with("refused: errno ") && said.out.contains(cause), "{said:?}");
}
