//! How a process becomes a member of its job.

use super::{JoinError, Node, system};
use crate::calls::Calls;
use crate::counters::Counters;
use crate::descriptors;
use crate::driver::end::VERDICT_TIMEOUT;
use crate::driver::mend::Mender;
use crate::driver::{Driver, Parts};
use crate::fatal::Fatal;
use crate::heap::Arena;
use crate::launch::Found;
use crate::locks::Locks;
use crate::pr204::{self, Foreign};
use crate::room;
use crate::service::Service;
use crate::settings::Settings;
use crate::supervisor::Supervisor;
use dsm_core::pr204::Profile;
use dsm_core::wire::{Hello, Limits, Secrecy, VERSION};
use dsm_core::{Config, Engine, Hold, Placement, Rank, Space};
use dsm_mem::{Faults, Hidden, Layout, Region};
use dsm_net::connection::Connection;
use dsm_net::keys::{KEY_BYTES, PairKeys};
use dsm_net::launch::Status;
use dsm_net::rendezvous::{Met, Notice, Party, Rendezvous, RendezvousError, Waiting};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

impl Node {
    #[inline(never)]
    pub(super) fn join_once() -> Result<Self, JoinError> {
        let settings = Settings::from_environment()?;
        let Some(found) = Found::find(settings.join_timeout)? else {
            return Self::alone(&settings, None);
        };
        Self::join_job(&settings, &found).inspect_err(|error| {
            let Some(supervisor) = &found.supervisor else { return };
            let (code, reason) = (error.exit_code(), error.to_string());
            match error {
                JoinError::Rendezvous(
                    RendezvousError::Lost { rank, .. } | RendezvousError::Connect { rank, .. },
                ) => {
                    // The other rank may have ended first: the launcher finds out which failed.
                    supervisor.tell(&Status::ContactLost { rank: rank.0, cause: reason });
                    supervisor.wait_for_end(VERDICT_TIMEOUT);
                }
                _ => supervisor.tell(&Status::Failed { code, reason }),
            }
        })
    }

    /// A job of one rank: its pages never leave, so nothing faults, and every token is its own.
    fn alone(settings: &Settings, supervisor: Option<Arc<Supervisor>>) -> Result<Self, JoinError> {
        let region = Arc::new(Region::reserve_alone(layout(settings))?);
        let place = Place {
            rank: Rank(0),
            space: space(1, &region, Placement::Cyclic),
            hosts: Vec::new(),
            addresses: Arc::default(),
            hold: Duration::ZERO,
            spin: Duration::ZERO,
            prefetch: 0,
        };
        Self::start(place, region, None, Connected::default(), supervisor)
    }

    fn join_job(settings: &Settings, found: &Found) -> Result<Self, JoinError> {
        settings.check_key(found.key.is_some())?;
        found.announce(settings.peer);
        descriptors::provide(found.nodes.len())?;
        // A job of one rank needs no threads.
        if found.nodes.len() > 1 {
            room::check(settings.bytes.saturating_add(settings.heap_bytes))?;
        }
        if let Some(profile) = pr204::profile_of(settings.peer, found.nodes.len())? {
            return Self::join_foreign(settings, profile, found);
        }
        if found.nodes.len() == 1 {
            found.tell(&Status::Joining);
            let node = Self::alone(settings, found.supervisor.clone())?;
            found.tell(&Status::Joined { fault_engine: "none: one rank".to_owned() });
            return Ok(node);
        }
        let region = Arc::new(Region::reserve(layout(settings))?);
        let faults = Faults::start(Arc::clone(&region), settings.fault)?;
        let fault_engine = faults.describe();
        let hello = hello(found, &region, settings.placement);
        let space = space(hello.nodes, &region, settings.placement);
        found.tell(&Status::Joining);
        let peers = meet(settings, found, hello, space)?;
        let hosts = hosts(found);
        let Settings { hold, spin, prefetch, .. } = *settings;
        let addresses = addresses(found);
        let place = Place { rank: hello.from, space, hosts, addresses, hold, spin, prefetch };
        let node = Self::start(place, region, Some(faults), peers, found.supervisor.clone())?;
        found.tell(&Status::Joined { fault_engine });
        Ok(node)
    }

