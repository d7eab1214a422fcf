//! At which address each rank listens.

use std::net::{IpAddr, Ipv4Addr};

/// What is known of the way to one rank.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// The machine file says so.
    pub(crate) given: Option<IpAddr>,
    /// The rank runs on this machine.
    pub(crate) here: bool,
    /// Where ssh reached its host.
    pub(crate) reached_at: Option<IpAddr>,
    /// Whence ssh came: an address of this machine, as its host sees it.
    pub(crate) reached_from: Option<IpAddr>,
    /// What its host's name stands for.
    pub(crate) resolved: Vec<IpAddr>,
}

/// The address of every rank.
///
/// # Errors
/// Gives the ranks for which there is none.
pub(crate) fn choose(ranks: &[Reach]) -> Result<Vec<IpAddr>, Vec<usize>> {
    let is_here = |rank: &Reach| rank.here || rank.reached_at.is_some_and(|at| at.is_loopback());
    let alone = ranks.iter().all(is_here);
    let mut others = ranks.iter().filter(|rank| !is_here(rank));
    let this_machine = others.find_map(|rank| usable(rank.reached_from));
    let mut missing = Vec::new();
    let mut chosen = Vec::with_capacity(ranks.len());
    for (index, rank) in ranks.iter().enumerate() {
        let address = match rank.given {
            Some(given) => Some(given),
            None if alone => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            None => {
                let reached = usable(rank.reached_at);
                let known = || rank.resolved.iter().copied().find(|it| !it.is_loopback());
                reached.or_else(|| if is_here(rank) { this_machine } else { known() })
            }
        };
        match address {
            Some(address) => chosen.push(address),
            None => missing.push(index),
        }
    }
    if missing.is_empty() { Ok(chosen) } else { Err(missing) }
}

/// Loopback is of no use to a rank on another machine.
fn usable(address: Option<IpAddr>) -> Option<IpAddr> {
    address.filter(|address| !address.is_loopback() && !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `here`, or the words `given=`, `at=`, `from=`, `named=` with an address.
    fn reach(words: &str) -> Reach {
        let mut reach = Reach::default();
        for word in words.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, "0.0.0.0"));
            let address = Some(value.parse().unwrap());
            match key {
                "here" => reach.here = true,
                "given" => reach.given = address,
                "at" => reach.reached_at = address,
                "from" => reach.reached_from = address,
                _ => reach.resolved.extend(address),
            }
        }
        reach
    }

    #[track_caller]
    fn check(ranks: &[&str], expected: Result<&[&str], &[usize]>) {
        let ranks: Vec<_> = ranks.iter().map(|words| reach(words)).collect();
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(choose(&ranks), expected.map(parse).map_err(<[usize]>::to_vec));
    }

    #[test]
    fn on_one_machine_everything_is_loopback() {
        check(&["here", "here"], Ok(&["127.0.0.1", "127.0.0.1"]));
        let by_ssh = "at=127.0.0.1 from=127.0.0.1";
        check(&["here", by_ssh], Ok(&["127.0.0.1", "127.0.0.1"]));
        check(&["here", "here given=127.0.0.2"], Ok(&["127.0.0.1", "127.0.0.2"]));
    }

    #[test]
    fn between_machines_it_is_where_ssh_went() {
        let remote = "at=10.0.0.2 from=10.0.0.1";
        check(&["here", remote], Ok(&["10.0.0.1", "10.0.0.2"]));
        check(&["at=::1 from=::1", remote], Ok(&["10.0.0.1", "10.0.0.2"]));
        check(&[remote, "at=10.0.0.3 from=10.0.0.1"], Ok(&["10.0.0.2", "10.0.0.3"]));
        check(&["here", "at=fd00::2 from=fd00::1"], Ok(&["fd00::1", "fd00::2"]));
    }

    #[test]
    fn the_machine_file_has_the_last_word() {
        check(&["here", "given=10.9.9.9 at=10.0.0.2 from=10.0.0.1"], Ok(&["10.0.0.1", "10.9.9.9"]));
        check(&["here given=10.7.7.7", "at=10.0.0.2 from=10.0.0.1"], Ok(&["10.7.7.7", "10.0.0.2"]));
    }

    #[test]
    fn without_ssh_the_name_must_do_or_the_address_is_missing() {
        check(&["here given=10.0.0.1", "named=10.0.0.4"], Ok(&["10.0.0.1", "10.0.0.4"]));
        check(&["here", "named=10.0.0.4"], Err(&[0]));
        check(&["here", ""], Err(&[0, 1]));
    }
}
