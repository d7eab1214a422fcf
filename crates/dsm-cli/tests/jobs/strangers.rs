//! Who is not of a job gets no byte of it, and does not keep it from its right result. Sockets and jobs are real; the
//! strangers here are processes of this machine, those of `tests/lab` are on another host.

use crate::harness::{Ended, Place, Running, Watched, text};
use dsm_core::Rank;
use dsm_core::wire::Preamble;
use dsm_net::frame::Decoder;
use dsm_net::handshake::{Calling, FIRST_BYTES};
use dsm_net::keys::{KEY_BYTES, PairKeys};
use dsm_net::launch::Job;
use rustix::process::Signal;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A job whose last rank comes to `dsm_init` when it is let, the others being there.
pub(crate) struct Siege {
    pub(crate) place: Place,
    pub(crate) running: Running,
    /// As rank 0 was told it, the key included.
    job: Job,
    /// The ranks' processes.
    pids: Vec<u32>,
}

impl Siege {
    fn lay(ranks: usize, program: &[&str]) -> Self {
        Self::lay_under(ranks, program, "exec \"$0\" \"$@\"")
    }

    /// `before` is what a shell does with the program.
    pub(crate) fn lay_under(ranks: usize, program: &[&str], before: &str) -> Self {
        let place = Place::new(&format!("localhost address={}\n", own_address()).repeat(ranks));
        let last = (ranks - 1).to_string();
        let path = built(program[0]);
        let words =
            [&["sh", "-c", before, "python3", "-c", PEEK, &last, text(&path)], &program[1..]];
        let mut running = place.start(&["--tag=rank", "--stdin", &last], &words.concat());
        let mut lines = running.await_stdout("is process", ranks);
        lines.sort_unstable();
        let pid = |line: &String| line.split_whitespace().next_back().unwrap().parse().unwrap();
        let pids = lines.iter().map(pid).collect();
        let mut decoder = Decoder::default();
        decoder.push(&fs::read(place.path("frame.0")).unwrap());
        let job = decoder.next_message::<Job>().unwrap().unwrap();
        Self { place, running, job, pids }
    }

    fn address(&self, rank: usize) -> SocketAddr {
        self.job.nodes[rank].address
    }

    fn key(&self) -> [u8; 32] {
        *self.job.key.as_ref().unwrap().bytes()
    }

    /// The job's key, and that of ranks 0 and 1.
    pub(crate) fn keys(&self) -> impl Iterator<Item = [u8; 32]> {
        [self.key(), *self.pair_keys(0).with(Rank(1))].into_iter()
    }

    /// The keys of a rank with the others.
    fn pair_keys(&self, own: u16) -> PairKeys {
        let (job, nodes) = (self.job.id, u16::try_from(self.job.nodes.len()).unwrap());
        let store = vec![0; usize::from(nodes + 1) * KEY_BYTES];
        PairKeys::derive(job, self.job.key.as_ref(), Rank(own), nodes + 1, store)
    }

    /// What `from` says first when it connects to `to`.
    fn first(&self, from: u16, to: u16) -> [u8; FIRST_BYTES] {
        let nodes = u16::try_from(self.job.nodes.len()).unwrap();
        let preamble = Preamble::new(Rank(from), Rank(to), nodes, u32::MAX);
        Calling::begin(self.pair_keys(from).with(Rank(to)), &preamble).unwrap().1
    }

    fn call(&self, rank: usize, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address(rank)).unwrap();
        // Who says too much may be cut off while it speaks.
        let _ = stream.write_all(bytes);
        stream
    }

    /// Lets the last rank come, and waits for the right result of `rotation`.
    #[track_caller]
    fn lift(self) -> Ended {
        let Self { place, mut running, .. } = self;
        running.feed(b"go\n".to_vec());
        let ended = running.wait();
        ended.assert_code(0);
        let right = ended.stdout.lines().filter(|line| line.contains(" 0 wrong, ")).count();
        assert_eq!(right, self.pids.len(), "{ended}");
        Watched::assert_gone_within(&Watched::all_in(place.dir()), Duration::from_secs(1));
        ended
    }
}

