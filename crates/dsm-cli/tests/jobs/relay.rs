//! Who sits between two ranks and changes what passes gets at most an end of the job out of it, never a wrong result.

use crate::harness::{Ended, Place, Running, text};
use dsm_net::handshake::FIRST_BYTES;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::collections::BTreeMap;
use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What is done once, to a piece of what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Flip,
    Drop,
    Twice,
    Swap,
    Truncate,
    /// Bytes that went the other way come in between.
    SpliceOther,
    /// Bytes that went this way before come instead.
    SpliceEarlier,
    Reset,
    /// Nothing passes any more, and the line is held. Not among those at random: nobody lets go.
    Hold,
}

/// One act at a place of the stream in one direction.
#[derive(Clone, Copy, Debug)]
struct Attack {
    kind: Kind,
    /// 0: to the lower rank, 1: to the higher one.
    way: usize,
    /// So many bytes pass this way before.
    at: usize,
    /// How many bytes it is about; fewer, if fewer are there.
    count: usize,
    bit: u8,
}

/// Everything that the threads of a relay share.
struct Relay {
    attack: Attack,
    /// What has passed each way on all connections, the beginning of it.
    heard: [Mutex<Vec<u8>>; 2],
    passed: [AtomicUsize; 2],
    done: Mutex<Option<Instant>>,
    over: AtomicBool,
    /// Strangers come to rank 0 when the connection is made again, before rank 1 is let through.
    besieges: bool,
    strangers: Mutex<Vec<TcpStream>>,
}

/// Where somebody sits between two ranks.
pub(crate) struct Line {
    /// Has the place of rank 0. Accepting does not wait.
    pub(crate) listener: TcpListener,
    /// Where rank 0 listens in truth, when it does.
    pub(crate) to: SocketAddr,
}

/// What came of it.
struct Outcome {
    code: i32,
    attacked: bool,
}

#[test]
fn who_relays_what_ranks_say_cannot_change_a_result() {
    let number = |name, otherwise| env::var(name).map_or(otherwise, |it| it.parse().unwrap());
    let (runs, seed) = (number("DSM_TEST_ATTACKS", 48), number("DSM_TEST_SEED", 1));
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<_, Vec<Outcome>>::new()));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let run = next.fetch_add(1, Ordering::Relaxed);
                    if run >= runs {
                        break;
                    }
                    let attack = Attack::random(seed, run);
                    let outcome = attack.run();
                    outcomes.lock().unwrap().entry(attack.kind).or_default().push(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    println!("{runs} attacks of seed {seed} in {:.1?}", began.elapsed());
    for (kind, all) in &outcomes {
        let with = |code| all.iter().filter(|it| it.code == code && it.attacked).count();
        let missed = all.iter().filter(|it| !it.attacked).count();
        let (right, lost, found) = (with(0), with(75), with(76));
        println!(
            "{kind:?}: {found} found out, {lost} lost contact, {right} right, {missed} too late"
        );
        // Those that come too early for records may leave the ranks to try again.
        let expected = match kind {
            Kind::Truncate => lost,
            Kind::Reset => right,
            _ => found,
        };
        assert!(expected >= all.len() / 4, "{kind:?} is not taken for what it is");
    }
    assert!(runs < KINDS.len() || outcomes.len() == KINDS.len());
}

#[test]
fn strangers_get_no_byte_while_a_connection_is_made_again() {
    let attack = Attack { kind: Kind::Reset, way: 0, at: STREAM / 3, count: 1, bit: 1 };
    let (relay, ended) = attack.make(true);
    assert_eq!(attack.judge(&ended), 0, "{ended}");
    ended.assert_stderr(&["dsm: rank 0: turned away ", " from strangers, last from 127.0.0.1"]);
    let strangers = relay.strangers.lock().unwrap();
    assert_eq!(strangers.len(), SIEGE, "rank 0 does not listen");
    for mut stranger in strangers.iter() {
        stranger.set_read_timeout(Some(HUNG)).unwrap();
        let mut answer = Vec::new();
        // A reset counts as silence: it carries no byte.
        if let Err(error) = stranger.read_to_end(&mut answer) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
        assert_eq!(answer, b"");
    }
}

