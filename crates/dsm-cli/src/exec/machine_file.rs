//! The machine file: one host per line, in rank order.

use crate::words;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where one rank is to run, as a line of the machine file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// As written, for people.
    pub(crate) text: String,
    /// The login name, if one is given.
    pub(crate) user: Option<String>,
    /// The name or address, without user and brackets.
    pub(crate) host: String,
    /// Where other ranks are to reach it, if that is given.
    pub(crate) address: Option<IpAddr>,
}

/// A machine file that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum MachineFileError {
    #[error("cannot read machine file {path}: {cause}", path = path.display(), cause = words::of_error(source))]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}:{line}: {found}, expected {expected}", path = path.display())]
    Line { path: PathBuf, line: usize, found: String, expected: &'static str },
    #[error("{path}: no host in it, expected one per line, in rank order", path = path.display())]
    Empty { path: PathBuf },
    #[error("{path}: it has {found} ranks, expected at least the {expected} asked for", path = path.display())]
    TooFew { path: PathBuf, found: usize, expected: usize },
}

/// What is wrong with a line: what was found, and what was expected.
struct Fault(String, &'static str);

/// Reads the places of all ranks; with `ranks`, of the first so many.
///
/// # Errors
/// Names the file, and the line where there is one.
pub(crate) fn read(path: &Path, ranks: Option<usize>) -> Result<Vec<Place>, MachineFileError> {
    let file = File::open(path)
        .map_err(|source| MachineFileError::Read { path: path.to_path_buf(), source })?;
    let mut places = parse(path, BufReader::new(file))?;
    if let Some(expected) = ranks {
        if places.len() < expected {
            let (path, found) = (path.to_path_buf(), places.len());
            return Err(MachineFileError::TooFew { path, found, expected });
        }
        places.truncate(expected);
    }
    Ok(places)
}

/// Reads no more than it uses: what is too long is not read to its end.
pub(super) fn parse(path: &Path, mut file: impl BufRead) -> Result<Vec<Place>, MachineFileError> {
    let mut places = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = file.by_ref().take(MAX_LINE_BYTES as u64 + 8).read_until(b'\n', &mut line);
        let count =
            read.map_err(|source| MachineFileError::Read { path: path.to_path_buf(), source })?;
        if count == 0 {
            break;
        }
        if number == 1 && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        let parsed = match number {
            ..=MAX_LINES => parse_line(line.strip_suffix(b"\n").unwrap_or(&line)),
            _ => Err(Fault("one more line".into(), "at most 262144 lines")),
        };
        let parsed = parsed.and_then(|entry| match entry {
            Some((_, slots)) if slots > MAX_RANKS - places.len() => {
                Err(Fault(format!("rank {MAX_RANKS}"), "at most 65535 ranks"))
            }
            entry => Ok(entry),
        });
        match parsed {
            Ok(Some((place, slots))) => places.extend(std::iter::repeat_n(place, slots)),
            Ok(None) => (),
            Err(Fault(found, expected)) => {
                let path = path.to_path_buf();
                return Err(MachineFileError::Line { path, line: number, found, expected });
            }
        }
    }
    if places.is_empty() {
        return Err(MachineFileError::Empty { path: path.to_path_buf() });
    }
    Ok(places)
}

/// The place on a line and how many ranks it gets; nothing for a blank line.
fn parse_line(line: &[u8]) -> Result<Option<(Place, usize)>, Fault> {
    if line.len() > MAX_LINE_BYTES {
        return Err(Fault(format!("a line of over {MAX_LINE_BYTES} bytes"), "less"));
    }
    let Ok(line) = std::str::from_utf8(line) else {
        return Err(Fault("bytes that are not UTF-8".into(), "text"));
    };
    let line = line.split('#').next().unwrap_or_default().trim();
    if line.is_empty() {
        return Ok(None);
    }
    let (text, keys) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let mut place = parse_host(text)?;
    let mut slots = 1;
    for (key, value) in parse_keys(keys)? {
        match key.as_str() {
            "slots" => slots = parse_slots(&value)?,
            "address" => {
                let address = value.parse().map_err(|_| {
                    Fault(format!("address={}", shown(&value)), "an IPv4 or IPv6 address")
                })?;
                place.address = Some(address);
            }
            _ => return Err(Fault(format!("key {}", shown(&key)), KEYS)),
        }
    }
    Ok(Some((place, slots)))
}