#[test]
fn sockets_are_bound_to_one_chosen_address() {
    let siege = Siege::lay(3, &ROTATION);
    let mut listening = Vec::new();
    for (pid, _) in processes_in(siege.place.dir()) {
        listening.extend(listeners_of(pid));
    }
    listening.sort_unstable();
    listening.dedup();
    let mut expected: Vec<_> = siege.job.nodes.iter().map(|node| node.address).collect();
    expected.sort_unstable();
    assert_eq!(listening, expected);
    assert!(expected.iter().all(|it| it.ip() == own_address()), "{expected:?}");
    siege.lift();
}

#[test]
fn a_port_scan_of_a_job_that_waits_receives_nothing() {
    let siege = Siege::lay(3, &ROTATION);
    let mut open = BTreeMap::new();
    for port in 1..=u16::MAX {
        let address = SocketAddr::from((own_address(), port));
        // Who listens at all addresses is here too, and may say what it likes.
        if let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            open.insert(port, stream);
        }
    }
    let ours: Vec<_> = siege.job.nodes.iter().map(|node| node.address.port()).collect();
    let found: Vec<_> = ours.iter().filter_map(|port| open.remove(port)).collect();
    assert_eq!(found.len(), 3, "the scan found {} of {ours:?}", found.len());
    let ended = siege.lift();
    found.iter().for_each(assert_silence);
    ended.assert_stderr(&["[0] dsm: rank 0: turned away ", " from strangers, last from 127.0.0.1"]);
}

