//! In whose words a job is spoken: dsm's own, or those of the PR204 family.

use super::options::Options;
use clap::ValueEnum;
use dsm_net::pr204::{MAX_NODES, WrapProfile};
use std::env;
use std::ffi::OsString;
use thiserror::Error;

/// How a program is told its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LaunchName {
    /// As programs of dsm expect it.
    Native,
    /// By a block on the descriptors 3 and 4 too.
    Pr204,
    /// By four variables too, and a port of dsmexec.
    Ete7,
}

/// How dsmwrap and dsmexec speak to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WrapName {
    /// As dsm's own dsmwrap does.
    Native,
    /// As the reference binaries do.
    Ref,
    /// The wrapper is told its rank on the connection.
    Seed,
    /// The wrapper is told its rank as an argument.
    Rank,
}

/// How ranks speak to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerName {
    /// As ranks of dsm do.
    Native,
    /// In words of 8 bytes, between two ranks.
    Seed8,
    /// Telling every rank of every move of a page, up to 8 ranks.
    Bcast,
}

/// The profiles of one job, which fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Profiles {
    pub(crate) launch: LaunchName,
    /// None is dsm's own.
    pub(crate) wrap: Option<WrapProfile>,
    pub(crate) peer: PeerName,
}

/// Profiles that no job can have.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum ProfileError {
    #[error(
        "--wrap={wrap} --launch={launch}: a foreign dsmwrap tells its program the job as --launch=pr204 does, expected that or no --launch"
    )]
    Launch { wrap: &'static str, launch: &'static str },
    #[error("{profile} with {ranks} ranks, expected {expected}")]
    Ranks { profile: String, ranks: usize, expected: String },
    #[error("{PEER} is {value:?}, expected native, seed8 or bcast")]
    Variable { value: OsString },
}

/// The variable that tells a rank how the others speak.
pub(crate) const PEER: &str = "DSM_PEER";

impl Profiles {
    /// The profiles of a job of so many ranks.
    ///
    /// # Errors
    /// If they do not fit each other, or the job is too large for one.
    pub(crate) fn new(options: &Options, ranks: usize) -> Result<Self, ProfileError> {
        let wrap = match options.wrap {
            WrapName::Native => None,
            WrapName::Ref => Some(WrapProfile::Ref),
            WrapName::Seed => Some(WrapProfile::Seed),
            WrapName::Rank => Some(WrapProfile::Rank),
        };
        let launch = match (wrap, options.launch) {
            (None, launch) => launch.unwrap_or(LaunchName::Native),
            (Some(_), None | Some(LaunchName::Pr204)) => LaunchName::Pr204,
            (Some(wrap), Some(launch)) => {
                return Err(ProfileError::Launch { wrap: wrap.name(), launch: launch.as_str() });
            }
        };
        let peer = match options.peer {
            Some(peer) => peer,
            None => own_peer()?,
        };
        let profiles = Self { launch, wrap, peer };
        profiles.check(ranks).map(|()| profiles)
    }

