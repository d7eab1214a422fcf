//! Our dsmexec with wrappers of the PR204 family, and with some that cannot be trusted.

use crate::harness::{Place, Running, Watched, text};
use rustix::process::Signal;
use std::time::Duration;

const FORMS: [&str; 3] = ["ref", "seed", "rank"];

/// A wrapper in Python that does what HOW says.
const WRAPPER: &str = r#"
import os, socket, struct, sys
how, form = os.environ["HOW"], os.environ["FORM"]
if how == "exit": sys.exit("no licence")
pause, held = socket.socketpair()
if how == "absent":
    print("absent", os.getpid(), flush=True)
    pause.recv(1)
words = sys.argv[3:]
at = (sys.argv[1], int(sys.argv[2]))
if how == "beside": silent = [socket.create_connection(at) for _ in range(20)]
launcher = socket.create_connection(at)
def number(value): return struct.pack("<i", value)
bound = socket.socket()
bound.bind(("127.0.0.1", 0))
port = 0 if how == "port" else bound.getsockname()[1]
name = b"x" * 1024 if how == "endless" else b"127.0.0.1".ljust(1024, b"\0")
if form == "ref":
    tokens = [int(token) for token in words[:2]]
    if how == "tokens": tokens[0] += 1
    length = -1 if how == "length" else 1024
    said = number(length) + name + number(os.getpid()) + number(port) + b"".join(map(number, tokens))
elif form == "seed":
    said = name + number(os.getpid()) + number(port)
else:
    rank = 7 if how == "rank" else int(words[0]) ^ (how == "other")
    said = number(rank) + name + number(port) + bytes(8)
if how == "half": said = said[:500]
if how != "silent": launcher.sendall(said)
if how == "half": launcher.close()
if how in ("silent", "half"): pause.recv(1)
if how == "babble": launcher.sendall(b"x" * 100000)
if how == "crash": os.kill(os.getpid(), 11)
if how == "early": sys.exit(9)
print("done")
"#;

fn wrapper(place: &Place, form: &str, how: &str) -> Running {
    place.script("wrapper", &format!("exec python3 -c '{WRAPPER}' \"$@\""));
    let (wrap, told_how) = (format!("--wrap={form}"), format!("HOW={how}"));
    let told = format!("FORM={form}");
    // Where the time is to be over it may be short; elsewhere the machine may be slow.
    let timeout = match how {
        "absent" | "silent" => "--connect-timeout=3",
        // Nobody else comes, which is known when it is over.
        "half" | "port" | "endless" | "length" | "tokens" | "rank" | "other" => {
            "--connect-timeout=5"
        }
        _ => "--connect-timeout=30",
    };
    let options = ["--wrap-command=./wrapper", timeout, "--tag=none"];
    let more = [wrap.as_str(), "-x", &told_how, "-x", &told];
    place.start(&[&options[..], &more].concat(), &["true"])
}

#[test]
fn wrappers_that_do_not_come_or_break_their_profile_are_told_of() {
    let check = |forms: &[&str], how: &str, code: i32, message: &str| {
        for form in forms {
            let place = Place::local(2);
            let ended = wrapper(&place, form, how).wait();
            ended.assert_code(code).assert_stderr(&["dsmexec: rank 0 (localhost)", message]);
            ended.assert_stderr(&["no rank was started"]);
        }
    };
    check(&FORMS, "exit", 69, ": ended with code 1 before it began: no licence");
    check(&["seed"], "absent", 69, ": its dsmwrap did not announce itself within 3 s");
    check(&["ref"], "silent", 69, ": its dsmwrap did not announce itself within 3 s");
    check(&FORMS, "half", 76, "cannot be understood: it said the stream ended after 500 of ");
    check(&FORMS, "port", 76, "cannot be understood: it said port 0 of 127.0.0.1");
    check(&FORMS, "endless", 76, "it said a machine name that does not end");
    check(&["ref"], "length", 76, "it said a name of 4294967295 bytes, expected at most 1024");
    check(&["ref"], "tokens", 76, "it gave back [1, ");
    check(&["rank"], "rank", 76, "it said rank 7 in a job of 2 ranks");
    check(&["rank"], "other", 76, "it called itself rank 1");
}