#[test]
fn a_running_job_refuses_whoever_connects() {
    let mut siege = Siege::lay(2, &["endless"]);
    siege.running.feed(b"go\n".to_vec());
    siege.running.await_stdout("fighting", 2);
    for rank in 0..2 {
        let error = TcpStream::connect(siege.address(rank)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
    let open: Vec<_> = processes_in(siege.place.dir())
        .into_iter()
        .flat_map(|(pid, _)| listeners_of(pid))
        .collect();
    assert_eq!(open, [], "something of the job still listens");
    siege.running.signal(Signal::INT);
    siege.running.wait().assert_code(130);
}

#[test]
fn whatever_strangers_say_the_job_gets_its_right_result() {
    let other = Siege::lay(2, &ROTATION);
    let siege = Siege::lay(3, &ROTATION);
    let half = FIRST_BYTES / 2;
    let mut wrong_key = siege.first(2, 0);
    wrong_key[FIRST_BYTES - 1] ^= 1;
    let mut babble = siege.first(2, 0).repeat(1_000);
    babble[0] ^= 1;
    let said: [(&str, Vec<u8>); 11] = [
        ("nothing", vec![]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: dsm\r\n\r\n".repeat(8)),
        ("TLS", TLS_HELLO.repeat(8)),
        ("zeros", vec![0; 1 << 16]),
        ("much", babble),
        ("half a handshake", siege.first(2, 0)[..half].to_vec()),
        ("a wrong key", wrong_key.to_vec()),
        ("another job's handshake", other.first(1, 0).to_vec()),
        ("its own rank", siege.first(0, 0).to_vec()),
        ("a rank that is not", siege.first(3, 0).to_vec()),
        ("a handshake replayed at another rank", siege.first(2, 1).to_vec()),
    ];
    let calls: Vec<_> = said.iter().map(|(what, bytes)| (what, siege.call(0, bytes))).collect();
    // Each is turned away before the job goes on, so that nothing of this is luck.
    for (what, stream) in &calls {
        println!("a stranger says {what}");
        assert_silence(stream);
    }
    let slow = siege.call(0, b"");
    assert_slow_is_cut_off(&slow, &siege.first(2, 0));
    siege.lift().assert_stderr(&["[0] dsm: rank 0: turned away ", " from strangers"]);
    other.lift();
}

#[test]
fn who_says_a_first_message_again_is_not_answered_and_displaces_nobody() {
    let siege = Siege::lay(3, &ROTATION);
    // Rank 1 asks rank 0 as soon as it is there, and is answered when rank 0 is.
    let deadline = Instant::now() + Duration::from_secs(20);
    while established(siege.pids[1], siege.address(0)) == 0 {
        assert!(Instant::now() < deadline, "rank 1 does not call rank 0");
        std::thread::yield_now();
    }
    // Who came after rank 1 and is turned away shows that rank 0 takes callers, rank 1 before it.
    assert_silence(&siege.call(0, &[0; FIRST_BYTES]));
    let answered = |stream: &TcpStream| {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        (&mut &*stream).read(&mut [0; 1]).unwrap_or(0)
    };
    // The first of them has the key, so it may be rank 1, whose connection was lost. It never ends the handshake.
    let first = siege.first(1, 0);
    let again: Vec<_> = (0..4).map(|_| siege.call(0, &first)).collect();
    let answered: Vec<_> = again.iter().map(answered).collect();
    assert_eq!(answered, [1, 0, 0, 0], "bytes answered");
    siege.lift();
}

#[test]
fn ten_thousand_half_handshakes_cost_a_waiting_rank_nothing() {
    let siege = Siege::lay(2, &ROTATION);
    assert_silence(&siege.call(0, &[0; FIRST_BYTES]));
    let pid = siege.pids[0];
    let before = Use::of(pid);
    let (mut during, mut held) = (before, VecDeque::new());
    let half = siege.first(1, 0)[..FIRST_BYTES / 2].to_vec();
    let began = Instant::now();
    for n in 0..10_000 {
        held.push_back(siege.call(0, &half));
        if held.len() > 200 {
            assert_silence(&held.pop_front().unwrap());
        }
        if n % 100 == 0 {
            during = during.max(Use::of(pid));
        }
    }
    let took = began.elapsed();
    held.iter().for_each(assert_silence);
    let after = Use::of(pid);
    println!(
        "10,000 half handshakes in {took:.1?}: before {before}, at most {during}, after {after}"
    );
    assert!(during.descriptors <= before.descriptors + 66, "{during}");
    assert!(after.descriptors <= before.descriptors, "{after}");
    assert!(during.resident_kib <= before.resident_kib + 4_096, "{during}");
    siege.lift().assert_stderr(&["[0] dsm: rank 0: turned away ", " connections from strangers"]);
}

#[test]
fn strangers_do_not_use_up_the_descriptors_of_a_rank() {
    let siege = Siege::lay_under(2, &ROTATION, "ulimit -n 24 && exec \"$0\" \"$@\"");
    let held: Vec<_> = (0..60).map(|_| siege.call(0, b"")).collect();
    held.iter().for_each(assert_silence);
    siege.lift();
}

#[test]
fn machine_files_execute_nothing_and_are_read_in_bounded_time() {
    let check = |file: &[u8], message: &str| {
        let place = Place::local(1);
        fs::write(place.path("machines"), file).unwrap();
        let ended = place.run(&[], &["touch", "canary"]);
        ended.assert_code(78).assert_stderr(&[message, "expected "]);
        assert!(!place.path("canary").exists(), "{ended}");
        assert!(ended.took < Duration::from_secs(5) && ended.stderr.len() < 2_000, "{ended}");
    };
    check(b"localhost\n-oProxyCommand=touch${IFS}canary\n", "machines:2: host \"-oProxyCommand=");
    check(b"me@-oProxyCommand=touch\n", "machines:1: host \"-oProxyCommand=touch\"");
    check(b"-l@localhost\n", "machines:1: user \"-l\"");
    check(b"$(touch canary)\n", "machines:1: host \"$(touch\"");
    check(b"`touch${IFS}canary`\n", "machines:1: host \"`touch${IFS}canary`\"");
    check(b"a;touch\n", "machines:1: host \"a;touch\"");
    check(b"localhost\ra\n", "machines:1: ");
    check(b"local\0host\n", "machines:1: host \"local\\0host\"");
    check(b"localhost\n\xff\xfe\n", "machines:2: bytes that are not UTF-8");
    check(&vec![b'a'; 10 << 20], "machines:1: a line of over 4096 bytes");
    check(&b"node\n".repeat(1_000_000), "machines:65536: rank 65535");
    check(&b"#\n".repeat(1_000_000), "machines:262145: one more line");
}

#[test]
fn the_key_is_in_no_command_line_environment_or_log() {
    let mut siege = Siege::lay(2, &["endless"]);
    siege.running.feed(b"go\n".to_vec());
    siege.running.await_stdout("fighting", 2);
    let mut searched = 0;
    for (pid, _) in processes_in(siege.place.dir()) {
        for name in ["cmdline", "environ"] {
            // Who has ended meanwhile shows nothing.
            let Ok(bytes) = fs::read(format!("/proc/{pid}/{name}")) else { continue };
            assert!(
                !siege.keys().any(|it| holds(&bytes, &it)),
                "a key is in {name} of process {pid}"
            );
            searched += 1;
        }
    }
    assert!(searched >= 10, "dsmexec, two dsmwraps and two ranks have two of these each");
    let (key, keys) = (siege.key(), siege.keys().collect::<Vec<_>>());
    let Siege { place, running, .. } = siege;
    running.signal(Signal::INT);
    let ended = running.wait();
    let log = fs::read(place.path("logs/dsm_output.log")).unwrap();
    for bytes in [ended.stdout.as_bytes(), ended.stderr.as_bytes(), &log] {
        assert!(!bytes.is_empty() && !keys.iter().any(|it| holds(bytes, it)), "a key is shown");
    }
    // The search finds what is there: the test's own copy.
    assert!(holds(&fs::read(place.path("frame.0")).unwrap(), &key));
}

#[test]
fn the_core_of_a_rank_has_no_key_of_the_job_or_a_pair() {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.trim() != "core" {
        let (ci, why) = (std::env::var_os("CI"), "core files are written elsewhere");
        assert!(ci.is_none_or(|ci| ci != "true"), "this test cannot run here: {why}");
        println!("NOT TESTED: {why}: {pattern}");
        return;
    }
    for engine in ["uffd", "sigsegv"] {
        let before = format!("ulimit -c unlimited && DSM_FAULT={engine} exec \"$0\" \"$@\"");
        let mut siege = Siege::lay_under(2, &["endless"], &before);
        siege.running.feed(b"go\n".to_vec());
        siege.running.await_stdout("fighting", 2);
        let keys: Vec<_> = siege.keys().collect();
        let pid = rustix::process::Pid::from_raw(siege.pids[1].cast_signed()).unwrap();
        rustix::process::kill_process(pid, Signal::QUIT).unwrap();
        siege.running.wait().assert_code(131);
        let names = fs::read_dir(siege.place.dir()).unwrap().map(|it| it.unwrap().path());
        let cores: Vec<_> = names.filter(|it| text(it).contains("/core")).collect();
        assert_eq!(cores.len(), 1, "{cores:?}");
        let core = fs::read(&cores[0]).unwrap();
        println!("{engine}: searched {} bytes of a core for the key", core.len());
        let environment = b"DSM_NODE_ID=1\0";
        let is_whole = core.windows(environment.len()).any(|window| window == environment);
        assert!(core.starts_with(b"\x7fELF") && is_whole, "the core has no stack");
        assert!(!holds(&core, &keys[0]), "the job's key is in the core");
        assert!(!holds(&core, &keys[1]), "the key of the two ranks is in the core");
    }
}

#[test]
fn strangers_where_a_foreign_wrapper_is_awaited_do_not_keep_it_out() {
    for form in ["ref", "seed", "rank"] {
        for said in ["", "ff", HTTP_HEX] {
            let place = Place::local(2);
            place.script("wrapper", &format!("exec python3 -c '{BESIEGED_WRAPPER}' \"$@\""));
            let (wrap, form, said) =
                (format!("--wrap={form}"), format!("FORM={form}"), format!("SAID={said}"));
            let options = ["--wrap-command=./wrapper", &wrap, "-x", &form, "-x", &said];
            let ended = place.run(&options, &["true"]);
            ended.assert_code(0);
            if !said.ends_with('=') {
                ended.assert_stderr(&[
                    "dsmexec: warning: rank ",
                    " (localhost): before its dsmwrap came: turned away ",
                    " connections, last from 127.0.0.1, which said ",
                ]);
            }
            assert!(ended.took < Duration::from_secs(20), "{ended}");
            let left = Watched::all_in(place.dir());
            Watched::assert_gone_within(&left, Duration::from_secs(3));
        }
    }
}

#[test]
fn strangers_that_fill_the_meeting_of_2025_are_sent_away_in_time() {
    let place = Place::local(2);
    let options = ["--launch=ete7", "--tag=none"];
    let ended = place.run(&options, &["python3", "-c", BESIEGED_MEETING]);
    assert_eq!(ended.assert_code(0).lines(), ["2 AB", "2 AB"], "{ended}");
    assert!(ended.took < Duration::from_secs(40), "{ended}");
}

/// All that comes before the end is nothing.
#[track_caller]
fn assert_silence(stream: &TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = Vec::new();
    // A reset counts as silence: it carries no byte.
    if let Err(error) = (&mut &*stream).read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    assert_eq!(bytes, b"");
}

/// One byte a second: the wait for an answer that must not come is the time between two.
#[track_caller]
fn assert_slow_is_cut_off(stream: &TcpStream, hello: &[u8]) {
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let began = Instant::now();
    for byte in hello {
        match (&mut &*stream).write_all(&[*byte]).and_then(|()| (&mut &*stream).read(&mut [0])) {
            Ok(0) => break,
            Ok(_) => panic!("it was answered"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => (),
            Err(_) => break,
        }
    }
    assert!(began.elapsed() < Duration::from_secs(8), "held for {:?}", began.elapsed());
}

/// What a process holds of the machine.
#[derive(Clone, Copy)]
pub(crate) struct Use {
    pub(crate) resident_kib: u64,
    pub(crate) descriptors: usize,
}

impl Use {
    fn of(pid: u32) -> Self {
        Self::of_living(pid).unwrap()
    }

    /// None of a process that has ended meanwhile.
    pub(crate) fn of_living(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let resident_kib = line.trim().trim_end_matches(" kB").parse().ok()?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        Some(Self { resident_kib, descriptors })
    }

    pub(crate) fn max(self, other: Self) -> Self {
        let resident_kib = self.resident_kib.max(other.resident_kib);
        Self { resident_kib, descriptors: self.descriptors.max(other.descriptors) }
    }
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} KiB and {} descriptors", self.resident_kib, self.descriptors)
    }
}

/// An address of this machine where nobody else listens: scanning 127.0.0.1 would disturb jobs without a key.
fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 64, middle, low.clamp(1, 254))
}

