//! Runs a test as a job of real processes: the test starts itself once per rank.

use dsm::Node;
use dsm_net::frame;
use dsm_net::launch::{JOB_FD, Job, JobId, JobKey, LISTEN_FD};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::env;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

/// Runs `body` on `nodes` ranks, each a process, with these variables in their environment.
/// Called by a test of the same name in every process.
pub(crate) fn run(nodes: u16, environment: &[(&str, &str)], body: impl FnOnce(&Node)) {
    if is_rank() {
        let node = Node::join().unwrap_or_else(|error| panic!("cannot join: {error}"));
        body(&node);
        node.finalize().unwrap();
        return;
    }
    let (succeeded, text) = outcome(nodes, environment);
    assert!(succeeded, "a rank failed\n{text}");
}

/// Every rank writes its share of the pages, and all read all of them after a barrier, in rotation. Each rank does
/// `after` each page that it has read.
#[allow(dead_code, reason = "not every test file has pages to rotate")]
pub(crate) fn rotate(node: &Node, pages: usize, rounds: usize, after: impl Fn(usize)) {
    let words_a_page = node.page_bytes() / 8;
    let words = node.words::<AtomicU64>(0, pages * words_a_page).unwrap();
    let (rank, nodes) = (usize::from(node.rank()), usize::from(node.nodes()));
    let value = |page: usize, round: usize| (page * 100 + round) as u64;
    for round in 1..=rounds {
        for page in (0..pages).filter(|page| (page + round) % nodes == rank) {
            for word in &words[page * words_a_page..][..words_a_page] {
                word.store(value(page, round), SeqCst);
            }
        }
        node.barrier().unwrap();
        for page in 0..pages {
            let words = &words[page * words_a_page..][..words_a_page];
            let wrong = words.iter().position(|word| word.load(SeqCst) != value(page, round));
            assert_eq!(wrong, None, "page {page} in round {round}");
            after(page);
        }
        node.barrier().unwrap();
    }
}

/// Whether this process is a rank of the test, which the test started.
pub(crate) fn is_rank() -> bool {
    env::var_os(JOB_FD).is_some()
}

/// Starts this test as `nodes` ranks; whether all succeeded, and what they printed.
pub(crate) fn outcome(nodes: u16, environment: &[(&str, &str)]) -> (bool, String) {
    let listeners: Vec<_> = (0..nodes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ranks: Vec<_> = (0..nodes).map(|rank| Rank::start(rank, &listeners, environment)).collect();
    let until = Instant::now() + DEADLINE;
    let ended = ranks.iter().all(|rank| rank.wait(until));
    let outputs: Vec<_> = ranks.into_iter().map(Rank::finish).collect();
    let succeeded = outputs.iter().all(|(succeeded, _)| *succeeded);
    let text: String = outputs.into_iter().map(|(_, text)| text).collect();
    assert!(ended, "the job did not end within {DEADLINE:?}\n{text}");
    (succeeded, text)
}

struct Rank {
    rank: u16,
    child: Child,
    /// Stands for dsmwrap: the rank ends when it closes.
    _supervisor: UnixStream,
}

impl Rank {
    fn start(rank: u16, listeners: &[TcpListener], environment: &[(&str, &str)]) -> Self {
        let nodes = listeners.iter().map(|listener| dsm_net::launch::Node {
            host: "localhost".to_owned(),
            address: listener.local_addr().unwrap(),
        });
        // Foreign ranks know no key.
        let is_foreign = environment.iter().any(|(variable, _)| *variable == "DSM_PEER");
        let key = (!is_foreign).then(|| JobKey::new([9; 32]));
        let job = Job { id: JobId(1), key, rank, nodes: nodes.collect() };
        let (mut supervisor, socket) = UnixStream::pair().unwrap();
        supervisor.write_all(&frame::encode(&job)).unwrap();
        let listener = &listeners[usize::from(rank)];
        let inherited = FdFlags::empty();
        fcntl_setfd(&socket, inherited).unwrap();
        fcntl_setfd(listener, inherited).unwrap();
        let test = thread::current().name().unwrap().to_owned();
        let child = Command::new(env::current_exe().unwrap())
            .args([&test, "--exact", "--nocapture", "--test-threads=1"])
            .env(JOB_FD, socket.as_raw_fd().to_string())
            .env(LISTEN_FD, listener.as_raw_fd().to_string())
            .env("DSM_SIZE", "64M")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        fcntl_setfd(listener, FdFlags::CLOEXEC).unwrap();
        Self { rank, child, _supervisor: supervisor }
    }

    fn wait(&self, until: Instant) -> bool {
        let pid = Pid::from_child(&self.child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::try_from(left).unwrap())).unwrap() == 1
    }

    /// Whether the rank succeeded, and what it wrote. A rank that still runs is ended.
    fn finish(mut self) -> (bool, String) {
        let _ = self.child.kill();
        let output = self.child.wait_with_output().unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let text = format!("--- rank {}: {}\n{out}{err}", self.rank, output.status);
        (output.status.success(), text)
    }
}
