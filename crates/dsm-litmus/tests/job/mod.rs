//! Runs a program of this package as a job of real ranks.

use dsm_net::frame;
use dsm_net::launch::{JOB_FD, Job, JobId, JobKey, LISTEN_FD, Node};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How a rank ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `program` with these arguments and this fault engine on so many ranks, in a directory.
pub(crate) fn run(program: &str, nodes: u16, fault: &str, args: &[&str], dir: &Path) -> Vec<Ended> {
    let listeners: Vec<_> = (0..nodes).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let start = |rank| Rank::start(program, rank, &listeners, fault, args, dir);
    let ranks: Vec<_> = (0..nodes).map(start).collect();
    let until = Instant::now() + DEADLINE;
    let in_time = ranks.iter().all(|rank| rank.wait(until));
    let ended: Vec<_> = ranks.into_iter().map(Rank::finish).collect();
    assert!(in_time, "the job did not end within {DEADLINE:?}\n{ended:#?}");
    ended
}

struct Rank {
    child: Child,
    /// Stands for dsmwrap: the rank ends when it closes.
    _supervisor: UnixStream,
}

impl Rank {
    fn start(
        program: &str,
        rank: u16,
        listeners: &[TcpListener],
        fault: &str,
        args: &[&str],
        dir: &Path,
    ) -> Self {
        let nodes = listeners.iter().map(|listener| Node {
            host: "localhost".to_owned(),
            address: listener.local_addr().unwrap(),
        });
        let job =
            Job { id: JobId(1), key: Some(JobKey::new([9; 32])), rank, nodes: nodes.collect() };
        let (mut supervisor, socket) = UnixStream::pair().unwrap();
        supervisor.write_all(&frame::encode(&job)).unwrap();
        let listener = &listeners[usize::from(rank)];
        fcntl_setfd(&socket, FdFlags::empty()).unwrap();
        fcntl_setfd(listener, FdFlags::empty()).unwrap();
        let child = Command::new(program)
            .args(args)
            .current_dir(dir)
            .env(JOB_FD, socket.as_raw_fd().to_string())
            .env(LISTEN_FD, listener.as_raw_fd().to_string())
            .env("DSM_FAULT", fault)
            .env("DSM_SIZE", "64M")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        fcntl_setfd(listener, FdFlags::CLOEXEC).unwrap();
        Self { child, _supervisor: supervisor }
    }

    fn wait(&self, until: Instant) -> bool {
        let pidfd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).unwrap();
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::try_from(left).unwrap())).unwrap() == 1
    }

    /// A rank that still runs is ended.
    fn finish(mut self) -> Ended {
        let _ = self.child.kill();
        let output = self.child.wait_with_output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

const DEADLINE: Duration = Duration::from_secs(180);
