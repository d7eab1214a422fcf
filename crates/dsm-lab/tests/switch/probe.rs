//! Programs of a few lines that measure a line from both of its ends. The hosts have one clock.

use dsm_lab::{Lab, Process, Stream};
use std::process::Command;
use std::time::Duration;

/// What one host has seen of the datagrams another has sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagrams {
    pub(crate) arrived: usize,
    pub(crate) distinct: usize,
    /// Arrived after one that was sent later.
    pub(crate) late: usize,
    /// Not as they were sent.
    pub(crate) wrong: usize,
    pub(crate) least_ms: f64,
    pub(crate) median_ms: f64,
    pub(crate) most_ms: f64,
}

/// What became of bytes that were sent over a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes {
    pub(crate) sent: usize,
    pub(crate) received: usize,
    pub(crate) wrong: usize,
    pub(crate) mbit_per_s: f64,
}

impl Bytes {
    pub(crate) fn is_intact(self) -> bool {
        self.sent == self.received && self.wrong == 0
    }
}

/// Sends datagrams, one a millisecond, and says what arrived until 0.4 s after the last was sent.
pub(crate) fn datagrams(lab: &Lab, from: usize, to: usize, count: usize) -> Datagrams {
    let figures = measure(lab, from, to, ["datagrams", &count.to_string()]);
    Datagrams {
        arrived: whole(figures[0]),
        distinct: whole(figures[1]),
        late: whole(figures[2]),
        wrong: whole(figures[3]),
        least_ms: figures[4],
        median_ms: figures[5],
        most_ms: figures[6],
    }
}

/// Sends this many bytes over a connection.
pub(crate) fn stream(lab: &Lab, from: usize, to: usize, bytes: usize) -> Bytes {
    let figures = measure(lab, from, to, ["stream", &bytes.to_string()]);
    Bytes {
        sent: bytes,
        received: whole(figures[0]),
        wrong: whole(figures[1]),
        mbit_per_s: figures[2],
    }
}

/// Starts the receiver, then the sender; tells the receiver when that has ended.
fn measure(lab: &Lab, from: usize, to: usize, words: [&str; 2]) -> Vec<f64> {
    let mut receiver = Process::start(program(lab, to, ["receive", words[0], words[1], ""]));
    receiver.wait_for("receiver", LIMIT, |line| line.text == "ready");
    let sender = program(lab, from, ["send", words[0], words[1], &lab.address(to)]);
    Process::start(sender).finish(LIMIT).expect_code(0);
    let ended = receiver.finish(LIMIT);
    ended.expect_code(0);
    let line = ended.texts(Stream::Stdout).last().unwrap().to_owned();
    line.split(' ').map(|word| word.parse().unwrap()).collect()
}

fn program(lab: &Lab, host: usize, words: [&str; 4]) -> Command {
    let mut command = lab.on_host(host);
    command.args(["python3", "-c", PROGRAM]).args(words);
    command
}

fn whole(figure: f64) -> usize {
    format!("{figure:.0}").parse().unwrap()
}

const LIMIT: Duration = Duration::from_secs(60);

const PROGRAM: &str = r#"
import select, socket, struct, sys, time
role, kind, count, address = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
FILL = bytes(n % 251 for n in range(200))
PATTERN = bytes(n % 251 for n in range(251 * 64))

def send_datagrams():
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for n in range(count):
        out.sendto(struct.pack('!QQ', n, time.monotonic_ns()) + FILL, (address, 5000))
        select.select([], [], [], 0.001)
    select.select([], [], [], 0.4)

def receive_datagrams():
    into = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    into.bind(('', 5000))
    print('ready', flush=True)
    numbers, delays, late, wrong, last = set(), [], 0, 0, -1
    arrived = 0
    while True:
        ready = select.select([into, sys.stdin], [], [])[0]
        if into not in ready:
            break
        bytes_ = into.recv(4096)
        now = time.monotonic_ns()
        number, sent = struct.unpack('!QQ', bytes_[:16])
        arrived += 1
        late += number < last
        wrong += bytes_[16:] != FILL
        last = max(last, number)
        numbers.add(number)
        delays.append((now - sent) / 1e6)
    delays.sort()
    least, middle, most = (delays[0], delays[len(delays) // 2], delays[-1]) if delays else (0, 0, 0)
    print(arrived, len(numbers), late, wrong, least, middle, most)

def send_stream():
    with socket.create_connection((address, 5000)) as out:
        left = count
        while left:
            left -= out.send(PATTERN[:left] if (count - left) % len(PATTERN) == 0
                             else PATTERN[(count - left) % len(PATTERN):][:left])
        out.shutdown(socket.SHUT_WR)
        out.recv(1)

def receive_stream():
    listener = socket.create_server(('', 5000))
    print('ready', flush=True)
    connection = listener.accept()[0]
    began, received, wrong = time.monotonic(), 0, 0
    while True:
        bytes_ = connection.recv(65536)
        if not bytes_:
            break
        at = received % 251
        expected = (PATTERN[at:] + PATTERN * 5)[:len(bytes_)]
        if bytes_ != expected:
            wrong += sum(a != b for a, b in zip(bytes_, expected))
        received += len(bytes_)
    print(received, wrong, received * 8 / 1e6 / (time.monotonic() - began))

globals()[f'{role}_{kind if kind == "stream" else "datagrams"}']()
"#;
