use crate::host::{Host, Isolation};
use crate::job::Job;
use crate::keys::Keys;
use crate::network::Network;
use crate::process::{Ended, await_pidfd, run};
use crate::products::Products;
use crate::user::User;
use rustix::process::{Pid, PidfdFlags, getuid, pidfd_open};
use std::cell::Cell;
use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Hosts on which jobs can be started over a real sshd. Dropping it ends every process and removes every trace.
#[derive(Debug)]
pub struct Lab {
    pub(crate) hosts: Vec<Host>,
    network: Option<Network>,
    pub(crate) keys: Keys,
    pub(crate) port: u16,
    pub(crate) products: Products,
    jobs: Cell<u32>,
    dir: TempDir,
}

impl Lab {
    /// This machine, with an sshd on a loopback address. `None`, after saying why, where that cannot be. `tools` are
    /// programs to use instead of those of the same name in `bin/`.
    pub fn loopback(tools: &[&str]) -> Option<Self> {
        let isolation = if getuid().is_root() { Isolation::Accounts } else { Isolation::None };
        let mut lab = Self::new(isolation, tools)?;
        // The port is free when the kernel names it and may be taken when sshd asks for it.
        for _ in 0..8 {
            let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            lab.port = free.local_addr().unwrap().port();
            drop(free);
            let config = lab.keys.server_config("loopback", "127.0.0.1", lab.port);
            let mut host = Host::prepare("loopback", isolation, lab.dir.path(), &config);
            if host.listen() {
                lab.hosts.push(host);
                return Some(lab);
            }
        }
        panic!("sshd found no free port in 8 attempts");
    }

    /// Three hosts, `node1` to `node3`, with addresses, names, processes and sshds of their own.
    pub fn three_hosts(tools: &[&str]) -> Option<Self> {
        Self::on_hosts(3, 1, tools)
    }

    /// As many hosts, at most eight. The seed decides which packets their network spoils when it is told to.
    pub fn on_hosts(hosts: usize, seed: u64, tools: &[&str]) -> Option<Self> {
        if !getuid().is_root() {
            return cannot_run("hosts in network namespaces need root");
        }
        let mut lab = Self::new(Isolation::Machine, tools)?;
        let mut network = Network::lay(seed);
        let names = &NAMES[..hosts];
        let addresses = names.iter().enumerate();
        let addresses = addresses.map(|(host, name)| format!("{} {name}\n", network.address(host)));
        let addresses = addresses.collect::<String>();
        fs::write(lab.dir.path().join("hosts"), format!("127.0.0.1 localhost\n{addresses}"))
            .unwrap();
        for (n, name) in names.iter().enumerate() {
            let config = lab.keys.server_config(name, &network.address(n), lab.port);
            let mut host = Host::prepare(name, Isolation::Machine, lab.dir.path(), &config);
            network.connect(&host.pid());
            assert!(host.listen(), "port {} of a new host is taken\n{}", lab.port, host.report());
            lab.hosts.push(host);
        }
        lab.network = Some(network);
        Some(lab)
    }

    fn new(isolation: Isolation, tools: &[&str]) -> Option<Self> {
        if let Some(why) = missing(isolation) {
            return cannot_run(&why);
        }
        // Hosts have a /tmp of their own, so that what a job leaves in it is seen.
        let dir = TempDir::with_prefix_in("dsm-lab-", "/var/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        if getuid().is_root() {
            User::write_accounts(dir.path());
        }
        let keys = Keys::generate(dir.path(), User::all());
        let products = Products::stage(dir.path(), tools);
        Some(Self {
            hosts: Vec::new(),
            network: None,
            keys,
            port: SSH_PORT,
            products,
            jobs: Cell::new(0),
            dir,
        })
    }

