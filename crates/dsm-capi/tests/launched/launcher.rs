//! A launcher of the PR204 family, written from its bytes alone: it makes sockets, starts programs with
//! nothing but their variables, and says what a test wants said.

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

/// How a program learns its two descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// By the only two variables of its environment.
    Variables,
    /// They are 3 and 4, and its environment is empty.
    Bare,
}

/// A program that was started, and the launcher's end of its connection.
pub(crate) struct Started {
    pub(crate) link: UnixStream,
    child: Child,
}

/// The bound sockets of a job's ranks, which do not listen yet.
pub(crate) struct Sockets(Vec<OwnedFd>);

impl Sockets {
    pub(crate) fn of(nodes: usize) -> Self {
        Self((0..nodes).map(|_| bound_socket()).collect())
    }

    /// What a rank of this job is told.
    pub(crate) fn block(&self, rank: usize) -> Vec<u8> {
        let mut block = [number(self.0.len()), number(rank)].concat();
        for (rank, socket) in self.0.iter().enumerate() {
            block.extend(record(
                rank,
                if rank % 2 == 0 { "127.0.0.1" } else { "localhost" },
                port(socket),
            ));
        }
        block
    }

    /// Starts a rank; it is told nothing yet.
    pub(crate) fn start(&self, rank: usize, naming: Naming, program: &[&str]) -> Started {
        let (link, theirs) = UnixStream::pair().unwrap();
        let theirs = above_ten(theirs.into());
        let child = start(&theirs, &self.0[rank], naming, program);
        Started { link, child }
    }
}

impl Started {
    /// Closes the connection, and waits for the program to end.
    pub(crate) fn finish(self) -> Said {
        drop(self.link);
        Said::of(self.child.wait_with_output().unwrap())
    }

    /// Waits for the program to end; the connection stays open.
    pub(crate) fn wait(self) -> Said {
        Said::of(self.child.wait_with_output().unwrap())
    }

    pub(crate) fn tell(&mut self, bytes: &[u8]) {
        // A program that has refused what came before reads no more.
        let _ = self.link.write_all(bytes);
    }
}

/// What became of a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Starts a program with these two descriptors, whatever they are; to become 3 and 4 they must be
/// [`above_ten`]. The program is ended after half a minute.
pub(crate) fn start(
    launcher: &OwnedFd,
    listener: &OwnedFd,
    naming: Naming,
    program: &[&str],
) -> Child {
    let numbers = [launcher, listener].map(|descriptor| descriptor.as_raw_fd().to_string());
    let mut command = Command::new("/usr/bin/timeout");
    command.args(["--signal=KILL", "30"]).env_clear();
    match naming {
        Naming::Variables => {
            command.env("DSMEXEC_FD", &numbers[0]).env("MASTER_FD", &numbers[1]);
        }
        Naming::Bare => {
            let script = r#"eval "exec 3<&$1 4<&$2 $1<&- $2<&-"; shift 2; exec env -i "$@""#;
            command.args(["bash", "-c", script, "bash"]).args(&numbers);
        }
    }
    command.args(program);
    spawn_inheriting(&mut command, &[launcher, listener])
}

/// Starts a program with its own descriptors alone and these variables.
pub(crate) fn start_told(variables: &[(&str, &str)], program: &[&str]) -> Child {
    let mut command = Command::new("/usr/bin/timeout");
    command.args(["--signal=KILL", "30"]).env_clear().envs(variables.iter().copied());
    spawn_inheriting(command.args(program), &[])
}

fn spawn_inheriting(command: &mut Command, inherited: &[&OwnedFd]) -> Child {
    // Other tests of this process start programs too.
    let _alone = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    let set = |flags| inherited.iter().for_each(|fd| fcntl_setfd(fd, flags).unwrap());
    set(FdFlags::empty());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    set(FdFlags::CLOEXEC);
    child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}

/// A TCP socket with a port of its own that nobody listens on; its descriptor is neither 3 nor 4.
pub(crate) fn bound_socket() -> OwnedFd {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let socket = above_ten(socket.unwrap());
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    socket
}

/// The same file under a number that no shell redirection of a test is about.
pub(crate) fn above_ten(descriptor: OwnedFd) -> OwnedFd {
    rustix::io::fcntl_dupfd_cloexec(&descriptor, 10).unwrap()
}

pub(crate) fn null() -> OwnedFd {
    above_ten(File::open("/dev/null").unwrap().into())
}

pub(crate) fn record(rank: usize, machine: &str, port: u16) -> Vec<u8> {
    let mut name = [0; 1024];
    name[..machine.len()].copy_from_slice(machine.as_bytes());
    let port = number(usize::from(port));
    [&number(rank)[..], &name, &port, &[0; 8]].concat()
}

pub(crate) fn number(value: usize) -> [u8; 4] {
    i32::try_from(value).unwrap().to_le_bytes()
}

pub(crate) fn port(socket: &OwnedFd) -> u16 {
    SocketAddr::try_from(getsockname(socket).unwrap()).unwrap().port()
}

/// A program that `make` and `make test-programs` build.
pub(crate) fn built(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let program: PathBuf = root.join("bin").join(path);
    assert!(program.exists(), "there is no bin/{path}: run `make test-programs examples` first");
    program.to_str().unwrap().to_owned()
}

static SPAWNING: Mutex<()> = Mutex::new(());
