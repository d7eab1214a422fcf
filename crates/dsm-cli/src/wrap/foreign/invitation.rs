use super::error::ForeignError;
use dsm_net::pr204::WrapProfile;
use std::ffi::{OsStr, OsString};
use std::net::Ipv4Addr;
use std::path::Path;

/// What a launcher of the family asks of a dsmwrap, by its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invitation {
    pub(super) profile: WrapProfile,
    /// Where the launcher listens.
    pub(super) host: String,
    pub(super) port: u16,
    /// Given back by [`WrapProfile::Ref`]; 0 in the others.
    pub(super) tokens: [i32; 2],
    /// Told by [`WrapProfile::Rank`].
    pub(super) rank: Option<u16>,
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
}

impl Invitation {
    /// Reads `HOST PORT TOKEN1 TOKEN2 PROGRAM ARGS...`, `IPv4 PORT PROGRAM ARGS...` or
    /// `HOST PORT RANK PROGRAM ARGS...`: which of them, says `told`, else the name of the command,
    /// else how many numbers follow the port.
    ///
    /// # Errors
    /// Says what was found, and what was expected.
    pub(super) fn parse(
        told: Option<&OsStr>,
        name: &OsStr,
        arguments: &[OsString],
    ) -> Result<Self, ForeignError> {
        let [host, port, rest @ ..] = arguments else { return Err(ForeignError::ByHand) };
        let (Some(host), Some(port)) = (host.to_str(), port_of(port)) else {
            return Err(ForeignError::ByHand);
        };
        let profile = match (told, of_name(name)) {
            (Some(told), _) => named(told).ok_or_else(|| ForeignError::Profile(told.into()))?,
            (None, Some(profile)) => profile,
            (None, None) => match rest.iter().map_while(number).take(2).count() {
                2 => WrapProfile::Ref,
                1 => WrapProfile::Rank,
                _ => WrapProfile::Seed,
            },
        };
        let (numbers, rest) = match profile {
            WrapProfile::Ref => rest.split_at_checked(2),
            WrapProfile::Rank => rest.split_at_checked(1),
            WrapProfile::Seed => rest.split_at_checked(0),
        }
        .ok_or(ForeignError::TooFew(profile))?;
        let numbers: Vec<i32> = numbers.iter().map_while(number).collect();
        let (tokens, rank) = match (profile, &numbers[..]) {
            (WrapProfile::Ref, &[first, second]) => ([first, second], None),
            (WrapProfile::Rank, &[rank]) => {
                let rank = u16::try_from(rank).map_err(|_| ForeignError::TooFew(profile))?;
                ([0; 2], Some(rank))
            }
            (WrapProfile::Seed, []) if host.parse::<Ipv4Addr>().is_ok() => ([0; 2], None),
            _ => return Err(ForeignError::TooFew(profile)),
        };
        let (program, args) = rest.split_first().ok_or(ForeignError::TooFew(profile))?;
        let (host, program, args) = (host.to_owned(), program.clone(), args.to_vec());
        Ok(Self { profile, host, port, tokens, rank, program, args })
    }
}

/// `dsmwrap-ref`, `dsmwrap-seed` or `dsmwrap-rank`.
fn of_name(name: &OsStr) -> Option<WrapProfile> {
    let name = Path::new(name).file_name()?.to_str()?;
    named(OsStr::new(name.strip_prefix("dsmwrap-")?))
}

fn named(name: &OsStr) -> Option<WrapProfile> {
    WrapProfile::ALL.into_iter().find(|profile| name == profile.name())
}

fn port_of(word: &OsString) -> Option<u16> {
    word.to_str()?.parse().ok().filter(|port| *port != 0)
}

fn number(word: &OsString) -> Option<i32> {
    word.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(told: &str, name: &str, line: &str) -> Result<Invitation, String> {
        let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
        let told = (!told.is_empty()).then(|| OsStr::new(told));
        Invitation::parse(told, OsStr::new(name), &words).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(
        told: &str,
        name: &str,
        line: &str,
        profile: WrapProfile,
        numbers: &[i32],
        rest: &str,
    ) {
        let found = parse(told, name, line).unwrap();
        assert_eq!(found.profile, profile);
        match profile {
            WrapProfile::Ref => assert_eq!(found.tokens, numbers),
            WrapProfile::Rank => assert_eq!(found.rank.map(i32::from), Some(numbers[0])),
            WrapProfile::Seed => assert_eq!(found.rank, None),
        }
        let words: Vec<_> = [&[found.program][..], &found.args].concat();
        assert_eq!(words.join(OsStr::new(" ")), rest);
    }

    #[test]
    fn the_form_is_known_by_the_numbers_behind_the_port() {
        use WrapProfile::{Rank, Ref, Seed};
        check("", "dsmwrap", "host 4242 7 -1 prog 1 2", Ref, &[7, -1], "prog 1 2");
        check("", "dsmwrap", "host 4242 3 prog 1 2", Rank, &[3], "prog 1 2");
        check("", "dsmwrap", "10.0.0.1 4242 prog 1 2", Seed, &[], "prog 1 2");
        check("", "dsmwrap", "10.0.0.1 4242 0 1 2 x", Ref, &[0, 1], "2 x");
    }

    #[test]
    fn the_variable_wins_over_the_name_and_the_name_over_the_numbers() {
        use WrapProfile::{Rank, Ref, Seed};
        check("seed", "dsmwrap-ref", "10.0.0.1 4242 1 2 3", Seed, &[], "1 2 3");
        check("rank", "dsmwrap", "h 4242 1 2 3", Rank, &[1], "2 3");
        check("", "/bin/dsmwrap-rank", "h 4242 1 2 3", Rank, &[1], "2 3");
        check("", "dsmwrap-seed", "10.0.0.1 4242 1 2 3", Seed, &[], "1 2 3");
        check("", "dsmwrap-other", "h 4242 1 2 3", Ref, &[1, 2], "3");
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for line in ["", "x", "host prog", "host 0 1 2 prog", "host 65536 1 2 prog"] {
            let refused = parse("", "dsmwrap", line).unwrap_err();
            assert!(refused.starts_with("started by dsmexec, never by hand"), "{line}: {refused}");
        }
        let refuse = |told, line, words: &str| {
            assert_eq!(parse(told, "dsmwrap", line).unwrap_err(), words, "{line}");
        };
        refuse(
            "",
            "host 4242 1 2",
            "profile ref: expected HOST PORT TOKEN1 TOKEN2 PROGRAM ARGS...",
        );
        refuse("", "host 4242 -1 p", "profile rank: expected HOST PORT RANK PROGRAM ARGS...");
        refuse("", "host 4242 p", "profile seed: expected IPV4 PORT PROGRAM ARGS...");
        refuse("", "1.2.3.4 4242", "profile seed: expected IPV4 PORT PROGRAM ARGS...");
        refuse("x", "h 1 p", "DSM_WRAP_PROFILE is \"x\", expected ref, seed or rank");
    }
}
