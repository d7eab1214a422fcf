use std::fmt;

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A rank gets SIGKILL.
    RankKilled,
    /// A rank gets SIGSEGV.
    RankSegfaults,
    /// A rank gets SIGABRT.
    RankAborts,
    /// A rank exits with code 3.
    RankExits,
    /// A rank exits with code 0 and without dsm_finalize.
    RankLeaves,
    /// A rank gets SIGSTOP, and SIGCONT once that was told.
    RankStopped,
    /// A dsmwrap gets SIGKILL.
    WrapKilled,
    /// An ssh of dsmexec's gets SIGKILL.
    SshKilled,
    /// The sshd that serves an ssh of dsmexec's gets SIGKILL.
    SshServerKilled,
    /// dsmexec gets SIGKILL.
    ExecKilled,
    /// dsmexec gets SIGINT.
    ExecInterrupted,
    /// dsmexec gets SIGHUP, as when its terminal is closed.
    ExecHungUp,
    /// No process of a host runs any more.
    HostFrozen,
    /// Nothing reaches a host, and nothing comes from it.
    HostLost,
    /// Nothing reaches a host.
    HostDeaf,
    /// Nothing comes from a host.
    HostMute,
    /// The hosts are in two halves that do not reach each other.
    HalvesParted,
    /// Two hosts do not reach each other.
    PairParted,
    /// One host does not reach another.
    PairPartedOneWay,
    /// The connections between ranks of two hosts are reset.
    RanksReset,
    /// The ssh connections of a host are reset.
    SshReset,
    /// Nothing arrives anywhere, or from or at one host, for 0.1 to 2 s.
    Blip,
    /// 1 to 10 % of all packets are lost.
    Loss,
    /// All packets take 50 ms.
    Delay,
    /// 1 to 20 % of all packets arrive twice.
    Duplication,
    /// 1 to 20 % of all packets are overtaken.
    Reordering,
    /// In 1 to 3 % of all packets a bit is turned, and a checksum tells.
    Corruption,
    /// All lines carry 10 Mbit/s.
    Rate,
    /// In some packets a bit is turned, and no checksum tells.
    Tampering,
}

/// What is promised of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// It ends as if nothing had happened, and nothing is said.
    Completes,
    /// That a rank is stopped is said; then as above.
    Told,
    /// It ends with a line that names who failed, or as if nothing had happened.
    Ends,
    /// All of it ends.
    Vanishes,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 29] = [
        Self::RankKilled,
        Self::RankSegfaults,
        Self::RankAborts,
        Self::RankExits,
        Self::RankLeaves,
        Self::RankStopped,
        Self::WrapKilled,
        Self::SshKilled,
        Self::SshServerKilled,
        Self::ExecKilled,
        Self::ExecInterrupted,
        Self::ExecHungUp,
        Self::HostFrozen,
        Self::HostLost,
        Self::HostDeaf,
        Self::HostMute,
        Self::HalvesParted,
        Self::PairParted,
        Self::PairPartedOneWay,
        Self::RanksReset,
        Self::SshReset,
        Self::Blip,
        Self::Loss,
        Self::Delay,
        Self::Duplication,
        Self::Reordering,
        Self::Corruption,
        Self::Rate,
        Self::Tampering,
    ];

    /// In the words of the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RankKilled => "rank-killed",
            Self::RankSegfaults => "rank-segfaults",
            Self::RankAborts => "rank-aborts",
            Self::RankExits => "rank-exits",
            Self::RankLeaves => "rank-leaves",
            Self::RankStopped => "rank-stopped",
            Self::WrapKilled => "wrap-killed",
            Self::SshKilled => "ssh-killed",
            Self::SshServerKilled => "ssh-server-killed",
            Self::ExecKilled => "exec-killed",
            Self::ExecInterrupted => "exec-interrupted",
            Self::ExecHungUp => "exec-hung-up",
            Self::HostFrozen => "host-frozen",
            Self::HostLost => "host-lost",
            Self::HostDeaf => "host-deaf",
            Self::HostMute => "host-mute",
            Self::HalvesParted => "halves-parted",
            Self::PairParted => "pair-parted",
            Self::PairPartedOneWay => "pair-parted-one-way",
            Self::RanksReset => "ranks-reset",
            Self::SshReset => "ssh-reset",
            Self::Blip => "blip",
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Duplication => "duplication",
            Self::Reordering => "reordering",
            Self::Corruption => "corruption",
            Self::Rate => "rate",
            Self::Tampering => "tampering",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn promise(self) -> Promise {
        match self {
            Self::Blip
            | Self::Loss
            | Self::Delay
            | Self::Duplication
            | Self::Reordering
            | Self::Corruption
            | Self::Rate => Promise::Completes,
            Self::RankStopped => Promise::Told,
            Self::ExecKilled => Promise::Vanishes,
            _ => Promise::Ends,
        }
    }

    /// The exit codes with which such a run may end, beside 0.
    pub(crate) fn codes(self) -> &'static [i32] {
        match self {
            Self::RankKilled => &[137],
            Self::RankSegfaults => &[139],
            Self::RankAborts => &[134],
            // Before the program has set its handler the signal itself ends it.
            Self::RankExits => &[3, 140],
            Self::RankLeaves => &[76, 129],
            Self::ExecKilled => &[137],
            Self::ExecInterrupted => &[130],
            Self::ExecHungUp => &[129],
            Self::Tampering => &[69, 75, 76],
            _ => &[69, 75],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for (n, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, n, "ALL has every kind, in order");
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
        assert_eq!(Kind::named("sunshine"), None);
    }
}
