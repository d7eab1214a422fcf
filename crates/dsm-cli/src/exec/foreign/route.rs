use super::desk::Seat;
use super::tether;
use crate::exec::machine_file::Place;
use dsm_net::launch::Lookup;
use dsm_net::pr204::WrapProfile;
use shlex::bytes::try_quote;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::Command;
use thiserror::Error;

/// How a wrapper of another member is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignRoute {
    profile: WrapProfile,
    host: Host,
    /// As argv\[0\], and as ssh's remote shell looks it up.
    wrapper: OsString,
}

/// Where it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Here: this file.
    Here(PathBuf),
    /// Elsewhere: by these words, of which the last is the host.
    Ssh(Vec<OsString>),
}

/// What ssh cannot pass on.
#[derive(Debug, Error)]
#[error(
    "-x {name}: a name that begins with - cannot be passed on through ssh to rank {rank} ({place})"
)]
pub(crate) struct RouteError {
    name: String,
    rank: usize,
    place: String,
}

impl ForeignRoute {
    pub(crate) fn new(profile: WrapProfile, host: Host, wrapper: &OsStr) -> Self {
        Self { profile, host, wrapper: wrapper.to_owned() }
    }

    pub(crate) fn is_ssh(&self) -> bool {
        matches!(self.host, Host::Ssh(_))
    }

    /// Whether these variables can be set for it.
    ///
    /// # Errors
    /// Names the one that cannot.
    pub(crate) fn check(
        &self,
        rank: usize,
        place: &Place,
        environment: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), RouteError> {
        let unfit = environment.iter().find(|(name, _)| name.starts_with(b"-"));
        match unfit.filter(|_| self.is_ssh()) {
            None => Ok(()),
            Some((name, _)) => {
                let name = String::from_utf8_lossy(name).into_owned();
                Err(RouteError { name, rank, place: place.to_string() })
            }
        }
    }

    /// The command that starts the wrapper for the rank of this seat.
    pub(crate) fn command(&self, seat: &Seat, program: &Lookup, args: &[Vec<u8>]) -> Command {
        let words = self.words(seat, program, args);
        let Host::Here(path) = &self.host else {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            return command;
        };
        let pairs = program.environment.iter();
        let mut command = tether::command(path, &words);
        command
            .envs(pairs.map(|(name, value)| (OsStr::from_bytes(name), OsStr::from_bytes(value))))
            .current_dir(OsStr::from_bytes(&program.directory));
        command
    }

    /// For people, before there is a port.
    pub(crate) fn example(&self, rank: usize, program: &Lookup, args: &[Vec<u8>]) -> Vec<OsString> {
        let rank = rank.to_string();
        let seat: &[&str] = match self.profile {
            WrapProfile::Ref => &["HOST", "PORT", &rank, "TOKEN"],
            WrapProfile::Seed => &["HOST", "PORT"],
            WrapProfile::Rank => &["HOST", "PORT", &rank],
        };
        self.words_of(seat, program, args)
    }

    /// Its words; with ssh the last one is the script for the shell there.
    pub(crate) fn words(&self, seat: &Seat, program: &Lookup, args: &[Vec<u8>]) -> Vec<OsString> {
        let seat = seat.words(self.profile);
        self.words_of(&seat.iter().map(String::as_str).collect::<Vec<_>>(), program, args)
    }

    fn words_of(&self, seat: &[&str], program: &Lookup, args: &[Vec<u8>]) -> Vec<OsString> {
        let mut words = vec![self.wrapper.clone()];
        words.extend(seat.iter().map(OsString::from));
        words.push(OsString::from_vec(program.program.clone()));
        words.extend(args.iter().map(|argument| OsString::from_vec(argument.clone())));
        match &self.host {
            Host::Here(_) => words,
            Host::Ssh(ssh) => {
                let script = script(&words, program);
                ssh.iter().cloned().chain([script]).collect()
            }
        }
    }
}

/// What the remote shell is told: every word in quotes where it needs them.
fn script(words: &[OsString], program: &Lookup) -> OsString {
    let mut script = b"cd ".to_vec();
    script.extend(quoted(&program.directory));
    script.extend(b" && exec");
    if !program.environment.is_empty() {
        script.extend(b" env");
    }
    for (name, value) in &program.environment {
        script.push(b' ');
        script.extend(quoted(&[&name[..], b"=", value].concat()));
    }
    for word in words {
        script.push(b' ');
        script.extend(quoted(word.as_bytes()));
    }
    OsString::from_vec(script)
}

fn quoted(word: &[u8]) -> Vec<u8> {
    try_quote(word)
        .expect("words of a command line and values of variables have no NUL")
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    fn lookup(environment: &[(&str, &str)]) -> Lookup {
        let pair = |(name, value): &(&str, &str)| (name.as_bytes().into(), value.as_bytes().into());
        Lookup {
            program: b"./my prog".into(),
            environment: environment.iter().map(pair).collect(),
            directory: b"/home/it's".into(),
        }
    }

    fn seat() -> Seat {
        Seat { rank: 3, at: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 4242), tokens: [3, 77] }
    }

    fn words(profile: WrapProfile, host: Host, environment: &[(&str, &str)]) -> String {
        let route = ForeignRoute::new(profile, host, OsStr::new("dsmwrap"));
        let words = route.words(&seat(), &lookup(environment), &[b"a;b".to_vec(), b"".to_vec()]);
        words.join(OsStr::new("|")).into_string().unwrap()
    }

    #[test]
    fn each_profile_has_its_arguments() {
        let here = || Host::Here("/bin/dsmwrap".into());
        let check = |profile, expected| assert_eq!(words(profile, here(), &[]), expected);
        check(WrapProfile::Ref, "dsmwrap|10.0.0.1|4242|3|77|./my prog|a;b|");
        check(WrapProfile::Seed, "dsmwrap|10.0.0.1|4242|./my prog|a;b|");
        check(WrapProfile::Rank, "dsmwrap|10.0.0.1|4242|3|./my prog|a;b|");
    }

    #[test]
    fn a_remote_shell_finds_nothing_to_interpret() {
        let ssh = Host::Ssh(["ssh", "node1"].map(OsString::from).into());
        let told = words(WrapProfile::Rank, ssh, &[("A", "b c"), ("D", "$x")]);
        let script = told.strip_prefix("ssh|node1|").unwrap();
        let back = shlex::split(script).unwrap();
        let expected = ["cd", "/home/it's", "&&", "exec", "env", "A=b c", "D=$x", "dsmwrap"];
        let arguments = ["10.0.0.1", "4242", "3", "./my prog", "a;b", ""];
        assert_eq!(back, [&expected[..], &arguments].concat());
        assert!(script.contains("'D=$x'") || script.contains("'$x'"), "{script}");
    }

    #[test]
    fn a_name_that_is_an_option_is_refused_by_ssh_alone() {
        let place = Place { text: "n".into(), user: None, host: "n".into(), address: None };
        let check = |host| {
            let route = ForeignRoute::new(WrapProfile::Ref, host, OsStr::new("dsmwrap"));
            let checked = route.check(1, &place, &lookup(&[("A", "1"), ("-u", "x")]).environment);
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check(Host::Here("/bin/dsmwrap".into())), Ok(()));
        let refused = check(Host::Ssh(vec!["ssh".into(), "n".into()])).unwrap_err();
        assert!(refused.starts_with("-x -u: a name that begins with -"), "{refused}");
    }
}
