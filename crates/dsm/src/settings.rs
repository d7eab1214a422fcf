//! What varies between runs, read from the environment once: [`SETTINGS`].

use dsm_core::Placement;
use dsm_mem::Choice;
use dsm_net::Encryption;
use std::env;
use std::time::Duration;
use thiserror::Error;

/// How the region of this rank is to be. Base, sizes and placement must be equal on all ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) base: usize,
    pub(crate) bytes: usize,
    pub(crate) heap_bytes: usize,
    pub(crate) placement: Placement,
    pub(crate) fault: Choice,
    pub(crate) hold: Duration,
    pub(crate) spin: Duration,
    /// How many pages are fetched ahead of a thread at most.
    pub(crate) prefetch: u16,
    pub(crate) join_timeout: Duration,
    pub(crate) peer: PeerProfile,
    pub(crate) encryption: Encryption,
}

/// How the ranks of a job speak to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerProfile {
    /// As this library does.
    #[default]
    Native,
    /// As members of the PR204 family with requests of eight bytes do; two ranks.
    Seed8,
    /// As members of the PR204 family that tell all ranks of every move of a page do; up to eight ranks.
    Bcast,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{variable} is {value:?}, expected {expected}")]
pub struct SettingError {
    variable: &'static str,
    value: String,
    expected: String,
}

/// The variables that set up a rank's runtime. An empty one is as good as none.
pub const SETTINGS: [&str; 11] = [
    "DSM_SIZE",
    "DSM_HEAP",
    "DSM_BASE",
    "DSM_PLACEMENT",
    "DSM_FAULT",
    "DSM_HOLD_US",
    "DSM_SPIN_US",
    "DSM_PREFETCH",
    "DSM_JOIN_TIMEOUT_S",
    "DSM_PEER",
    "DSM_ENCRYPT",
];

/// Whether one of [`SETTINGS`] may have this value, for whoever sets it for ranks to come.
///
/// # Errors
/// Says what was expected.
pub fn check_setting(variable: &str, value: &str) -> Result<(), SettingError> {
    Settings::read(|name| (name == variable).then(|| value.to_owned())).map(|_| ())
}

impl PeerProfile {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Native, Self::Seed8, Self::Bcast];

    /// Its name in `DSM_PEER` and on command lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Seed8 => "seed8",
            Self::Bcast => "bcast",
        }
    }

    /// The profile of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == name)
    }
}

