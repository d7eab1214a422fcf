//! Programs, wrappers and launchers of the PR204 family with ours.

use crate::harness::{Place, Watched};
use rustix::process::Signal;
use std::time::Duration;

/// Everything is to be gone this long after the end began.
const GONE: Duration = Duration::from_secs(3);

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
    command.args(["-c", &script]).current_dir(place.dir());
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

/// dsmexec of ours with the wrapper that dsmwrap of ours is to a foreign dsmexec.
fn foreign<'a>(wrap: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let command = concat!("--wrap-command=", env!("CARGO_BIN_EXE_dsmwrap"));
    [&[wrap, command, "--tag=rank"], more].concat()
}

const WRAPS: [&str; 3] = ["--wrap=ref", "--wrap=seed", "--wrap=rank"];

#[test]
fn a_foreign_wrapper_is_told_who_the_ranks_are_in_machine_file_order() {
    for wrap in WRAPS {
        for ranks in 1..=4 {
            let place = Place::local(ranks);
            let ended = place.run(&foreign(wrap, &[]), &["python3", "-c", SHOW]);
            let name = wrap.split_once('=').unwrap().1;
            ended
                .assert_code(0)
                .assert_stderr(&[
                    &format!("dsmexec: profile wrap={name}: connections between dsmexec"),
                    "and between ranks are plaintext and unauthenticated",
                ])
                .assert_stderr(&[
                    "[0] dsmwrap: profile ",
                    name,
                    " is plaintext and unauthenticated",
                ]);
            check_shown(&by_rank(&ended.stdout));
        }
    }
}

#[test]
fn the_exit_codes_output_and_input_of_foreign_wrappers_are_those_of_their_programs() {
    for wrap in WRAPS {
        let place = Place::local(3);
        let ended = place.run(&foreign(wrap, &[]), &["sh", "-c", "printf 'no newline'"]);
        assert_eq!(
            ended.assert_code(0).lines(),
            ["[0] no newline", "[1] no newline", "[2] no newline"]
        );
        let ended = place.run(&foreign(wrap, &[]), &["cat"]);
        assert_eq!(ended.assert_code(0).stdout, "");
        let mut running = place.start(&foreign(wrap, &["--stdin=1"]), &["cat"]);
        running.feed(b"one\ntwo".to_vec());
        assert_eq!(running.wait().assert_code(0).stdout, "[1] one\n[1] two\n");
        let ended = place.run(&foreign(wrap, &[]), &["sh", "-c", "kill -9 $$"]);
        ended.assert_code(137).assert_stderr(&["was killed by signal 9 (SIGKILL)"]);
        let ended = place.run(&foreign(wrap, &[]), &["./nothing"]);
        ended.assert_code(69).assert_stderr(&[
            "dsmexec: rank 0 (localhost): ended with code 78 before it began: ",
            "dsmwrap: cannot find program ./nothing: no such file or directory (and 2 more ranks there)",
        ]);
    }
}

#[test]
fn foreign_ranks_end_together() {
    for wrap in WRAPS {
        let place = Place::local(2);
        let script = "echo program $$; exec tail -f /dev/null";
        let mut running = place.start(&foreign(wrap, &[]), &["sh", "-c", script]);
        let programs = Watched::last_words(&running.await_stdout("program", 2));
        programs[0].kill(Signal::KILL);
        running.wait().assert_code(137).assert_stderr(&["; ending the other ranks"]);
        Watched::assert_gone_within(&programs, GONE);
        let mut running = place.start(&foreign(wrap, &[]), &["sh", "-c", script]);
        let programs = Watched::last_words(&running.await_stdout("program", 2));
        running.signal(Signal::INT);
        running.wait().assert_code(130);
        Watched::assert_gone_within(&programs, GONE);
        Watched::assert_gone_within(&Watched::all_in(place.dir()), GONE);
    }
}

#[test]
fn foreign_ranks_do_not_outlive_a_dsmexec_that_is_killed() {
    let place = Place::local(2);
    let script = "echo program $$; exec tail -f /dev/null";
    let mut running = place.start(&foreign("--wrap=seed", &[]), &["sh", "-c", script]);
    let programs = Watched::last_words(&running.await_stdout("program", 2));
    running.signal(Signal::KILL);
    Watched::assert_gone_within(&programs, GONE);
}

