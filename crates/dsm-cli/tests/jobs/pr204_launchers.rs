//! Our dsmwrap under launchers of the PR204 family, and under some that cannot be trusted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Nothing here takes a tenth of it on an idle machine.
const DEADLINE: Duration = Duration::from_secs(30);

fn number(value: i32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

fn record(rank: i32, machine: &[u8], port: i32) -> Vec<u8> {
    let mut name = machine.to_vec();
    name.resize(1024, 0);
    [number(rank), name, number(port), vec![0; 8]].concat()
}

/// dsmwrap under a launcher that this test is.
struct Guest {
    listener: TcpListener,
    child: Child,
}

impl Guest {
    /// `words` follow host and port.
    fn start(words: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let child = Command::new(env!("CARGO_BIN_EXE_dsmwrap"))
            .args([&["127.0.0.1", &port], words].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { listener, child }
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Its exit code, and its lines but that about the profile.
    fn end(self) -> (Option<i32>, String, String) {
        let output = self.child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let stderr = text(output.stderr);
        let rest: Vec<_> =
            stderr.lines().filter(|line| !line.starts_with("dsmwrap: profile ")).collect();
        (output.status.code(), text(output.stdout), rest.join("\n"))
    }

    #[track_caller]
    fn assert_refuses(self, code: i32, message: &str) {
        let (found, stdout, said) = self.end();
        assert_eq!((found, stdout.as_str()), (Some(code), ""), "{said}");
        assert!(said.contains(message) && said.lines().count() == 1, "{message}: {said}");
    }
}

fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn number_in(bytes: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// What a launcher of each form is told, and the port in it.
fn announced(form: &str, launcher: &mut TcpStream) -> (Vec<u8>, i32) {
    match form {
        "ref" => {
            let length = read(launcher, 4);
            let rest = read(launcher, number_in(&length, 0) as usize + 16);
            let port = number_in(&rest, rest.len() - 12);
            ([length, rest].concat(), port)
        }
        "seed" => {
            let bytes = read(launcher, 1032);
            let port = number_in(&bytes, 1028);
            (bytes, port)
        }
        _ => {
            let bytes = read(launcher, 1040);
            let port = number_in(&bytes, 1028);
            (bytes, port)
        }
    }
}

/// The arguments behind the port, and what the launcher says at once for rank 1 of 2.
fn form(form: &str) -> (&'static [&'static str], Vec<u8>) {
    match form {
        "ref" => (&["7", "-9"], Vec::new()),
        "seed" => (&[], [number(2), number(1)].concat()),
        _ => (&["1"], number(2)),
    }
}

const FORMS: [&str; 3] = ["ref", "seed", "rank"];

#[test]
fn dsmwrap_announces_itself_and_becomes_the_program_with_the_whole_block() {
    for name in FORMS {
        let (words, greeting) = form(name);
        let script = "echo $$; exec od -An -v -tx1 <&3";
        let guest = Guest::start(&[words, &["sh", "-c", script]].concat());
        let pid = guest.child.id() as i32;
        let mut launcher = guest.accept();
        launcher.write_all(&greeting).unwrap();
        let (bytes, port) = announced(name, &mut launcher);
        let expected = match name {
            "ref" => {
                let words = [number(10), b"127.0.0.1\0".to_vec(), number(pid), number(port)];
                [words.concat(), number(7), number(-9)].concat()
            }
            "seed" => {
                let mut host = b"127.0.0.1".to_vec();
                host.resize(1024, 0);
                [host, number(pid), number(port)].concat()
            }
            _ => record(1, b"127.0.0.1", port),
        };
        assert_eq!(bytes, expected, "{name}");
        // It listens before the block is sent, as other ranks may be told first.
        TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
        let records = [record(0, b"there", 4242), record(1, b"127.0.0.1", port)].concat();
        let head = if name == "ref" { [number(2), number(1)].concat() } else { Vec::new() };
        for byte in [head, records.clone()].concat() {
            launcher.write_all(&[byte]).unwrap();
        }
        let (code, stdout, said) = guest.end();
        assert_eq!((code, said.as_str()), (Some(0), ""));
        let (first, dump) = stdout.split_once('\n').unwrap();
        assert_eq!(first, pid.to_string(), "the program is the process that was announced");
        let block = [number(2), number(1), records].concat();
        let hex: Vec<_> = block.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(dump.split_whitespace().collect::<Vec<_>>(), hex, "{name}");
    }
}

/// A launcher says its greeting, hears the announcement and says `rest`, which is given the rank's port.
#[track_caller]
fn check_launcher(name: &str, rest: impl Fn(i32) -> Vec<u8>, code: i32, message: &str) {
    let (words, greeting) = form(name);
    let guest = Guest::start(&[words, &["true"]].concat());
    let mut launcher = guest.accept();
    launcher.write_all(&greeting).unwrap();
    let (_, port) = announced(name, &mut launcher);
    // It may have heard enough before it was told everything.
    let _ = launcher.write_all(&rest(port));
    drop(launcher);
    guest.assert_refuses(code, message);
}

#[test]
fn blocks_that_lie_are_refused_in_one_line() {
    for name in FORMS {
        let head = if name == "ref" { [number(2), number(1)].concat() } else { Vec::new() };
        let with = |records: Vec<u8>| move |_| [head.clone(), records.clone()].concat();
        let good = |rank, port| record(rank, b"there", port);
        let check = |records, message| check_launcher(name, with.clone()(records), 76, message);
        check([good(0, 1), good(0, 2)].concat(), "two records of rank 0");
        check([good(0, 1), good(2, 1)].concat(), "rank 2 in a job of 2 ranks");
        check([good(0, 0), good(1, 1)].concat(), "port 0 of there, expected 1 to 65535");
        check([good(0, 65_536), good(1, 1)].concat(), "port 65536 of there");
        check(
            [record(0, &[b'x'; 1024], 1), good(1, 1)].concat(),
            "a machine name that does not end",
        );
        check([record(0, b"a b", 1), good(1, 1)].concat(), "a machine name that is not one");
        check(
            [good(0, 1), good(1, 1)].concat(),
            "it has rank 1 listen at port 1, and this rank listens",
        );
        check(good(0, 1)[..1039].to_vec(), "bytes of the launch block");
        check_launcher(name, |_| Vec::new(), 75, "before it had said who the ranks are: it closed");
    }
}

#[test]
fn heads_that_lie_are_refused_in_one_line() {
    let check = |words: &[&str], head: Vec<u8>, message: &str| {
        let guest = Guest::start(&[words, &["true"]].concat());
        let mut launcher = guest.accept();
        launcher.write_all(&head).unwrap();
        // Open: what has been said is enough.
        guest.assert_refuses(76, message);
    };
    for (nodes, message) in [
        (0, "a job of 0 ranks, expected 1 to 256"),
        (-1, "a job of -1 ranks"),
        (257, "a job of 257 ranks"),
        (i32::MAX, "a job of 2147483647 ranks"),
    ] {
        check(&["1", "2"], [number(nodes), number(0)].concat(), message);
        check(&[], [number(nodes), number(0)].concat(), message);
        check(&["0"], number(nodes), message);
    }
    check(&["1", "2"], [number(2), number(2)].concat(), "rank 2 in a job of 2 ranks");
    check(&[], [number(2), number(-1)].concat(), "rank -1 in a job of 2 ranks");
    check(&["5"], number(2), "rank 5 in a job of 2 ranks");
}

#[test]
fn what_dsmwrap_cannot_do_it_says_before_it_announces_itself() {
    let check = |arguments: &[&str], variable: &str, code: i32, message: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dsmwrap"));
        command.args(arguments).env("DSM_WRAP_PROFILE", variable).current_dir("/");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.starts_with("dsmwrap: ") && said.contains(message), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    };
    check(&["host", "1", "2", "3"], "", 64, "profile ref: expected HOST PORT TOKEN1");
    check(&["host", "x", "true"], "", 64, "started by dsmexec, never by hand");
    check(&[], "", 64, "started by dsmexec, never by hand");
    check(&["1.2.3.4", "1", "true"], "other", 78, "DSM_WRAP_PROFILE is \"other\"");
    check(&["127.0.0.1", "1", "./none"], "", 78, "cannot find program ./none");
    check(&["127.0.0.1", "1", "/etc/passwd"], "", 77, "cannot execute /etc/passwd");
    check(&["no such host.invalid", "1", "1", "true"], "rank", 68, "cannot find an IPv4 address");
}

#[test]
fn a_launcher_that_listens_late_is_waited_for_and_one_that_never_does_for_ten_seconds() {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
    let bound = || {
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        bind(&socket, &"127.0.0.1:0".parse::<std::net::SocketAddrV4>().unwrap()).unwrap();
        let address = std::net::SocketAddrV4::try_from(getsockname(&socket).unwrap()).unwrap();
        (socket, address.port().to_string())
    };
    let start = |port: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dsmwrap"));
        command.args(["127.0.0.1", port, "true"]).stdin(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let (_refusing, port) = bound();
    let refused = start(&port);
    let (late, port) = bound();
    let mut waiting = start(&port);
    rustix::net::listen(&late, 1).unwrap();
    let (launcher, _) = TcpListener::from(late).accept().unwrap();
    let mut line = String::new();
    BufReader::new(waiting.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("dsmwrap: profile seed: the connection to 127.0.0.1:"), "{line}");
    drop(launcher);
    assert_eq!(waiting.wait().unwrap().code(), Some(75));
    let output = refused.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.starts_with("dsmwrap: cannot connect to the launcher at 127.0.0.1:"), "{said}");
}
