use crate::process::{Process, Stream};
use crate::user::User;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A place with an sshd of its own. As root it is a set of namespaces, so that it has its own processes, accounts and
/// `/run`, and if asked its own network, name and `/dev/shm`; killing the first process ends all of them.
#[derive(Debug)]
pub(crate) struct Host {
    sshd: Process,
    isolation: Isolation,
    dir: PathBuf,
}

/// What a host does not share with this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Nothing: all an ordinary user can do.
    None,
    /// Processes and mounts.
    Accounts,
    /// Processes, mounts, network, host name, `/dev/shm`, `/tmp`.
    Machine,
}

impl Host {
    /// Makes the namespaces. The sshd waits for [`listen`](Self::listen), so that the network can be laid first.
    pub(crate) fn prepare(name: &str, isolation: Isolation, dir: &Path, config: &Path) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        match isolation {
            Isolation::None => {}
            Isolation::Accounts => {
                command.args(UNSHARE);
            }
            Isolation::Machine => {
                command.args(UNSHARE).args(["--net", "--uts", "--ipc"]);
            }
        }
        command.args(["sh", "-c", SCRIPT, "host"]).arg(dir).arg(config);
        if isolation == Isolation::Machine {
            command.arg(name);
        }
        // Ctrl-C in a terminal is for who started the lab alone.
        command.process_group(0);
        let mut sshd = Process::start(command);
        sshd.wait_for("namespaces", START, |line| line.text == "prepared");
        Self { sshd, isolation, dir: dir.to_owned() }
    }

    /// Starts the sshd and waits until it listens; false if somebody else has its port.
    pub(crate) fn listen(&mut self) -> bool {
        self.sshd.input(Some(b"go\n"));
        let line = self.sshd.wait_for("listening sshd", START, |line| {
            line.stream == Stream::Stderr
                && (line.text.contains("Server listening on")
                    || line.text.contains("Cannot bind any address"))
        });
        line.text.contains("Server listening on")
    }

    /// The process whose namespaces are the host's.
    pub(crate) fn pid(&self) -> String {
        self.sshd.pid().as_raw_nonzero().to_string()
    }

    /// What sshd has to say, for people.
    pub(crate) fn report(&mut self) -> String {
        self.sshd.report()
    }

    /// Begins a command line of this user, on this host, in this directory.
    pub(crate) fn command(&self, user: User, directory: &Path) -> Command {
        let pid = self.pid();
        let mut words = Vec::new();
        if self.isolation != Isolation::None {
            let pids = format!("--pid=/proc/{pid}/ns/pid_for_children");
            words.extend([
                "nsenter".to_owned(),
                "--target".to_owned(),
                pid,
                "--mount".to_owned(),
                pids,
            ]);
        }
        if self.isolation == Isolation::Machine {
            words.extend(["--net", "--uts", "--ipc"].map(str::to_owned));
        }
        words.extend(user.words(&self.dir));
        words.extend(["env".to_owned(), "-C".to_owned(), directory.display().to_string()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        for name in ["DSM_SIZE", "DSM_BASE", "DSM_FAULT", "DSM_SSH", "DSM_BIN"] {
            command.env_remove(name);
        }
        command
    }
}

const START: Duration = Duration::from_secs(20);

/// `setpriv` before it and `--kill-child` in it let nothing survive the test, however that ends.
const UNSHARE: [&str; 6] =
    ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];

/// Arguments: the lab's directory, sshd's configuration, the host's name if it has one.
const SCRIPT: &str = r#"set -e
echo prepared
read -r go
if [ "$(id -u)" = 0 ]; then
    mount --bind "$1/passwd" /etc/passwd
    mount --bind "$1/group" /etc/group
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir /run/sshd
fi
if [ -n "${3-}" ]; then
    hostname "$3"
    mount --bind "$1/hosts" /etc/hosts
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    mount -t tmpfs -o mode=1777 tmpfs /tmp
fi
exec /usr/sbin/sshd -D -e -f "$2"
"#;