#[test]
fn the_environment_and_directory_reach_foreign_ranks_here() {
    let place = Place::local(2);
    std::fs::create_dir(place.path("a b")).unwrap();
    let options = foreign("--wrap=seed", &["-x", "A=b c", "--wdir", "a b", "--peer=bcast"]);
    let script = r#"echo "$A ${PWD##*/} $DSM_PEER""#;
    let ended = place.run(&options, &["sh", "-c", script]);
    assert_eq!(ended.assert_code(0).lines(), ["[0] b c a b bcast", "[1] b c a b bcast"]);
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

/// A program of 2025 in Python: says its rank and a blob, and prints all blobs it is told.
const MEET: &str = r#"
import os, socket, struct, sys
rank, nodes = int(os.environ["DSMEXEC_RANKID"]), int(os.environ["DSMEXEC_RANKNUM"])
blob = bytes([65 + rank]) * (3 + rank if len(sys.argv) < 2 else int(sys.argv[1]))
at = (os.environ["DSMEXEC_HOSTNAME"], int(os.environ["DSMEXEC_PORTNUM"]))
if len(sys.argv) > 2:
    stranger = socket.create_connection(at)
    stranger.sendall(bytes.fromhex(sys.argv[2]))
    stranger.shutdown(socket.SHUT_WR)
    assert stranger.recv(1) == b""
server = socket.create_connection(at)
for byte in struct.pack("<iQ", rank, len(blob)) + blob[:3]:
    server.send(bytes([byte]))
server.sendall(blob[3:])
told = b""
while piece := server.recv(1 << 20):
    told += piece
print(os.environ.get("DSMEXEC_FD"), len(told), told[:9].decode(), told[-1:].decode())
"#;

#[test]
fn programs_of_2025_learn_what_all_have_said() {
    for (ranks, all) in [(1, "3 AAA A"), (2, "7 AAABBBB B"), (3, "12 AAABBBBCC C")] {
        let place = Place::local(ranks);
        let ended = place.run(&["--launch=ete7", "--tag=none"], &["python3", "-c", MEET]);
        let expected = vec![format!("None {all}"); ranks];
        assert_eq!(ended.assert_code(0).lines(), expected);
        assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
        ended.assert_stderr(&[
            "dsmexec: profile launch=ete7: connections between dsmexec and the programs",
        ]);
    }
    let place = Place::local(2);
    let ended = place.run(&["--launch=ete7", "--tag=none"], &["python3", "-c", MEET, "65536"]);
    assert_eq!(ended.assert_code(0).lines(), ["None 131072 AAAAAAAAA B"; 2]);
}

#[test]
fn strangers_at_the_meeting_of_2025_hurt_nobody() {
    let check = |bytes: &str, said: &str| {
        let place = Place::local(2);
        let options = ["--launch=ete7", "--tag=none"];
        let ended = place.run(&options, &["python3", "-c", MEET, "3", bytes]);
        assert_eq!(ended.assert_code(0).lines(), ["None 6 AAABBB B"; 2]);
        let told = "dsmexec: warning: launch=ete7: turned away ";
        ended.assert_stderr(&[told, ", last from 127.0.0.1, which ", said]);
    };
    check("02000000", "said the stream ended after 4 of 12 bytes of a program's contribution");
    check("020000000000000000000000", "said rank 2 in a job of 2 ranks");
    check(
        "0000000000000000000000ff",
        "said a blob of 18374686479671623680 bytes, expected at most 65536",
    );
}

#[test]
fn who_never_comes_to_the_meeting_of_2025_hurts_nobody() {
    let place = Place::local(3);
    place.run(&["--launch=ete7"], &["true"]).assert_code(0);
    place.run(&["--launch=ete7"], &[example("exemple")]).assert_code(0);
    let script = "test $DSMEXEC_RANKID = 1 && exit 4; exec tail -f /dev/null";
    place.sh(&["--launch=ete7"], script).assert_code(4);
}

#[test]
fn for_whom_the_meeting_of_2025_waits_is_told() {
    let place = Place::local(3);
    let script =
        format!("test $DSMEXEC_RANKID = 0 && exec python3 -c '{MEET}'; exec tail -f /dev/null");
    let mut running = place.start(&["--launch=ete7"], &["sh", "-c", &script]);
    let told = "warning: launch=ete7: 1 of 3 ranks have waited 10 s to hear of rank 1, 2";
    running.await_stderr(told, 1);
    running.signal(Signal::INT);
    running.wait().assert_code(130);
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

#[test]
fn programs_that_do_not_look_are_told_that_barriers_fail_among_foreign_ranks() {
    let ended = Place::local(2).run(&["--peer=bcast", "--tag=rank"], &[&example("hello")]);
    let told = "dsm: not with foreign ranks (DSM_PEER=bcast); locks, barriers and the heap fail here (told once)";
    let lines: Vec<_> = ended.stderr.lines().filter(|line| line.ends_with(told)).collect();
    assert_eq!(lines.len(), 2, "{}", ended.stderr);
}

/// A program of `bin`, which `make` builds.
fn example(name: &str) -> String {
    let path = format!("{}/../../bin/{name}", env!("CARGO_MANIFEST_DIR"));
    assert!(std::path::Path::new(&path).is_file(), "{path} is not there: run make");
    path
}