    /// Joins ranks that speak as the PR204 family does.
    fn join_foreign(
        settings: &Settings,
        profile: Profile,
        found: &Found,
    ) -> Result<Self, JoinError> {
        pr204::announce_ignored(found.rank, settings.peer);
        let region = Arc::new(pr204::reserve()?);
        let faults = Faults::start(Arc::clone(&region), settings.fault)?;
        let fault_engine = faults.describe();
        let nodes = u16::try_from(found.nodes.len()).expect("the number of nodes was checked");
        let times = (REMIND_AFTER, settings.join_timeout);
        found.tell(&Status::Joining);
        let streams = pr204::meet(profile, found, times, |missing| {
            tell(found.rank, &hosts(found), Notice::Missing(missing));
        })?;
        let foreign = Foreign::new(settings.peer).map_err(system("make an eventfd"))?;
        let (counters, rank) = (Arc::<Counters>::default(), found.rank);
        let driver = pr204::Driver::new(pr204::Parts {
            profile,
            rank,
            hosts: hosts(found),
            region: Arc::clone(&region),
            faults,
            streams,
            counters: Arc::clone(&counters),
            supervisor: found.supervisor.clone(),
            finalize: foreign.finalize_event(),
            hold: settings.hold,
        });
        let driver = driver.map_err(not_started)?;
        let driver = Mutex::new(Some(driver.spawn().map_err(system("start the driver thread"))?));
        found.tell(&Status::Joined { fault_engine });
        let space = space(nodes, &region, Placement::Cyclic);
        Ok(Self {
            rank,
            space,
            calls: Arc::new(Calls::new().map_err(system("make an eventfd"))?),
            locks: Arc::new(Locks::new(None).at(rank, region.base())),
            arena: Arc::new(Arena::new(region.page_bytes())),
            region,
            counters,
            driver,
            supervisor: found.supervisor.clone(),
            addresses: addresses(found),
            foreign: Some(foreign),
        })
    }

    fn start(
        Place { rank, space, hosts, addresses, hold, spin, prefetch }: Place,
        region: Arc<Region>,
        faults: Option<Faults>,
        Connected { peers, mender }: Connected,
        supervisor: Option<Arc<Supervisor>>,
    ) -> Result<Self, JoinError> {
        let counters = Arc::<Counters>::default();
        let calls = Arc::new(Calls::new().map_err(system("make an eventfd"))?);
        calls.limit_prefetch(prefetch);
        let tokens_move = space.nodes > 1;
        let locks = Locks::new(tokens_move.then(|| Arc::clone(&calls)));
        let locks = Arc::new(locks.at(rank, region.base()));
        let arena = Arc::new(Arena::new(region.page_bytes()));
        let core_hold = if hold.is_zero() { Hold::None } else { Hold::Timed };
        let driver = Driver::new(Parts {
            rank,
            space,
            engine: Engine::new(Config { rank, space, hold: core_hold }),
            region: Arc::clone(&region),
            faults,
            peers,
            mender,
            calls: Arc::clone(&calls),
            locks: Arc::clone(&locks),
            arena: Arc::clone(&arena),
            counters: Arc::clone(&counters),
            supervisor: supervisor.as_ref(),
            hold,
        });
        let driver = driver.and_then(|driver| {
            Service::new(driver, &calls, &locks, supervisor.clone(), hosts, spin)?.spawn()
        });
        let driver = driver.map_err(not_started)?;
        let driver = Mutex::new(Some(driver));
        let foreign = None;
        Ok(Self {
            rank,
            space,
            region,
            counters,
            calls,
            locks,
            arena,
            driver,
            supervisor,
            addresses,
            foreign,
        })
    }
}

/// The connections of a rank, and what makes them again.
#[derive(Default)]
struct Connected {
    peers: BTreeMap<Rank, Connection>,
    mender: Option<Mender>,
}

/// Where a rank stands in its job, and how long pages stay there.
struct Place {
    rank: Rank,
    space: Space,
    /// Of all ranks; none if there are no others.
    hosts: Vec<String>,
    addresses: Arc<[IpAddr]>,
    hold: Duration,
    spin: Duration,
    prefetch: u16,
}

fn layout(settings: &Settings) -> Layout {
    let &Settings { base, bytes, heap_bytes, .. } = settings;
    Layout { base, bytes, heap_bytes }
}

fn space(nodes: u16, region: &Region, placement: Placement) -> Space {
    let page_bytes = region.page_bytes();
    Space {
        nodes,
        pages: region.pages(),
        area_pages: (region.area_bytes() / page_bytes) as u64,
        page_words: (page_bytes / size_of::<u64>()) as u64,
        placement,
    }
}