/// `key=value` words; blanks around `=` are tolerated.
fn parse_keys(text: &str) -> Result<Vec<(String, String)>, Fault> {
    let spaced = text.replace('=', " = ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    words
        .chunks(3)
        .map(|words| match words {
            [key, "=", value] if *key != "=" && *value != "=" => {
                Ok(((*key).to_owned(), (*value).to_owned()))
            }
            other => Err(Fault(shown(&other.join(" ")), KEYS)),
        })
        .collect()
}

fn parse_slots(value: &str) -> Result<usize, Fault> {
    let slots = value.parse().ok().filter(|slots| (1..=MAX_RANKS).contains(slots));
    slots.ok_or_else(|| {
        Fault(format!("slots={}", shown(value)), "a number of ranks from 1 to 65535")
    })
}

fn parse_host(text: &str) -> Result<Place, Fault> {
    let (user, host) = match text.split_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, text),
    };
    if let Some(user) = user
        && (user.is_empty() || user.starts_with('-') || !user.chars().all(is_user_char))
    {
        return Err(Fault(format!("user {}", shown(user)), "letters, digits and . _ - +"));
    }
    let host = parse_name(host)?;
    Ok(Place { text: text.into(), user: user.map(Into::into), host, address: None })
}

fn parse_name(host: &str) -> Result<String, Fault> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let name = bare.unwrap_or(host);
    if name.contains(':') || bare.is_some() {
        let (address, scope) = name.split_once('%').unwrap_or((name, "any"));
        if address.parse::<Ipv6Addr>().is_err() || !scope.chars().all(is_name_char) {
            let found = format!("host {}", shown(host));
            return Err(Fault(found, "a name or an address; a port belongs into ~/.ssh/config"));
        }
    } else if name.is_empty() || name.starts_with('-') || !name.chars().all(is_name_char) {
        let found = format!("host {}", shown(host));
        return Err(Fault(found, "letters, digits and . _ - , not beginning with -"));
    }
    Ok(name.into())
}

fn is_name_char(symbol: char) -> bool {
    symbol.is_ascii_alphanumeric() || matches!(symbol, '.' | '_' | '-')
}

fn is_user_char(symbol: char) -> bool {
    is_name_char(symbol) || symbol == '+'
}

