use crate::lab::Lab;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::path::{Path, PathBuf};

/// A process of a lab's jobs, or one of ssh's between its hosts.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    /// On which host, from 0.
    pub(crate) host: usize,
    /// Of whom the process is, if it is a rank.
    pub(crate) rank: Option<usize>,
}

/// What a process does in a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Exec,
    Wrap,
    /// A rank's program, or what it is before it is executed.
    Program,
    Ssh,
    /// What an sshd has started for one connection.
    SshServer,
}

impl Member {
    /// False if it is no more.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        pidfd_send_signal(&self.pidfd, signal).is_ok()
    }
}

/// Everyone there is.
pub(crate) fn crew(lab: &Lab) -> Vec<Member> {
    let networks: Vec<PathBuf> =
        (0..lab.size()).map(|host| network_of(&lab.pid_of(host)).unwrap_or_default()).collect();
    let names = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| member(lab, &networks, &name)).collect()
}

/// All processes of a host, sshd and its namespaces' first ones too.
pub(crate) fn inhabitants(lab: &Lab, host: usize) -> Vec<Pid> {
    let network = network_of(&lab.pid_of(host));
    let names = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let lives_here = |name: &String| network.is_some() && network_of(name) == network;
    names.filter(lives_here).filter_map(|name| Pid::from_raw(name.parse().ok()?)).collect()
}

fn member(lab: &Lab, networks: &[PathBuf], name: &str) -> Option<Member> {
    let pid = Pid::from_raw(name.parse().ok()?)?;
    // Opened before it is looked at, so that what is seen is of this process.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let proc = Path::new("/proc").join(name);
    let exe = fs::read_link(proc.join("exe")).ok()?;
    let file_name = exe.file_name()?.to_str()?;
    let is_ours = exe.starts_with(lab.dir());
    let role = match file_name {
        "dsmexec" if is_ours => Role::Exec,
        "dsmwrap" if is_ours => Role::Wrap,
        "ssh" => Role::Ssh,
        "sshd" => Role::SshServer,
        _ if is_ours => Role::Program,
        _ => return None,
    };
    if matches!(role, Role::Exec | Role::Wrap) && parent_exe(&proc).as_ref() == Some(&exe) {
        // It is about to become something else.
        return None;
    }
    let network = network_of(name)?;
    let host = networks.iter().position(|other| *other == network)?;
    if role == Role::SshServer && is_listener(&proc) {
        return None;
    }
    let rank = if role == Role::Program { rank_of(&proc) } else { None };
    Some(Member { role, pid, pidfd, host, rank })
}

/// Whether an sshd is the one that listens: it is first in its process namespace.
fn is_listener(proc: &Path) -> bool {
    let status = fs::read_to_string(proc.join("status")).unwrap_or_default();
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    pids.split_whitespace().next_back() == Some("1")
}

fn parent_exe(proc: &Path) -> Option<PathBuf> {
    let status = fs::read_to_string(proc.join("status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
    fs::read_link(format!("/proc/{parent}/exe")).ok()
}

fn rank_of(proc: &Path) -> Option<usize> {
    let environment = fs::read(proc.join("environ")).ok()?;
    let value =
        environment.split(|byte| *byte == 0).find_map(|it| it.strip_prefix(b"DSM_NODE_ID="))?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn network_of(pid: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}
