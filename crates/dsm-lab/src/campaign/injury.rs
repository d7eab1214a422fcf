use super::kind::Kind;
use super::trial::{HOSTS, Trial};
use crate::crew::{Member, Role, crew};
use crate::freezer::Frozen;
use crate::lab::Lab;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::Duration;

/// What has gone wrong in a run, and to whom.
#[derive(Debug, Default)]
pub(crate) struct Injury {
    /// Since dsmexec was started.
    pub(crate) at: Duration,
    /// To which rank, if to one.
    pub(crate) rank: Option<usize>,
    /// The process it happened to, if to one.
    pub(crate) member: Option<Member>,
    /// One of these hosts must be named.
    pub(crate) hosts: BTreeSet<usize>,
    /// Hosts that dsmexec does not reach, or that do not reach it.
    pub(crate) cut_off: BTreeSet<usize>,
    /// Undoes itself when dropped.
    pub(crate) frozen: Option<Frozen>,
}

impl Injury {
    /// What it has happened to, for people.
    pub(crate) fn place(&self) -> String {
        let hosts: Vec<String> =
            self.hosts.iter().map(|host| format!("node{}", host + 1)).collect();
        match (self.rank, &self.member) {
            (Some(rank), Some(member)) => format!("rank {rank} on node{}", member.host + 1),
            (None, Some(member)) => format!("{:?} on node{}", member.role, member.host + 1),
            _ if hosts.is_empty() => "all lines".to_owned(),
            _ => hosts.join(" "),
        }
    }
}

/// Does it. `None` if whom it should happen to is not there: not yet, or no more.
pub(crate) fn injure(lab: &Lab, trial: &Trial, at: Duration) -> Option<Injury> {
    let injury = match trial.kind {
        Kind::RankKilled => one(lab, trial, Role::Program, Signal::KILL)?,
        Kind::RankSegfaults => one(lab, trial, Role::Program, Signal::SEGV)?,
        Kind::RankAborts => one(lab, trial, Role::Program, Signal::ABORT)?,
        Kind::RankExits => one(lab, trial, Role::Program, Signal::USR2)?,
        Kind::RankLeaves => one(lab, trial, Role::Program, Signal::HUP)?,
        Kind::RankStopped => one(lab, trial, Role::Program, Signal::STOP)?,
        Kind::WrapKilled => one(lab, trial, Role::Wrap, Signal::KILL)?,
        Kind::SshKilled => one(lab, trial, Role::Ssh, Signal::KILL)?,
        Kind::SshServerKilled => one(lab, trial, Role::SshServer, Signal::KILL)?,
        Kind::ExecKilled => one(lab, trial, Role::Exec, Signal::KILL)?,
        Kind::ExecInterrupted => one(lab, trial, Role::Exec, Signal::INT)?,
        Kind::ExecHungUp => one(lab, trial, Role::Exec, Signal::HUP)?,
        Kind::HostFrozen => freeze(lab, trial)?,
        Kind::HostLost | Kind::HostDeaf | Kind::HostMute | Kind::HalvesParted => part(lab, trial),
        Kind::PairParted | Kind::PairPartedOneWay => part_pair(lab, trial),
        Kind::Blip => darken(lab, trial),
        Kind::SshReset => {
            let host = some_host(trial, 1);
            lab.network().set_around(host, &trial.after);
            Injury { hosts: [host].into(), ..Injury::default() }
        }
        Kind::RanksReset
        | Kind::Loss
        | Kind::Delay
        | Kind::Duplication
        | Kind::Reordering
        | Kind::Corruption
        | Kind::Rate
        | Kind::Tampering => {
            lab.network().set_all(&trial.after);
            Injury::default()
        }
    };
    Some(Injury { at, ..injury })
}

/// Sends a signal to one process of those in this role.
fn one(lab: &Lab, trial: &Trial, role: Role, signal: Signal) -> Option<Injury> {
    let mut all: Vec<Member> = crew(lab).into_iter().filter(|it| it.role == role).collect();
    if role == Role::Program {
        all.retain(|it| it.rank.is_some());
    }
    if all.is_empty() {
        return None;
    }
    all.sort_by_key(|member| (member.host, member.rank, member.pid.as_raw_nonzero()));
    let member = all.swap_remove(trial.one_of(all.len()));
    member.signal(signal).then_some(())?;
    let hosts = if role == Role::Program { [member.host].into() } else { BTreeSet::new() };
    Some(Injury { rank: member.rank, member: Some(member), hosts, ..Injury::default() })
}

fn freeze(lab: &Lab, trial: &Trial) -> Option<Injury> {
    let host = some_host(trial, 1);
    let frozen = Some(Frozen::new(lab, host)?);
    let hosts: BTreeSet<usize> = [host].into();
    Some(Injury { cut_off: hosts.clone(), hosts, frozen, ..Injury::default() })
}

fn part(lab: &Lab, trial: &Trial) -> Injury {
    let network = lab.network();
    let host = some_host(trial, 0);
    let inside = match trial.kind {
        // One of the halves is dsmexec's, and alone or with another.
        Kind::HalvesParted => {
            let other = 1 + trial.one_of(HOSTS);
            BTreeSet::from([0, if other < HOSTS { other } else { 0 }])
        }
        _ => BTreeSet::from([host]),
    };
    network.set_where(&trial.after, |from, to| {
        let leaves = inside.contains(&from) && !inside.contains(&to);
        let enters = !inside.contains(&from) && inside.contains(&to);
        match trial.kind {
            Kind::HostDeaf => enters,
            Kind::HostMute => leaves,
            _ => leaves || enters,
        }
    });
    let cut_off = (0..HOSTS).filter(|host| inside.contains(host) != inside.contains(&0));
    let cut_off: BTreeSet<usize> = cut_off.collect();
    Injury { hosts: cut_off.clone(), cut_off, ..Injury::default() }
}

/// Parts hosts of ranks that dsmexec reaches.
fn part_pair(lab: &Lab, trial: &Trial) -> Injury {
    let network = lab.network();
    let from = 1 + trial.one_of(2);
    network.set(from, 3 - from, &trial.after);
    if trial.kind == Kind::PairParted {
        network.set(3 - from, from, &trial.after);
    }
    Injury { hosts: [1, 2].into(), ..Injury::default() }
}

fn darken(lab: &Lab, trial: &Trial) -> Injury {
    let whose = trial.one_of(HOSTS + 1);
    // The last number means everywhere.
    lab.network()
        .darken_where(trial.how_long, |from, to| whose == HOSTS || from == whose || to == whose);
    Injury::default()
}

/// A host with a rank, not below `least`. There is one that is not dsmexec's.
fn some_host(trial: &Trial, least: usize) -> usize {
    let hosts: BTreeSet<usize> =
        trial.machines.iter().copied().filter(|host| *host >= least).collect();
    let hosts: Vec<usize> = hosts.into_iter().collect();
    hosts[trial.one_of(hosts.len())]
}
