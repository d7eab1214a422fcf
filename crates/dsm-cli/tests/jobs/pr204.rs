//! Programs, wrappers and launchers of the PR204 family with ours.

use crate::harness::Place;

/// Shows the environment and the descriptors that programs of the family know, as bytes.
const SHOW: &str = r#"
import os, socket, sys
launcher, listener = int(os.environ["DSMEXEC_FD"]), int(os.environ["MASTER_FD"])
stream = socket.socket(fileno=launcher)
block = b""
while piece := stream.recv(1 << 20):
    block += piece
bound = socket.socket(fileno=listener)
accepts = bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
print(launcher, listener, stream.family.name, bound.family.name, bound.getsockname()[1], accepts, block.hex())
"#;

/// The whole stream of a job of these ports, for a rank, written from the description of its bytes.
fn stream(rank: i32, ports: &[i32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let nodes = i32::try_from(ports.len()).unwrap();
    bytes.extend(nodes.to_le_bytes());
    bytes.extend(rank.to_le_bytes());
    for (of, port) in (0i32..).zip(ports) {
        bytes.extend(of.to_le_bytes());
        let mut machine = b"127.0.0.1".to_vec();
        machine.resize(1024, 0);
        bytes.extend(machine);
        bytes.extend(port.to_le_bytes());
        bytes.extend([0; 8]);
    }
    bytes
}

/// Each rank's line is of [`SHOW`]; the ports they tell make the stream that each of them must have read.
#[track_caller]
fn check_shown(lines: &[&str]) {
    let words: Vec<Vec<&str>> =
        lines.iter().map(|line| line.split_whitespace().collect()).collect();
    let ports: Vec<i32> = words.iter().map(|words| words[4].parse().unwrap()).collect();
    for (rank, words) in (0i32..).zip(&words) {
        assert_eq!(words[..4], ["3", "4", words[2], "AF_INET"], "rank {rank}: {words:?}");
        assert_eq!(words[5], "1", "the socket of rank {rank} listens");
        let hex: String = stream(rank, &ports).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(words[6], hex, "the stream of rank {rank}");
    }
}

/// Standard output by rank, without tags.
fn by_rank(stdout: &str) -> Vec<&str> {
    let mut lines: Vec<_> = stdout.lines().collect();
    lines.sort_by_key(|line| line.split_once(']').unwrap().0[1..].parse::<u16>().unwrap());
    lines.into_iter().map(|line| line.split_once("] ").unwrap().1).collect()
}

#[test]
fn a_program_of_the_family_finds_its_stream_on_descriptor_3_and_its_socket_on_4() {
    for ranks in 1..=4 {
        let place = Place::local(ranks);
        let ended = place.run(&["--launch=pr204", "--tag=rank"], &["python3", "-c", SHOW]);
        ended.assert_code(0).assert_stderr(&[
            "dsmexec: profile launch=pr204: connections between ranks that are not dsm's ",
            "are plaintext and unauthenticated",
        ]);
        assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
        check_shown(&by_rank(&ended.stdout));
    }
}

#[test]
fn what_was_open_as_3_and_4_before_is_not_taken_for_the_familys() {
    let place = Place::local(2);
    let script = format!(
        "exec 3</dev/null 4</dev/null; exec {} --launch=pr204 --tag=rank machines python3 -c '{SHOW}'",
        env!("CARGO_BIN_EXE_dsmexec")
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).current_dir(place.path(""));
    let ended = crate::harness::Running::start(command).wait();
    check_shown(&by_rank(&ended.assert_code(0).stdout));
}

#[test]
fn programs_that_leave_their_stream_alone_or_close_it_hurt_nobody() {
    let place = Place::local(3);
    let ended =
        place.sh(&["--launch=pr204", "--tag=none"], "exec 3<&-; echo $DSMEXEC_FD $MASTER_FD");
    assert_eq!(ended.assert_code(0).lines(), ["3 4", "3 4", "3 4"]);
    let ended =
        place.sh(&["--launch=pr204"], "test $DSM_NODE_ID = 1 && exit 5; cat >&3 </dev/zero");
    ended.assert_code(5);
    let many = Place::new("localhost slots=256\n");
    let ended = many.run(&["-n", "3", "--launch=pr204"], &["true"]);
    ended.assert_code(0);
}

#[test]
fn ranks_of_dsm_are_native_under_the_familys_launch() {
    let place = Place::local(3);
    let ended = place.run(&["--launch=pr204", "-v"], &[example("exemple")]);
    ended.assert_code(0);
    for rank in ["rank 0", "rank 1", "rank 2"] {
        ended.assert_stderr(&[rank, ": joined"]).assert_stderr(&[rank, ": finalized"]);
    }
}

#[test]
fn addresses_that_the_family_cannot_use_are_refused() {
    let place = Place::new("localhost\nlocalhost address=::1\n");
    let ended = place.run(&["--launch=pr204"], &["true"]);
    ended.assert_code(78).assert_stderr(&[
        "rank 1 (localhost): other ranks reach it at ::1, and --launch=pr204 needs an IPv4 address; ",
    ]);
}

#[test]
fn profiles_that_do_not_fit_are_refused() {
    let place = Place::local(3);
    let check = |options: &[&str], message: &str| {
        let ended = place.run(options, &["true"]);
        ended.assert_code(64).assert_stderr(&[message]);
    };
    check(&["--peer=seed8"], "dsmexec: --peer=seed8 with 3 ranks, expected 2");
    check(&["--wrap=seed", "--launch=ete7"], "dsmexec: --wrap=seed --launch=ete7: ");
}

/// A program of `bin`, which `make` builds.
fn example(name: &str) -> String {
    let path = format!("{}/../../bin/{name}", env!("CARGO_MANIFEST_DIR"));
    assert!(std::path::Path::new(&path).is_file(), "{path} is not there: run make");
    path
}