impl SettingError {
    /// What would have been right, in words.
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.expected
    }
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// Names the variable, its value and what was expected.
    pub(crate) fn from_environment() -> Result<Self, SettingError> {
        Self::read(|variable| {
            env::var_os(variable).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// A job with a key lets nobody in who does not show it, and members of the PR204 family know none. One
    /// without has nothing to encrypt with.
    ///
    /// # Errors
    /// If the ranks of a job with a key are to speak otherwise than natively, or those of one without encrypted.
    pub(crate) fn check_key(&self, job_has_key: bool) -> Result<(), SettingError> {
        if !job_has_key && self.encryption == Encryption::Always {
            return Err(SettingError {
                variable: "DSM_ENCRYPT",
                value: self.encryption.as_str().to_owned(),
                expected: "auto or never: this job has no key".to_owned(),
            });
        }
        if !job_has_key || self.peer == PeerProfile::Native {
            return Ok(());
        }
        Err(SettingError {
            variable: "DSM_PEER",
            value: self.peer.as_str().to_owned(),
            expected: "native: this job has a key (dsmexec --peer starts one without)".to_owned(),
        })
    }

    fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, SettingError> {
        let read = |name, expected: &str, parse: fn(&str) -> Option<u64>, default: u64| {
            let Some(value) = variable(name).filter(|value| !value.is_empty()) else {
                return Ok(default);
            };
            parse(&value).ok_or(SettingError { variable: name, value, expected: expected.into() })
        };
        let bytes =
            read("DSM_SIZE", "bytes, or a number with K, M, G or T", bytes_of, DEFAULT_BYTES)?;
        let heap =
            read("DSM_HEAP", "bytes, or a number with K, M, G or T", bytes_of, DEFAULT_HEAP)?;
        let base =
            read("DSM_BASE", "an address, such as 0x200000000000", address_of, DEFAULT_BASE)?;
        let hold = read("DSM_HOLD_US", "microseconds up to 1000000", hold_of, DEFAULT_HOLD_US)?;
        let spin = read("DSM_SPIN_US", "microseconds up to 1000000", hold_of, DEFAULT_SPIN_US)?;
        let prefetch = read("DSM_PREFETCH", "pages from 0 to 256", pages_of, DEFAULT_PREFETCH)?;
        let join =
            read("DSM_JOIN_TIMEOUT_S", "seconds from 1 to 86400", timeout_of, DEFAULT_JOIN_S)?;
        let named = |name| variable(name).filter(|value| !value.is_empty());
        let placement = match named("DSM_PLACEMENT") {
            None => Placement::default(),
            Some(value) => Placement::named(&value).ok_or_else(|| SettingError {
                variable: "DSM_PLACEMENT",
                value,
                expected: one_of(&Placement::ALL.map(Placement::as_str)),
            })?,
        };
        let fault = match named("DSM_FAULT") {
            None => Choice::Auto,
            Some(value) => value.parse().map_err(|_| SettingError {
                variable: "DSM_FAULT",
                value,
                expected: "auto, uffd or sigsegv".into(),
            })?,
        };
        let peer = match named("DSM_PEER") {
            None => PeerProfile::default(),
            Some(value) => PeerProfile::named(&value).ok_or_else(|| SettingError {
                variable: "DSM_PEER",
                value,
                expected: one_of(&PeerProfile::ALL.map(PeerProfile::as_str)),
            })?,
        };
        let encryption = match named("DSM_ENCRYPT") {
            None => Encryption::default(),
            Some(value) => Encryption::named(&value).ok_or_else(|| SettingError {
                variable: "DSM_ENCRYPT",
                value,
                expected: one_of(&Encryption::ALL.map(Encryption::as_str)),
            })?,
        };
        Ok(Self {
            base: to_usize(base),
            bytes: to_usize(bytes),
            heap_bytes: to_usize(heap),
            placement,
            fault,
            hold: Duration::from_micros(hold),
            spin: Duration::from_micros(spin),
            prefetch: u16::try_from(prefetch).expect("it was checked"),
            join_timeout: Duration::from_secs(join),
            peer,
            encryption,
        })
    }
}

/// `a, b or c`.
fn one_of(names: &[&str]) -> String {
    let (last, others) = names.split_last().expect("there is a choice");
    format!("{} or {last}", others.join(", "))
}

/// `4096`, `64K`, `1G`: binary multiples, at least 1.
fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let factor: u64 = match &text[digits.len()..] {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        "T" | "t" => 1 << 40,
        _ => return None,
    };
    let count: u64 = digits.parse().ok()?;
    count.checked_mul(factor).filter(|bytes| (1..=MAX_BYTES).contains(bytes))
}

fn address_of(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn hold_of(text: &str) -> Option<u64> {
    text.parse().ok().filter(|us| *us <= 1_000_000)
}

fn pages_of(text: &str) -> Option<u64> {
    text.parse().ok().filter(|pages| *pages <= MOST_PREFETCH.into())
}

fn timeout_of(text: &str) -> Option<u64> {
    text.parse().ok().filter(|s| (1..=86_400).contains(s))
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).expect("dsm runs on 64-bit machines")
}

const DEFAULT_BYTES: u64 = 1 << 30;
/// Address space only: what is not allocated and touched costs nothing.
const DEFAULT_HEAP: u64 = 64 << 30;
/// Half of the 47-bit address space of x86-64.
const MAX_BYTES: u64 = 1 << 46;
/// Far from where Linux puts programs, heaps, libraries and stacks, and above what the address sanitizer
/// reserves.
const DEFAULT_BASE: u64 = 0x2000_0000_0000;
/// Long enough for a woken thread to run, short beside what a stolen page costs; measured in docs/DESIGN.md.
const DEFAULT_HOLD_US: u64 = 10;
/// Longer than an answer takes, short beside what waking an idle processor costs; see docs/DESIGN.md.
const DEFAULT_SPIN_US: u64 = 50;
/// Enough to keep a connection busy while a thread reads what has come.
const DEFAULT_PREFETCH: u64 = MOST_PREFETCH as u64;
/// What may come in vain when a walk through memory ends.
pub(crate) const MOST_PREFETCH: u16 = 256;
const DEFAULT_JOIN_S: u64 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, value: &'static str) -> Result<Settings, SettingError> {
        Settings::read(|variable| (variable == name).then(|| value.to_owned()))
    }

    #[test]
    fn sizes_take_binary_suffixes() {
        assert_eq!(check("DSM_SIZE", "64M").map(|s| s.bytes), Ok(64 << 20));
        assert_eq!(check("DSM_SIZE", "1T").map(|s| s.bytes), Ok(1 << 40));
        assert_eq!(check("DSM_SIZE", "").map(|s| s.bytes), Ok(1 << 30));
    }

    #[test]
    fn every_variable_that_is_read_is_named() {
        let asked = std::cell::RefCell::new(Vec::new());
        let read = Settings::read(|variable| {
            asked.borrow_mut().push(variable);
            None
        });
        assert!(read.is_ok());
        let (mut asked, mut named) = (asked.into_inner(), SETTINGS.to_vec());
        asked.sort_unstable();
        named.sort_unstable();
        assert_eq!(asked, named);
    }

    #[test]
    fn a_bad_setting_names_variable_value_and_expectation() {
        let bad = ["64Q", "-1", "0", "lots", "99999999999999999999", "20000T", "M", "1KB"];
        for value in bad {
            let error = check("DSM_SIZE", value).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("DSM_SIZE is {value:?}, expected bytes, or a number with K, M, G or T")
            );
        }
        for base in ["0xzz", "0x", "-1", "x"] {
            assert!(check("DSM_BASE", base).is_err(), "{base}");
        }
        assert_eq!(check("DSM_BASE", "8192").map(|s| s.base), Ok(8192));
        let error = check("DSM_PLACEMENT", "Block").unwrap_err();
        assert_eq!(error.expected(), "cyclic, block, random or first-touch");
        let block = check("DSM_PLACEMENT", "block").map(|s| s.placement);
        assert_eq!(block, Ok(Placement::Block));
        assert!(check("DSM_FAULT", "maybe").is_err());
        let error = check("DSM_PEER", "eb12").unwrap_err();
        assert_eq!(error.expected(), "native, seed8 or bcast");
        assert_eq!(check("DSM_PEER", "bcast").map(|s| s.peer), Ok(PeerProfile::Bcast));
        assert!(check("DSM_HOLD_US", "1000001").is_err());
        assert!(check("DSM_PREFETCH", "257").is_err());
        assert_eq!(check("DSM_PREFETCH", "0").map(|s| s.prefetch), Ok(0));
        let error = check("DSM_ENCRYPT", "yes").unwrap_err();
        assert_eq!(error.expected(), "auto, always or never");
    }

    #[test]
    fn what_a_key_is_needed_for_is_refused_without_one() {
        let with = |name, value| check(name, value).unwrap();
        let refused = |settings: Settings, key| settings.check_key(key).map_err(|it| it.variable);
        assert_eq!(refused(with("DSM_ENCRYPT", "always"), false), Err("DSM_ENCRYPT"));
        assert_eq!(refused(with("DSM_ENCRYPT", "always"), true), Ok(()));
        assert_eq!(refused(with("DSM_ENCRYPT", "auto"), false), Ok(()));
        assert_eq!(refused(with("DSM_PEER", "seed8"), true), Err("DSM_PEER"));
        assert_eq!(refused(with("DSM_PEER", "seed8"), false), Ok(()));
    }
}