fn built(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/test").join(name);
    assert!(path.is_file(), "there is no {}: run `make test-programs` first", text(&path));
    path
}

/// The processes that were started in this directory, and what they are.
pub(crate) fn processes_in(dir: &Path) -> Vec<(u32, PathBuf)> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let is_there = fs::read_link(entry.path().join("cwd")).ok()? == dir;
        is_there.then(|| Some((pid, fs::read_link(entry.path().join("exe")).ok()?)))?
    });
    pids.collect()
}

/// Where a process listens. Addresses of the kernel's tables are in the byte order of the machine.
fn listeners_of(pid: u32) -> Vec<SocketAddr> {
    sockets_of(pid).into_iter().filter(|it| it.state == "0A").map(|it| it.own).collect()
}

/// How many connections a process has to this address.
fn established(pid: u32, address: SocketAddr) -> usize {
    let to = |it: &Socket| it.state == "01" && it.other == address;
    sockets_of(pid).iter().filter(|it| to(it)).count()
}

struct Socket {
    own: SocketAddr,
    other: SocketAddr,
    state: String,
}

fn sockets_of(pid: u32) -> Vec<Socket> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let names: Vec<_> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let mut sockets = Vec::new();
    for table in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let name = format!("socket:[{}]", fields[9]);
            if names.contains(&name) {
                let (own, other) = (address_of(fields[1]), address_of(fields[2]));
                sockets.push(Socket { own, other, state: fields[3].to_owned() });
            }
        }
    }
    sockets
}

