//! The command that starts a dsmwrap on another machine, and what it means when that fails.

use super::event::{Gone, How};
use super::machine_file::Place;
use crate::exit_code::ExitCode;
use crate::signal_name::SignalName;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use thiserror::Error;

/// The words before the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SshCommand(Vec<String>);

/// A command for ssh that is none.
#[derive(Debug, Error)]
#[error("{text:?} is no command: it is empty or a quote is not closed")]
pub(crate) struct SshCommandError {
    text: String,
}

/// Where dsmwrap is on the other machine.
#[derive(Clone, Debug)]
pub(crate) enum Wrapper<'a> {
    /// Here and nowhere else.
    At(&'a Path),
    /// Here, or else on the PATH there.
    Perhaps(&'a Path),
}

impl SshCommand {
    /// Splits a command as a shell would, without expanding anything.
    ///
    /// # Errors
    /// If there is no word in it.
    pub(crate) fn parse(text: &str) -> Result<Self, SshCommandError> {
        let words = shlex::split(text).filter(|words| !words.is_empty());
        let mut words = words.ok_or_else(|| SshCommandError { text: text.into() })?;
        // Of an option given twice ssh takes the first, so the user's own words win.
        if is_ssh(&words[0]) {
            words.extend(OPTIONS.map(Into::into));
        }
        Ok(Self(words))
    }

    /// The words before those for another machine from which no dsmwrap of dsm will be heard: ssh itself
    /// is to tell when that machine is silent.
    pub(crate) fn vigilantly_to(&self, place: &Place) -> Vec<OsString> {
        let mut words = self.0.clone();
        if is_ssh(&words[0]) {
            words.extend(VIGILANCE.map(Into::into));
        }
        Self(words).to(place)
    }

    /// The whole command for one rank. The remote login shell sees constant text, a quoted path, and
    /// the two words that show who is who in the process list there.
    pub(crate) fn words(&self, place: &Place, wrapper: &Wrapper<'_>, job: &str) -> Vec<OsString> {
        let (script, path) = match wrapper {
            Wrapper::At(path) => (r#"p=$1; shift; exec "$p" "$@""#, path),
            Wrapper::Perhaps(path) => {
                (r#"p=$1; shift; if [ -x "$p" ]; then exec "$p" "$@"; fi; exec dsmwrap "$@""#, path)
            }
        };
        let mut remote = OsString::from(format!("exec sh -c '{script}' dsmwrap "));
        remote.push(quoted(path));
        remote.push(" ");
        remote.push(job);
        self.to(place).into_iter().chain([remote]).collect()
    }

    /// The words before those for the other machine.
    fn to(&self, place: &Place) -> Vec<OsString> {
        let target = match &place.user {
            Some(user) => format!("{user}@{}", place.host),
            None => place.host.clone(),
        };
        self.0.iter().map(OsString::from).chain([target.into()]).collect()
    }
}

fn is_ssh(word: &str) -> bool {
    Path::new(word).file_name() == Some(OsStr::new("ssh"))
}

/// In single quotes, which every shell leaves alone.
fn quoted(path: &Path) -> OsString {
    let mut bytes = vec![b'\''];
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\'' => bytes.extend_from_slice(br"'\''"),
            byte => bytes.push(*byte),
        }
    }
    bytes.push(b'\'');
    OsString::from_vec(bytes)
}

/// Why a host was not reached: the exit code, and a sentence about the host.
pub(crate) fn explain(gone: &Gone) -> (ExitCode, String) {
    let said = |otherwise: &str| match gone.said.as_str() {
        "" => otherwise.to_owned(),
        said => said.to_owned(),
    };
    match &gone.how {
        How::NoGreeting(patience) => {
            let cause = said("no answer");
            let what = format!(": not reached within {} s: {cause}", patience.as_secs());
            (ExitCode::UNREACHABLE, what)
        }
        How::Noise => {
            let cause = said("nothing readable");
            let what = format!(": over 64 KiB of other text came where dsmwrap greets: {cause}");
            (ExitCode::UNREACHABLE, what)
        }
        How::Garbled(error) => {
            let what = format!(": dsmwrap there is of another version than dsmexec: {error}");
            (ExitCode::CONFIGURATION, what)
        }
        How::Silent(_) => lost(gone, "dsmwrap"),
        How::Ended(status) => match (status.code(), status.signal()) {
            (Some(255), _) if gone.said.contains("Could not resolve hostname") => {
                (ExitCode::UNKNOWN_HOST, format!(": {}", gone.said))
            }
            (Some(255), _) => (ExitCode::UNREACHABLE, format!(": {}", said("ssh failed"))),
            (Some(code @ (126 | 127)), _) => {
                let found = if code == 127 { "not found" } else { "not executable" };
                let what = format!(": dsmwrap is {found} there: {}", said("no reason given"));
                (ExitCode::UNREACHABLE, what)
            }
            (_, Some(signal)) => {
                let what = format!(": killed by signal {} before it began", SignalName(signal));
                (ExitCode::UNREACHABLE, what)
            }
            (code, None) => {
                let (code, cause) = (code.unwrap_or_default(), said("no reason given"));
                let what = format!(": ended with code {code} before it began: {cause}");
                (ExitCode::UNREACHABLE, what)
            }
        },
    }
}

/// How a connection that stood was lost: the exit code, and the rest of a sentence about the rank.
/// `leader` is the local process that led to it.
pub(crate) fn lost(gone: &Gone, leader: &str) -> (ExitCode, String) {
    let because = match gone.said.as_str() {
        "" => String::new(),
        said => format!(": {said}"),
    };
    match &gone.how {
        How::Silent(time) | How::NoGreeting(time) => {
            let what = format!(" is lost: its host was silent for {} s", time.as_secs());
            (ExitCode::CONTACT_LOST, what)
        }
        How::Noise => (ExitCode::PROTOCOL, " is lost: its dsmwrap babbles".into()),
        How::Garbled(error) => {
            (ExitCode::PROTOCOL, format!(" is lost: its dsmwrap cannot be understood: {error}"))
        }
        How::Ended(status) => match (status.code(), status.signal()) {
            (_, Some(signal)) => {
                let what =
                    format!(" is lost: its {leader} was killed by signal {}", SignalName(signal));
                (ExitCode::CONTACT_LOST, what)
            }
            (code, None) => {
                let code = code.unwrap_or_default();
                let what = format!(" is lost: its {leader} exited with code {code}{because}");
                (ExitCode::CONTACT_LOST, what)
            }
        },
    }
}

/// Four seconds, as for dsmwrap's own heartbeats.
const VIGILANCE: [&str; 4] = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=3"];
const OPTIONS: [&str; 6] = ["-T", "-x", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    fn place(user: Option<&str>, host: &str) -> Place {
        Place { text: host.into(), user: user.map(Into::into), host: host.into(), address: None }
    }

    #[test]
    fn only_ssh_gets_sshs_options() {
        let check = |text: &str, words: &str| {
            assert_eq!(SshCommand::parse(text).unwrap().0.join("|"), words);
        };
        let options = "-T|-x|-o|BatchMode=yes|-o|ConnectTimeout=10";
        check("ssh", &format!("ssh|{options}"));
        check(
            "/usr/bin/ssh -p 22 -F 'my file'",
            &format!("/usr/bin/ssh|-p|22|-F|my file|{options}"),
        );
        check("docker exec -i", "docker|exec|-i");
        check("./myssh '$HOME'", "./myssh|$HOME");
        for text in ["", "  ", "ssh 'x"] {
            assert!(SshCommand::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ssh_watches_a_machine_that_nobody_else_does() {
        let check = |command: &str, words: &str| {
            let found = SshCommand::parse(command).unwrap().vigilantly_to(&place(None, "h"));
            assert_eq!(found.join(OsStr::new(" ")), words);
        };
        let options = "-T -x -o BatchMode=yes -o ConnectTimeout=10";
        let vigilance = "-o ServerAliveInterval=1 -o ServerAliveCountMax=3";
        check("ssh -p 1", &format!("ssh -p 1 {options} {vigilance} h"));
        check("docker exec", "docker exec h");
    }

    #[test]
    fn the_remote_shell_sees_nothing_it_could_interpret() {
        let ssh = SshCommand::parse("s").unwrap();
        let words = ssh.words(
            &place(Some("me"), "fd00::1"),
            &Wrapper::Perhaps(Path::new("/it's/bin; rm/dsmwrap")),
            "job=1 rank=2",
        );
        let remote = concat!(
            r#"exec sh -c 'p=$1; shift; if [ -x "$p" ]; then exec "$p" "$@"; fi; exec dsmwrap "$@"' "#,
            r"dsmwrap '/it'\''s/bin; rm/dsmwrap' job=1 rank=2",
        );
        assert_eq!(words, ["s", "me@fd00::1", remote]);
        let words = ssh.words(&place(None, "a"), &Wrapper::At(Path::new("/b/dsmwrap")), "j");
        let remote = r#"exec sh -c 'p=$1; shift; exec "$p" "$@"' dsmwrap '/b/dsmwrap' j"#;
        assert_eq!(words, ["s", "a", remote]);
    }

    #[test]
    fn failures_of_ssh_have_codes_and_causes() {
        let check = |raw: i32, said: &str, code: ExitCode, what: &str| {
            let how = How::Ended(ExitStatus::from_raw(raw));
            let gone = Gone { how, said: said.into() };
            assert_eq!(explain(&gone), (code, what.into()));
        };
        let said = "ssh: Could not resolve hostname x: Name or service not known";
        check(255 << 8, said, ExitCode::UNKNOWN_HOST, &format!(": {said}"));
        let said = "ssh: connect to host x port 22: Connection refused";
        check(255 << 8, said, ExitCode::UNREACHABLE, &format!(": {said}"));
        check(255 << 8, "", ExitCode::UNREACHABLE, ": ssh failed");
        let what = ": dsmwrap is not found there: sh: 1: exec: dsmwrap: not found";
        check(127 << 8, "sh: 1: exec: dsmwrap: not found", ExitCode::UNREACHABLE, what);
        let what = ": ended with code 1 before it began: This account is closed.";
        check(1 << 8, "This account is closed.", ExitCode::UNREACHABLE, what);
        let what = ": killed by signal 9 (SIGKILL) before it began";
        check(9, "", ExitCode::UNREACHABLE, what);
    }
}
