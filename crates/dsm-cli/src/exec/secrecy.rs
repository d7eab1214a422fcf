//! Between which ranks of a job connections are encrypted: what dsmexec tells of it. The ranks decide by the same rule.

use super::plan::Plan;
use dsm_net::Encryption;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// What the variables for the ranks say; the last one counts.
pub(crate) fn chosen(environment: &[(Vec<u8>, Vec<u8>)]) -> Encryption {
    let ours = environment.iter().rev().find(|(name, _)| name == VARIABLE.as_bytes());
    let named = ours.and_then(|(_, value)| Encryption::named(str::from_utf8(value).ok()?));
    named.unwrap_or_default()
}

/// For people; nothing where there is no connection, or no key.
pub(crate) fn describe<'a>(
    plan: &Plan,
    addresses: impl Iterator<Item = &'a SocketAddr>,
) -> Option<String> {
    if !plan.profiles.has_key() {
        return None;
    }
    let choice = chosen(&plan.program.environment);
    let (encrypted, all) = connections(choice, addresses.map(SocketAddr::ip));
    (all > 0).then(|| {
        format!("encryption {choice}: {encrypted} of {all} connections between ranks are encrypted")
    })
}

/// How many connections are encrypted, and how many there are.
fn connections(choice: Encryption, addresses: impl Iterator<Item = IpAddr>) -> (u64, u64) {
    let pairs = |ranks: u64| ranks * ranks.saturating_sub(1) / 2;
    // Ranks that share a host, which any two of them decide as all do.
    let mut hosts: BTreeMap<Option<IpAddr>, u64> = BTreeMap::new();
    for address in addresses {
        *hosts.entry((!address.is_loopback()).then_some(address)).or_default() += 1;
    }
    let all = pairs(hosts.values().sum());
    let within: u64 = hosts.values().copied().map(pairs).sum();
    match choice {
        Encryption::Auto => (all - within, all),
        Encryption::Always => (all, all),
        Encryption::Never => (0, all),
    }
}

const VARIABLE: &str = "DSM_ENCRYPT";

#[cfg(test)]
mod tests {
    use super::*;
    use dsm_core::wire::Secrecy;

    #[test]
    fn connections_are_counted_as_ranks_decide() {
        let addresses = ["10.0.0.1", "127.0.0.1", "10.0.0.2", "10.0.0.1", "127.0.0.2", "10.0.0.1"];
        let addresses = addresses.map(|it| it.parse::<IpAddr>().unwrap());
        let is_encrypted =
            |choice: Encryption, one, other| choice.between(one, other) == Secrecy::Encrypted;
        for choice in Encryption::ALL {
            let mut expected = (0, 0);
            for (n, one) in addresses.iter().enumerate() {
                for other in &addresses[..n] {
                    expected.0 += u64::from(is_encrypted(choice, *one, *other));
                    expected.1 += 1;
                }
            }
            assert_eq!(connections(choice, addresses.into_iter()), expected, "{choice}");
        }
        assert_eq!(connections(Encryption::Always, std::iter::empty()), (0, 0));
    }

    #[test]
    fn the_last_of_several_variables_counts() {
        let pair = |name: &str, value: &str| (name.into(), value.into());
        let environment = [pair("DSM_ENCRYPT", "always"), pair("DSM_ENCRYPT", "never")];
        assert_eq!(chosen(&environment), Encryption::Never);
        assert_eq!(chosen(&environment[..1]), Encryption::Always);
        assert_eq!(chosen(&[pair("DSM_ENCRYPTED", "always")]), Encryption::Auto);
    }
}