/// Quoted, with what is not printable escaped, and not too long for a line.
fn shown(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Rank numbers are 16 bits, and so is their count.
const MAX_RANKS: usize = 65_535;
const MAX_LINE_BYTES: usize = 4096;
/// Four for each rank there can be.
const MAX_LINES: usize = 262_144;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const KEYS: &str = "slots=N or address=IP";

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<String> {
        let places = parse(Path::new("m"), file.as_bytes()).unwrap();
        places.into_iter().map(|place| place.text).collect()
    }

    #[track_caller]
    fn check_error(file: impl AsRef<[u8]>, message: &str) {
        let error = parse(Path::new("m"), file.as_ref()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        for (path, message) in [
            ("/dev/zero", "/dev/zero:1: a line of over 4096 bytes, expected less"),
            ("/dev/urandom", "/dev/urandom:"),
            ("/", "cannot read machine file /: is a directory"),
        ] {
            let error = read(Path::new(path), None).unwrap_err().to_string();
            assert!(error.to_lowercase().starts_with(message), "{error}");
        }
    }

    #[test]
    fn hosts_come_in_rank_order() {
        let check = |file: &str, hosts: &[&str]| assert_eq!(texts(file), hosts, "{file:?}");
        check("a", &["a"]);
        check("a\nb\na\n", &["a", "b", "a"]);
        check("\u{feff}# one\r\n\r\na # first\r\n\tb#second\r\n", &["a", "b"]);
        check("a slots=2\nb slots = 3 # mpirun\nc slots= 1", &["a", "a", "b", "b", "b", "c"]);
        check(
            "me@a\n::1\n[fe80::1%eth0]\n10.0.0.1",
            &["me@a", "::1", "[fe80::1%eth0]", "10.0.0.1"],
        );
    }

    #[test]
    fn a_line_has_parts() {
        let check = |line: &str, user: Option<&str>, host: &str, address: Option<&str>| {
            let places = parse(Path::new("m"), line.as_bytes()).unwrap();
            let place = &places[0];
            assert_eq!((place.user.as_deref(), place.host.as_str()), (user, host), "{line:?}");
            assert_eq!(place.address, address.map(|text| text.parse().unwrap()), "{line:?}");
        };
        check("a", None, "a", None);
        check("u+x@a.b-c_d", Some("u+x"), "a.b-c_d", None);
        check("u@[fd00::2]", Some("u"), "fd00::2", None);
        check("a address=10.1.2.3", None, "a", Some("10.1.2.3"));
        check("a slots=2 address = fd00::3", None, "a", Some("fd00::3"));
    }

    #[test]
    fn errors_name_line_and_expectation() {
        let host = "expected letters, digits and . _ - , not beginning with -";
        let name = "expected a name or an address; a port belongs into ~/.ssh/config";
        let keys = "expected slots=N or address=IP";
        let slots = "expected a number of ranks from 1 to 65535";
        check_error("", "m: no host in it, expected one per line, in rank order");
        check_error("# none\n\n", "m: no host in it, expected one per line, in rank order");
        check_error("a\n-oProxyCommand=x", &format!("m:2: host \"-oProxyCommand=x\", {host}"));
        check_error("a\u{7}", &format!("m:1: host \"a\\u{{7}}\", {host}"));
        check_error("$(reboot)", &format!("m:1: host \"$(reboot)\", {host}"));
        check_error("u@", &format!("m:1: host \"\", {host}"));
        check_error("-u@a", "m:1: user \"-u\", expected letters, digits and . _ - +");
        check_error("a:22", &format!("m:1: host \"a:22\", {name}"));
        check_error("[a]", &format!("m:1: host \"[a]\", {name}"));
        check_error("a slots=0", &format!("m:1: slots=\"0\", {slots}"));
        check_error("a slots=99999", &format!("m:1: slots=\"99999\", {slots}"));
        check_error("a slots=-1", &format!("m:1: slots=\"-1\", {slots}"));
        check_error("a 4", &format!("m:1: \"4\", {keys}"));
        check_error("a slots=", &format!("m:1: \"slots =\", {keys}"));
        check_error("a cores=4", &format!("m:1: key \"cores\", {keys}"));
        check_error("a address=b", "m:1: address=\"b\", expected an IPv4 or IPv6 address");
        check_error(b"a\n\xff", "m:2: bytes that are not UTF-8, expected text");
        check_error(vec![b'a'; 4097], "m:1: a line of over 4096 bytes, expected less");
        check_error(b"a\0b", &format!("m:1: host \"a\\0b\", {host}"));
        check_error("`reboot`", &format!("m:1: host \"`reboot`\", {host}"));
        check_error("u@-oProxyCommand=x", &format!("m:1: host \"-oProxyCommand=x\", {host}"));
        check_error("u@[-x]", &format!("m:1: host \"[-x]\", {name}"));
        check_error("\n".repeat(262_145), "m:262145: one more line, expected at most 262144 lines");
        check_error("a slots=65535\nb", "m:2: rank 65535, expected at most 65535 ranks");
    }

    #[test]
    fn a_file_may_be_cut_but_not_stretched() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a\nb\nc\n").unwrap();
        assert_eq!(read(file.path(), Some(2)).unwrap().len(), 2);
        let error = read(file.path(), Some(4)).unwrap_err().to_string();
        assert!(error.ends_with("it has 3 ranks, expected at least the 4 asked for"), "{error}");
        let error = read(Path::new("/nowhere/m"), None).unwrap_err().to_string();
        assert!(error.starts_with("cannot read machine file /nowhere/m: no such"), "{error}");
    }
}
