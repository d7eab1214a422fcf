use dsm_core::wire::Secrecy;
use std::fmt;
use std::net::IpAddr;

/// Between which ranks of a job with a key connections are encrypted. All ranks are told the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Between ranks of different hosts: what stays inside a host can be read there only by those who can read
    /// the ranks' memory as well.
    #[default]
    Auto,
    /// Between all ranks.
    Always,
    /// Between none; they authenticate each other all the same.
    Never,
}

impl Encryption {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Always, Self::Never];

    /// Its name in `DSM_ENCRYPT` and on command lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// The choice of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == name)
    }

    /// What this means for two ranks that listen at these addresses: both find the same.
    #[must_use]
    pub fn between(self, one: IpAddr, other: IpAddr) -> Secrecy {
        let shares_host = one == other || (one.is_loopback() && other.is_loopback());
        match self {
            Self::Auto if shares_host => Secrecy::Plain,
            Self::Never => Secrecy::Plain,
            Self::Auto | Self::Always => Secrecy::Encrypted,
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart_by_their_addresses() {
        let between = |choice: Encryption, one: &str, other: &str| {
            let secrecy = choice.between(one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(choice.between(other.parse().unwrap(), one.parse().unwrap()), secrecy);
            secrecy
        };
        let (a, b, near, loopback) = ("10.0.0.1", "10.0.0.2", "127.0.0.1", "127.0.0.2");
        assert_eq!(between(Encryption::Auto, a, b), Secrecy::Encrypted);
        assert_eq!(between(Encryption::Auto, a, a), Secrecy::Plain);
        assert_eq!(between(Encryption::Auto, near, loopback), Secrecy::Plain);
        assert_eq!(between(Encryption::Auto, near, a), Secrecy::Encrypted);
        assert_eq!(between(Encryption::Always, near, near), Secrecy::Encrypted);
        assert_eq!(between(Encryption::Never, a, b), Secrecy::Plain);
        for choice in Encryption::ALL {
            assert_eq!(Encryption::named(choice.as_str()), Some(choice));
        }
    }
}