/// Both kernels get their acknowledgements, so that only the ranks themselves can find out.
#[test]
fn who_swallows_what_ranks_say_and_holds_the_line_ends_the_job() {
    for (way, at) in [(0, STREAM / 3), (1, STREAM / 2)] {
        let attack = Attack { kind: Kind::Hold, way, at, count: 1, bit: 1 };
        let (relay, ended) = attack.make(false);
        assert!(relay.is_done());
        assert_eq!(attack.judge(&ended), 75, "{ended}");
        let told = [
            "rank 0 (localhost) pid ",
            " and rank 1 (localhost) pid ",
            " cannot reach each other: ",
        ];
        ended.assert_stderr(&told);
    }
}

/// In the middle of a handshake.
#[test]
fn who_swallows_a_handshake_ends_the_job() {
    let attack = Attack { kind: Kind::Hold, way: 0, at: 0, count: 1, bit: 1 };
    let (_, ended) = attack.make(false);
    assert_eq!(attack.judge(&ended), 75, "{ended}");
    ended.assert_stderr(&[
        " cannot reach each other: ",
        "rank 0 does not answer rank 1 at 127.0.0.1:",
    ]);
}

impl Attack {
    fn random(seed: usize, run: usize) -> Self {
        let mut state = ((seed as u64) << 32) + run as u64;
        let mut below = |limit: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
        };
        // Every fourth meets the handshake or what comes directly after it.
        let at = if below(4) == 0 { below(HANDSHAKE) } else { below(STREAM) };
        let count = 1 + if below(2) == 0 { below(64) } else { below(PIECE) };
        let bit = 1 << below(8);
        Self { kind: KINDS[run % KINDS.len()], way: below(2), at, count, bit }
    }

    /// A job with this attack, which ends in time in one of three ways.
    fn run(self) -> Outcome {
        let (relay, ended) = self.make(false);
        Outcome { code: self.judge(&ended), attacked: relay.is_done() }
    }

    fn make(self, besieges: bool) -> (Arc<Relay>, Ended) {
        let place = Place::local(2);
        let (mut running, line) = Line::of_job(&place, &[]);
        let relay = Relay::between(line, self, besieges);
        running.feed(b"go\n".to_vec());
        let ended = running.end_within(HUNG).unwrap_or_else(|hung| panic!("{self:?}: {hung}"));
        relay.over.store(true, Ordering::Relaxed);
        let done = *relay.done.lock().unwrap();
        let after = done.map_or(Duration::ZERO, |it| it.elapsed());
        assert!(after < Duration::from_secs(10), "{self:?}: {after:?} after it: {ended}");
        (relay, ended)
    }

    fn judge(self, ended: &Ended) -> i32 {
        let code = ended.status.code().unwrap_or(-1);
        assert!([0, 75, 76].contains(&code), "{self:?}: {ended}");
        let results = ended.stdout.lines().filter(|line| line.contains(" rounds, "));
        assert!(results.clone().all(|line| line.contains(" 0 wrong, ")), "{self:?}: {ended}");
        assert!(!ended.stderr.contains(", round "), "{self:?}: {ended}");
        if code == 0 {
            assert_eq!(results.count(), 2, "{self:?}: {ended}");
        } else {
            assert!(
                ["rank 0 (", "rank 1 ("].iter().any(|it| ended.stderr.contains(it)),
                "{self:?}: {ended}"
            );
        }
        code
    }
}

impl Line {
    /// Starts a job of two ranks, of which rank 0 waits for a line on its standard input, and takes its place.
    pub(crate) fn of_job(place: &Place, more: &[&str]) -> (Running, Self) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin/test/rotation");
        let options = [&["--encrypt=always", "--tag=none", "--stdin", "0"], more].concat();
        let words = ["python3", "-c", BEHIND_A_RELAY, text(&program), "1", ROUNDS];
        let mut running = place.start(&options, &words);
        let line = running.await_stdout("relay ", 1).remove(0);
        let mut numbers = line.split_whitespace().skip(1).map(|it| it.parse::<i32>().unwrap());
        let mut number = || numbers.next().unwrap();
        let (pid, fd, port) = (number(), number(), u16::try_from(number()).unwrap());
        let rank = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        let listener = TcpListener::from(pidfd_getfd(rank, fd, PidfdGetfdFlags::empty()).unwrap());
        listener.set_nonblocking(true).unwrap();
        (running, Self { listener, to: SocketAddr::from((ELSEWHERE, port)) })
    }
}