    /// A job of this user, one rank per entry of `machines`, always over ssh.
    pub fn job(&self, user: User, machines: &[&str]) -> Job<'_> {
        Job::new(self, user, machines)
    }

    /// The machine file's entries for `ranks` ranks on this lab's hosts, in turn.
    pub fn machines(&self, ranks: usize) -> Vec<&'static str> {
        let hosts = match &self.network {
            Some(_) => &NAMES[..self.hosts.len()],
            None => &["localhost"],
        };
        hosts.iter().copied().cycle().take(ranks).collect()
    }

    /// For people.
    pub fn describe(&self) -> &'static str {
        match (&self.network, self.hosts.len()) {
            (None, _) => "this machine",
            (Some(_), 3) => "three hosts",
            (Some(_), _) => "hosts of their own",
        }
    }

    /// Which host the rank of a job on [`machines`](Self::machines) is on, from 0.
    pub fn host_of(&self, rank: usize) -> usize {
        rank % self.hosts.len()
    }

    /// The process whose network, mounts and names are a host's.
    pub(crate) fn pid_of(&self, host: usize) -> String {
        self.hosts[host].pid()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// How many hosts there are.
    pub(crate) fn size(&self) -> usize {
        self.hosts.len()
    }

    /// The address of a host, from 0, as the others reach it.
    pub fn address(&self, host: usize) -> String {
        self.network.as_ref().map_or("127.0.0.1".to_owned(), |network| network.address(host))
    }

    /// What joins the hosts.
    ///
    /// # Panics
    /// If this lab is [`loopback`](Self::loopback).
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("the lab has a network")
    }

    /// Takes the power from a host, from 0: its network is gone first, so that nobody is told.
    pub fn lose_host(&mut self, host: usize) {
        self.network().unplug(host);
        drop(self.hosts.remove(host));
    }

    /// The path of an example or test program.
    pub fn program(&self, name: &str) -> String {
        self.products.program(name).to_str().expect("the path is ours").to_owned()
    }

    /// A command of root's, or of the ordinary user who runs the tests, on the host with this number, from 0.
    pub fn on_host(&self, host: usize) -> Command {
        let user = if getuid().is_root() { User::Root } else { User::Ordinary };
        self.hosts[host].command(user, self.dir.path())
    }

    /// A command that reaches a host over ssh, from the first one.
    pub fn ssh(&self, user: User, host: &str) -> Command {
        let mut command = self.hosts[0].command(user, self.dir.path());
        command.args(self.keys.ssh_command(user, self.port).split(' ')).arg(host);
        command
    }

    /// Runs a command that must succeed and gives what it printed.
    pub fn run(&self, command: Command) -> Ended {
        run(command)
    }

    /// What must be gone after it: its directory, its processes, its unreachable route.
    pub fn traces(&self) -> (PathBuf, Vec<String>, String) {
        let route =
            self.network.as_ref().map(|network| format!("unreachable {}", network.subnet()));
        let pids = self.hosts.iter().map(Host::pid).collect();
        (self.dir.path().to_owned(), pids, route.unwrap_or_default())
    }

    /// A new directory of this user's.
    pub(crate) fn work_directory(&self, user: User) -> PathBuf {
        self.jobs.set(self.jobs.get() + 1);
        let path = self.dir.path().join(format!("work/{}", self.jobs.get()));
        fs::create_dir(&path).unwrap();
        user.give(&path);
        path
    }

    /// # Panics
    /// If processes of jobs, on any host, are alive after this time.
    pub fn expect_no_processes(&self, within: Duration) {
        let deadline = Instant::now() + within;
        for process in processes_from(self.dir.path()) {
            if let Ok(pidfd) = pidfd_open(process.0, PidfdFlags::empty()) {
                await_pidfd(&pidfd, deadline);
            }
        }
        let left = processes_from(self.dir.path());
        assert!(left.is_empty(), "processes left {within:?} after the end: {left:?}");
    }
}

/// Process ids and command lines of the processes whose executable is below `dir`.
fn processes_from(dir: &Path) -> Vec<(Pid, String)> {
    let entries = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pids = entries.filter_map(|name| Pid::from_raw(name.parse().ok()?));
    pids.filter_map(|pid| {
        let proc = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
        fs::read_link(proc.join("exe")).ok().filter(|exe| exe.starts_with(dir))?;
        let words = fs::read(proc.join("cmdline")).unwrap_or_default();
        Some((pid, String::from_utf8_lossy(&words).replace('\0', " ")))
    })
    .collect()
}

/// Why no lab can be made here.
fn missing(isolation: Isolation) -> Option<String> {
    if !Path::new("/usr/sbin/sshd").exists() {
        return Some("there is no sshd (Debian package openssh-server)".to_owned());
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if isolation != Isolation::None {
        command.args(["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork"]);
    }
    command.args(["ssh", "-V"]).stdin(Stdio::null()).stderr(Stdio::piped());
    match command.output() {
        Err(e) => Some(format!("cannot start setpriv: {e}")),
        Ok(output) if !output.status.success() => {
            Some(format!("{command:?} fails: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Ok(_) => None,
    }
}

/// Whether a program is there; says so where it is not.
pub fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    found.is_ok() || cannot_run::<()>(&format!("there is no {program}")).is_some()
}

/// Says so loudly, and fails where everything must run.
pub fn cannot_run<T>(why: &str) -> Option<T> {
    assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "this test cannot run here: {why}");
    eprintln!("NOT TESTED: {why}");
    None
}

pub(crate) const SSH_PORT: u16 = 22;
const NAMES: [&str; 8] = ["node1", "node2", "node3", "node4", "node5", "node6", "node7", "node8"];