    fn check(self, ranks: usize) -> Result<(), ProfileError> {
        let refuse = |profile: String, expected: String| {
            Err(ProfileError::Ranks { profile, ranks, expected })
        };
        match self.peer {
            PeerName::Seed8 if ranks != 2 => refuse("--peer=seed8".into(), "2".into()),
            PeerName::Bcast if ranks > 8 => refuse("--peer=bcast".into(), "at most 8".into()),
            _ if self.launch != LaunchName::Native && ranks > usize::from(MAX_NODES) => {
                let profile = format!("--launch={}", self.launch.as_str());
                refuse(profile, format!("at most {MAX_NODES}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the ranks know each other by a secret: where all of them are told it.
    pub(crate) fn has_key(self) -> bool {
        self.wrap.is_none() && self.peer == PeerName::Native
    }

    /// Whether dsmexec itself has a connection to every rank.
    pub(crate) fn speaks_tcp(self) -> bool {
        self.wrap.is_some() || self.launch == LaunchName::Ete7
    }

    /// For people; nothing for a job of dsm's own words.
    pub(crate) fn describe(self) -> Option<String> {
        let Self { launch, wrap, peer } = self;
        let wrap = wrap.map_or("native", WrapProfile::name);
        let all = format!("launch={} wrap={wrap} peer={}", launch.as_str(), peer.as_str());
        self.warning().map(|_| all)
    }

    /// What strangers can listen to and speak into; nothing in a job of dsm's own words.
    pub(crate) fn warning(self) -> Option<String> {
        let Self { launch, wrap, peer } = self;
        let mut names = Vec::new();
        let mut open = Vec::new();
        match wrap {
            Some(wrap) => {
                names.push(format!("wrap={}", wrap.name()));
                open.push("between dsmexec and every dsmwrap");
            }
            None if launch != LaunchName::Native => {
                names.push(format!("launch={}", launch.as_str()));
            }
            None => (),
        }
        if launch == LaunchName::Ete7 {
            open.push("between dsmexec and the programs");
        }
        if peer != PeerName::Native {
            names.push(format!("peer={}", peer.as_str()));
        }
        open.push(match self.has_key() {
            false => "between ranks",
            true => "between ranks that are not dsm's",
        });
        (!names.is_empty()).then(|| {
            let (names, open) = (names.join(" "), open.join(" and "));
            format!("profile {names}: connections {open} are plaintext and unauthenticated")
        })
    }
}

/// What dsmexec's own environment says.
fn own_peer() -> Result<PeerName, ProfileError> {
    let Some(value) = env::var_os(PEER).filter(|value| !value.is_empty()) else {
        return Ok(PeerName::Native);
    };
    let known = PeerName::value_variants().iter().find(|peer| value == peer.as_str());
    known.copied().ok_or(ProfileError::Variable { value })
}

impl LaunchName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Pr204 => "pr204",
            Self::Ete7 => "ete7",
        }
    }
}

impl PeerName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Seed8 => "seed8",
            Self::Bcast => "bcast",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn profiles(words: &[&str], ranks: usize) -> Result<Profiles, String> {
        let words = [&["dsmexec"], words, &["m", "p"]].concat();
        let mut options = Options::try_parse_from(words).unwrap();
        // Else the environment of the test would count.
        options.peer.get_or_insert(PeerName::Native);
        Profiles::new(&options, ranks).map_err(|error| error.to_string())
    }

    #[test]
    fn a_foreign_wrapper_implies_its_launch() {
        for wrap in WrapProfile::ALL {
            let wanted = format!("--wrap={}", wrap.name());
            let found = profiles(&[&wanted], 3).unwrap();
            assert_eq!((found.wrap, found.launch), (Some(wrap), LaunchName::Pr204));
            assert!(!found.has_key());
            assert_eq!(profiles(&[&wanted, "--launch=pr204"], 3), Ok(found));
            let refused = profiles(&[&wanted, "--launch=ete7"], 3).unwrap_err();
            assert!(refused.starts_with(&format!("{wanted} --launch=ete7: ")), "{refused}");
        }
        assert_eq!(profiles(&[], 300).unwrap().launch, LaunchName::Native);
        assert!(profiles(&[], 300).unwrap().has_key());
        assert!(profiles(&["--launch=pr204"], 256).unwrap().has_key());
    }

    #[test]
    fn profiles_have_limits_on_ranks() {
        let check = |words: &[&str], fits: &[usize], refused: &[(usize, &str)]| {
            for ranks in fits {
                assert!(profiles(words, *ranks).is_ok(), "{words:?} {ranks}");
            }
            for (ranks, message) in refused {
                assert_eq!(profiles(words, *ranks).unwrap_err(), *message);
            }
        };
        let one = "--peer=seed8 with 1 ranks, expected 2";
        let three = "--peer=seed8 with 3 ranks, expected 2";
        check(&["--peer=seed8"], &[2], &[(1, one), (3, three)]);
        check(&["--peer=bcast"], &[1, 8], &[(9, "--peer=bcast with 9 ranks, expected at most 8")]);
        let many = "--launch=pr204 with 257 ranks, expected at most 256";
        check(&["--wrap=ref"], &[1, 256], &[(257, many)]);
    }

    #[test]
    fn what_is_open_to_strangers_is_said() {
        let check = |words: &[&str], expected: Option<&str>| {
            let warning = profiles(words, 2).unwrap().warning();
            let rest = |open| format!("{open} are plaintext and unauthenticated");
            assert_eq!(warning, expected.map(rest), "{words:?}");
        };
        check(&[], None);
        let open = "profile launch=pr204: connections between ranks that are not dsm's";
        check(&["--launch=pr204"], Some(open));
        let open = "profile wrap=ref peer=bcast: connections between dsmexec and every dsmwrap and between ranks";
        check(&["--wrap=ref", "--peer=bcast"], Some(open));
        check(&["--peer=seed8"], Some("profile peer=seed8: connections between ranks"));
    }
}