impl Relay {
    fn between(line: Line, attack: Attack, besieges: bool) -> Arc<Self> {
        let Line { listener, to } = line;
        let relay = Arc::new(Self {
            attack,
            heard: Default::default(),
            passed: Default::default(),
            done: Mutex::new(None),
            over: AtomicBool::new(false),
            besieges,
            strangers: Mutex::default(),
        });
        let accepting = Arc::clone(&relay);
        thread::spawn(move || accepting.accept(&listener, to));
        relay
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, to: SocketAddr) {
        while !self.over.load(Ordering::Relaxed) {
            let tick = Timespec::try_from(TICK).unwrap();
            poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&tick)).unwrap();
            let Ok((higher, _)) = listener.accept() else { continue };
            if self.besieges && self.is_done() && self.strangers.lock().unwrap().is_empty() {
                self.besiege(to);
            }
            // Nobody listens there when nobody is missing; then this end is closed too.
            let Ok(lower) = TcpStream::connect(to) else { continue };
            let ends =
                [(higher.try_clone(), lower.try_clone()), (lower.try_clone(), higher.try_clone())];
            let cut = Arc::new(AtomicBool::new(false));
            for (way, (from, to)) in ends.into_iter().enumerate() {
                let (relay, cut) = (Arc::clone(self), Arc::clone(&cut));
                let (from, to) = (from.unwrap(), to.unwrap());
                for end in [&from, &to] {
                    end.set_nonblocking(false).unwrap();
                    end.set_nodelay(true).unwrap();
                    end.set_read_timeout(Some(TICK)).unwrap();
                }
                thread::spawn(move || {
                    if !relay.pass(way, &from, &to, &cut) {
                        reset(&from, &to, &cut);
                    }
                });
            }
        }
    }

    /// Says many things to rank 0 when it listens again.
    fn besiege(&self, to: SocketAddr) {
        let until = Instant::now() + Duration::from_secs(2);
        let first = self.heard[0].lock().unwrap()[..FIRST_BYTES].to_vec();
        let mut wrong = first.clone();
        wrong[FIRST_BYTES - 1] ^= 1;
        let http = b"GET / HTTP/1.1\r\nHost: dsm\r\n\r\n".repeat(8);
        let said = [vec![], b"d".to_vec(), http, vec![0; 1 << 16], first, wrong];
        for bytes in said.iter().cycle().take(SIEGE) {
            // It has not heard of the loss yet.
            let connected = || TcpStream::connect(to).ok();
            let mut stream = connected();
            while stream.is_none() && Instant::now() < until {
                thread::yield_now();
                stream = connected();
            }
            let Some(mut stream) = stream else { return };
            // Who says too much may be cut off while it speaks.
            let _ = stream.write_all(bytes);
            self.strangers.lock().unwrap().push(stream);
        }
    }

    /// Passes on what goes one way until that ends; false if it does not end in order.
    fn pass(&self, way: usize, mut from: &TcpStream, mut to: &TcpStream, cut: &AtomicBool) -> bool {
        let (mut buffer, mut held) = (vec![0; PIECE], Vec::new());
        let was_done = self.is_done();
        loop {
            let mut bytes = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => buffer[..count].to_vec(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // Nobody speaks after the attack. Who holds a line for ever can hold up a job, as long as nobody
                    // ends it: this is about who lets go.
                    let attacked = *self.done.lock().unwrap();
                    let lets_go = self.attack.kind != Kind::Hold;
                    if lets_go && !was_done && attacked.is_some_and(|it| it.elapsed() > PATIENCE) {
                        return false;
                    }
                    if self.over.load(Ordering::Relaxed) {
                        break;
                    }
                    continue;
                }
                Err(_) => return false,
            };
            if self.attack.kind == Kind::Hold && way == self.attack.way && self.is_done() {
                continue;
            }
            let before = self.passed[way].fetch_add(bytes.len(), Ordering::Relaxed);
            let here = self.attack.at.wrapping_sub(before);
            if way == self.attack.way && here < bytes.len() {
                let original = bytes.clone();
                let ends = self.change(&mut bytes, here, &mut held);
                *self.done.lock().unwrap() = Some(Instant::now());
                self.hear(way, &original);
                match ends {
                    Some(Kind::Reset) => return false,
                    Some(_) => {
                        let _ = to.write_all(&bytes);
                        break;
                    }
                    None => (),
                }
            } else {
                self.hear(way, &bytes);
                bytes.append(&mut held);
            }
            if to.write_all(&bytes).is_err() {
                return false;
            }
        }
        if !cut.load(Ordering::Acquire) {
            let _ = to.shutdown(Shutdown::Write);
        }
        true
    }

    /// Changes what passes from `here` on; gives what ends the connection.
    fn change(&self, bytes: &mut Vec<u8>, here: usize, held: &mut Vec<u8>) -> Option<Kind> {
        let Attack { kind, way, count, bit, .. } = self.attack;
        let piece = here..(here + count).min(bytes.len());
        let foreign = |way: usize| {
            let heard = self.heard[way].lock().unwrap();
            heard[heard.len().saturating_sub(count)..].to_vec()
        };
        match kind {
            Kind::Flip => bytes[here] ^= bit,
            Kind::Drop => drop(bytes.drain(piece)),
            Kind::Twice => {
                let again = bytes[piece.clone()].to_vec();
                drop(bytes.splice(piece.end..piece.end, again));
            }
            // What is held comes after what is read next.
            Kind::Swap => held.extend(bytes.drain(piece)),
            Kind::Truncate => bytes.truncate(here),
            Kind::SpliceOther => drop(bytes.splice(here..here, foreign(1 - way))),
            Kind::SpliceEarlier => drop(bytes.splice(piece, foreign(way))),
            Kind::Hold => bytes.clear(),
            Kind::Reset => (),
        }
        [Kind::Truncate, Kind::Reset].contains(&kind).then_some(kind)
    }

    fn hear(&self, way: usize, bytes: &[u8]) {
        let mut heard = self.heard[way].lock().unwrap();
        let room = STREAM.saturating_sub(heard.len()).min(bytes.len());
        heard.extend_from_slice(&bytes[..room]);
    }

    fn is_done(&self) -> bool {
        self.done.lock().unwrap().is_some()
    }
}