fn hello(found: &Found, region: &Region, placement: Placement) -> Hello {
    let from = found.rank;
    Hello {
        version: VERSION,
        from,
        to: from,
        nodes: u16::try_from(found.nodes.len()).expect("the number of nodes was checked"),
        page_bytes: u32::try_from(region.page_bytes()).expect("pages are small"),
        secrecy: Secrecy::default(),
        base: region.base() as u64,
        size: region.area_bytes() as u64,
        heap: region.heap_bytes() as u64,
        placement,
        received: 0,
    }
}

fn meet(
    settings: &Settings,
    found: &Found,
    hello: Hello,
    space: Space,
) -> Result<Connected, JoinError> {
    let store = Hidden::new(found.nodes.len() * KEY_BYTES);
    let store = store.map_err(system("hide keys from core files"))?;
    let listener = found.listener.try_clone().map_err(system("keep the listening socket"))?;
    let mut rendezvous = Rendezvous::new(Party {
        hello,
        keys: PairKeys::derive(found.job, found.key.as_ref(), found.rank, hello.nodes, store),
        encryption: settings.encryption,
        addresses: found.addresses(),
        listener,
    });
    let waiting = Waiting {
        refusals: found.refusals(),
        ended: found.supervisor.as_ref().map(|supervisor| supervisor.as_fd()),
        remind_after: REMIND_AFTER,
        give_up_after: settings.join_timeout,
    };
    let met = rendezvous.meet(&waiting, |notice| match notice {
        Notice::Unmet { ranks, is_besieged } => {
            found.tell(&Status::Unmet { ranks: ranks.to_vec(), is_besieged });
        }
        notice => tell(found.rank, &hosts(found), notice),
    })?;
    let limits = Limits { space, page_bytes: hello.page_bytes };
    let connections = met.into_iter().map(|(rank, Met { stream, cipher, .. })| {
        let connection = Connection::new(stream, cipher, limits);
        Ok((rank, connection.map_err(system("set up a connection"))?))
    });
    let peers = connections.collect::<Result<_, JoinError>>()?;
    // Without a launcher that ends the job, a rank that may have gone is not waited for.
    let mender = found.supervisor.as_ref().map(|_| {
        let (own, hosts) = (found.rank, hosts(found));
        let tell = move |notice: Notice<'_>| {
            if matches!(notice, Notice::Silent { .. } | Notice::TurnedAway { .. }) {
                tell(own, &hosts, notice);
            }
        };
        Mender::new(rendezvous, Box::new(tell)).map_err(system("make an eventfd"))
    });
    Ok(Connected { peers, mender: mender.transpose()? })
}

/// The hosts of all ranks, in their order.
fn hosts(found: &Found) -> Vec<String> {
    found.nodes.iter().map(|node| node.host.clone()).collect()
}

fn addresses(found: &Found) -> Arc<[IpAddr]> {
    found.nodes.iter().map(|node| node.address.ip()).collect()
}

/// Says what keeps the ranks from meeting, and who was turned away.
fn tell(own: Rank, hosts: &[String], notice: Notice<'_>) {
    let host_of = |rank: Rank| &hosts[usize::from(rank.0)];
    let line = match notice {
        Notice::Missing(missing) => {
            let names = missing.iter().map(|rank| format!(" rank {rank} ({})", host_of(*rank)));
            let names: String = names.collect();
            format!("dsm: rank {own} has waited {REMIND_AFTER:?} for dsm_init of{names}\n")
        }
        Notice::Silent { rank, address } => format!(
            "dsm: rank {own}: rank {rank} ({}) does not answer at {address}: is there a firewall? \
             trying on\n",
            host_of(rank)
        ),
        Notice::Called { rank } => {
            format!("dsm: rank {own}: rank {rank} ({}) connects again\n", host_of(rank))
        }
        // The launcher is told, who asks the others.
        Notice::Unmet { .. } => return,
        Notice::TurnedAway { count, last } => {
            let connections = if count == 1 { "connection" } else { "connections" };
            format!(
                "dsm: rank {own}: turned away {count} {connections} from strangers, \
                 last from {last}\n"
            )
        }
    };
    // Standard error may be closed; the wait goes on all the same.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Why there is no driver.
fn not_started(fatal: Fatal) -> JoinError {
    match fatal {
        // Others may have come since the limits were looked at.
        Fatal::System { source, .. } => {
            room::for_threads().err().unwrap_or_else(|| system("start the driver")(source))
        }
        fatal => system("start the driver thread")(io::Error::other(fatal.to_string())),
    }
}

/// How long the ranks that are here wait before they say who is missing.
const REMIND_AFTER: Duration = Duration::from_secs(30);