fn address_of(field: &str) -> SocketAddr {
    let (address, port) = field.split_once(':').unwrap();
    let port = u16::from_str_radix(port, 16).unwrap();
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).unwrap(), 16).unwrap();
        word.to_ne_bytes()
    });
    let bytes: Vec<u8> = words.flatten().collect();
    match <[u8; 4]>::try_from(&*bytes) {
        Ok(bytes) => SocketAddr::from((bytes, port)),
        Err(_) => SocketAddr::from((<[u8; 16]>::try_from(&*bytes).unwrap(), port)),
    }
}

/// Whether the key is in there, as it is or in hexadecimal.
fn holds(bytes: &[u8], key: &[u8; 32]) -> bool {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let forms = [key.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    forms
        .iter()
        .any(|form| bytes.windows(form.len()).any(|window| window[0] == form[0] && window == form))
}

/// Looks at what dsmwrap has said to the rank without taking it, and becomes the program; the last rank waits for a line
/// before that. Arguments: the last rank, the program, its arguments.
const PEEK: &str = r#"
import os, socket, sys
rank = os.environ["DSM_NODE_ID"]
line = socket.socket(fileno=int(os.environ["DSM_JOB_FD"]))
line.recv(1, socket.MSG_PEEK)
with open("frame." + rank, "wb") as frame:
    frame.write(line.recv(1 << 16, socket.MSG_PEEK))
line.detach()
print("rank", rank, "is process", os.getpid(), flush=True)
if rank == sys.argv[1]:
    sys.stdin.readline()
os.execv(sys.argv[2], sys.argv[2:])
"#;
/// A wrapper that comes after 100 strangers, half of whom say what SAID has in hexadecimal.
const BESIEGED_WRAPPER: &str = r#"
import os, socket, struct, sys
form, said = os.environ["FORM"], bytes.fromhex(os.environ["SAID"])
at = (sys.argv[1], int(sys.argv[2]))
strangers = []
for turn in range(100):
    try:
        stranger = socket.create_connection(at)
        strangers.append(stranger)
        if turn % 2: stranger.sendall(said)
    except OSError:
        pass
launcher = socket.create_connection(at)
number = lambda value: struct.pack("<i", value)
bound = socket.socket()
bound.bind(("127.0.0.1", 0))
port, name, words = bound.getsockname()[1], b"127.0.0.1".ljust(1024, b"\0"), sys.argv[3:]
launcher.sendall({
    "ref": lambda: number(1024) + name + number(os.getpid()) + number(port) + b"".join(number(int(it)) for it in words[:2]),
    "seed": lambda: name + number(os.getpid()) + number(port),
    "rank": lambda: number(int(words[0])) + name + number(port) + bytes(8),
}[form]())
"#;
/// A program of 2025; its rank 0 comes after more strangers than dsmexec keeps.
const BESIEGED_MEETING: &str = r#"
import os, socket, struct
rank = int(os.environ["DSMEXEC_RANKID"])
at = (os.environ["DSMEXEC_HOSTNAME"], int(os.environ["DSMEXEC_PORTNUM"]))
strangers = [socket.create_connection(at) for _ in range(600)] if rank == 0 else []
server = socket.create_connection(at)
server.sendall(struct.pack("<iQ", rank, 1) + bytes([65 + rank]))
told = b""
while piece := server.recv(100):
    told += piece
print(len(told), told.decode())
"#;
const HTTP_HEX: &str = "474554202f20485454502f312e310d0a0d0a";
const ROTATION: [&str; 3] = ["rotation", "1", "3"];
/// What begins a connection of a browser.
const TLS_HELLO: &[u8] =
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\0\x01\x02\x03\x04\x05\x06\x07\x08";
const DEADLINE: Duration = Duration::from_secs(30);