/// Ends both connections with a reset, which is sent when the thread of the other direction has gone too.
fn reset(one: &TcpStream, other: &TcpStream, cut: &AtomicBool) {
    cut.store(true, Ordering::Release);
    for end in [one, other] {
        let _ = set_socket_linger(end, Some(Duration::ZERO));
        let _ = end.shutdown(Shutdown::Read);
    }
}

/// Rank 0 leaves its listening socket to who takes it from there, and listens ELSEWHERE, at the port that it knows for its own.
/// Arguments: the program, its arguments.
const BEHIND_A_RELAY: &str = r#"
import os, socket, sys
if os.environ["DSM_NODE_ID"] == "0":
    number = int(os.environ["DSM_LISTEN_FD"])
    known = socket.socket(fileno=number)
    hidden = socket.create_server(("127.0.0.2", known.getsockname()[1]))
    os.set_blocking(hidden.fileno(), os.get_blocking(number))
    left = os.dup(number)
    os.dup2(hidden.fileno(), known.detach())
    print("relay", os.getpid(), left, hidden.getsockname()[1], flush=True)
    sys.stdin.readline()
os.execv(sys.argv[1], sys.argv[1:])
"#;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const KINDS: [Kind; 8] = [
    Kind::Flip,
    Kind::Drop,
    Kind::Twice,
    Kind::Swap,
    Kind::Truncate,
    Kind::SpliceOther,
    Kind::SpliceEarlier,
    Kind::Reset,
];
const AT_ONCE: usize = 4;
/// As many strangers come when a connection is made again.
const SIEGE: usize = 30;
const ROUNDS: &str = "3";
/// About what passes each way.
const STREAM: usize = 1_500_000;
/// The messages of the handshake, and a few records.
const HANDSHAKE: usize = 400;
/// The most that is read at once.
const PIECE: usize = 16 << 10;
const TICK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(2);
/// A whole job, where nothing here takes a tenth of it on an idle machine.
const HUNG: Duration = Duration::from_secs(40);
