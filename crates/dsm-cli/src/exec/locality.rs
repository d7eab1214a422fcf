//! Which hosts are this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Where a host is, as far as this machine's names and addresses tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    Here,
    /// Not here; its addresses, if its name has any that are known here.
    Elsewhere(Vec<IpAddr>),
}

/// Locates every host. Names are looked up side by side; one that is not found in time is taken to
/// be elsewhere, and ssh may know better.
pub(crate) fn locate<'a>(hosts: impl Iterator<Item = &'a str>) -> BTreeMap<String, Whereabouts> {
    let mut known = BTreeMap::new();
    let mut names = BTreeSet::new();
    for host in hosts {
        match at_sight(host) {
            Some(whereabouts) => drop(known.insert(host.to_owned(), whereabouts)),
            None => drop(names.insert(host.to_owned())),
        }
    }
    known.extend(look_up(names));
    known
}

/// Where a host is if that can be told without looking up its name.
pub(crate) fn at_sight(host: &str) -> Option<Whereabouts> {
    let own_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if host.eq_ignore_ascii_case("localhost") || host == own_name {
        return Some(Whereabouts::Here);
    }
    let address = host.split('%').next()?.parse().ok()?;
    Some(of_addresses(vec![address]))
}

fn of_addresses(addresses: Vec<IpAddr>) -> Whereabouts {
    let here = addresses.iter().any(|address| is_own(*address));
    if here { Whereabouts::Here } else { Whereabouts::Elsewhere(addresses) }
}

/// A socket can be bound to the machine's own addresses and no others.
fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || (!address.is_multicast() && UdpSocket::bind((address, 0)).is_ok())
}

fn look_up(names: BTreeSet<String>) -> BTreeMap<String, Whereabouts> {
    let deadline = Instant::now() + LOOK_UP;
    let mut found: BTreeMap<_, _> =
        names.iter().map(|name| (name.clone(), Whereabouts::Elsewhere(Vec::new()))).collect();
    let (sender, receiver) = channel();
    let threads = names.len().min(MAX_THREADS);
    let queue = Arc::new(Mutex::new(names));
    for _ in 0..threads {
        let (queue, sender) = (Arc::clone(&queue), sender.clone());
        let next = move || queue.lock().expect("taking a name does not panic").pop_first();
        let work = move || {
            while let Some(name) = next() {
                let addresses = (name.as_str(), 0u16).to_socket_addrs();
                let addresses = addresses.map(|all| all.map(|one| one.ip()).collect());
                let place = of_addresses(addresses.unwrap_or_default());
                if sender.send((name, place)).is_err() {
                    return;
                }
            }
        };
        // Without a thread its names stay unknown, which is no error here.
        let _ = thread::Builder::new().name("look up".into()).spawn(work);
    }
    drop(sender);
    // A thread still stuck in the resolver is left to it.
    while let Ok((name, place)) =
        receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        found.insert(name, place);
    }
    found
}

const LOOK_UP: Duration = Duration::from_secs(4);
const MAX_THREADS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_many_names() {
        let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let here = ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1", own.as_str()];
        let there = ["192.0.2.1", "2001:db8::1", "host.invalid", "224.0.0.1"];
        let located = locate(here.into_iter().chain(there));
        for host in here {
            assert_eq!(located[host], Whereabouts::Here, "{host}");
        }
        for host in there {
            assert_ne!(located[host], Whereabouts::Here, "{host}");
        }
        assert_eq!(
            located["192.0.2.1"],
            Whereabouts::Elsewhere(vec!["192.0.2.1".parse().unwrap()])
        );
    }
}