#[test]
fn wrappers_that_have_announced_themselves_are_programs_whatever_they_do() {
    let check = |how: &str, code: i32, stdout: &str| {
        for form in FORMS {
            let place = Place::local(2);
            let ended = wrapper(&place, form, how).wait();
            assert_eq!(ended.assert_code(code).stdout, stdout, "{ended}");
        }
    };
    check("well", 0, "done\ndone\n");
    check("babble", 0, "done\ndone\n");
    check("early", 9, "");
    check("crash", 139, "");
}

#[test]
fn strangers_that_knock_or_say_nothing_do_not_take_a_wrappers_place() {
    let place = Place::local(1);
    let knock =
        "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2]))).close()";
    let script = format!("python3 -c '{knock}' \"$@\"; exec python3 -c '{WRAPPER}' \"$@\"");
    place.script("wrapper", &script);
    for form in FORMS {
        let (wrap, told) = (format!("--wrap={form}"), format!("FORM={form}"));
        let options = [&wrap, "--wrap-command=./wrapper", "-x", "HOW=beside", "-x", &told];
        assert_eq!(place.run(&options, &["true"]).assert_code(0).lines().len(), 1);
    }
}

#[test]
fn a_wrapper_that_is_not_there_is_a_wrong_setting() {
    let place = Place::local(1);
    let check = |command: &str, message: &str| {
        let option = format!("--wrap-command={command}");
        let ended = place.run(&["--wrap=ref", &option], &["true"]);
        ended.assert_code(78).assert_stderr(&[message]);
    };
    check("./none", "dsmexec: cannot find the foreign dsmwrap ./none: it is no executable file");
    check("no-such-wrapper", "no-such-wrapper: it is no executable file on PATH");
}

#[test]
fn a_foreign_wrapper_is_reached_through_ssh_with_every_word_quoted() {
    let place = Place::local(2);
    std::fs::create_dir(place.path("it's here")).unwrap();
    let fake = place.script("ssh-like", "shift; exec sh -c \"$*\"");
    let ssh = format!("--ssh-command='{}'", text(&fake));
    let command = concat!("--wrap-command=", env!("CARGO_BIN_EXE_dsmwrap"));
    for wrap in ["--wrap=ref", "--wrap=seed", "--wrap=rank"] {
        let options =
            ["--ssh=always", &ssh, command, wrap, "-x", "A=$b 'c'", "--wdir", "it's here"];
        let script = r#"echo "$A ${PWD##*/} $1"; test $2 = 0"#;
        let check = |code: &str, expected: i32| {
            let ended = place.run(
                &[&options[..], &["--tag=none"]].concat(),
                &["sh", "-c", script, "sh", "a;\nb", code],
            );
            assert_eq!(
                ended.assert_code(expected).lines()[..1],
                ["$b 'c' it's here a;"],
                "{ended}"
            );
        };
        check("0", 0);
        check("1", 1);
    }
    let dry = place.run(&["--dry-run", "--ssh=always", "--wrap=seed"], &["hello", "a b"]);
    assert!(
        dry.assert_code(0).stdout.contains("profiles: launch=pr204 wrap=seed peer=native\n"),
        "{dry}"
    );
    assert!(dry.stdout.contains("dsmwrap HOST PORT hello 'a b'"), "{dry}");
}

#[test]
fn names_that_are_options_are_not_passed_on_through_ssh() {
    let place = Place::local(1);
    let ended = place.run(&["--ssh=always", "--wrap=ref", "--export=-u=1"], &["true"]);
    ended.assert_code(78).assert_stderr(&["dsmexec: -x -u: a name that begins with -"]);
}

#[test]
fn ctrl_c_ends_wrappers_that_have_not_announced_themselves() {
    let place = Place::local(2);
    let mut running = wrapper(&place, "ref", "absent");
    let wrappers = Watched::last_words(&running.await_stdout("absent", 2));
    running.signal(Signal::INT);
    running.wait().assert_code(130).assert_stderr(&["before any rank was started"]);
    Watched::assert_gone_within(&wrappers, Duration::from_secs(3));
}
