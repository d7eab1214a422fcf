//! The steps before anything is started, with dsmwraps of other members of the PR204 family: one listener
//! for each rank, so that the connection itself tells the rank, then every wrapper, then what they all said.

mod desk;
mod guest_thread;
mod route;
pub(super) mod tether;

pub(crate) use desk::Desk;
pub(crate) use guest_thread::{By, GuestThread};
pub(crate) use route::{ForeignRoute, Host, RouteError};

use super::crew::Crew;
use super::event::{Event, Gone, How};
use super::launch::{Step, Stop, on_other};
use super::link::Task;
use super::locality::Whereabouts;
use super::plan::Route;
use super::ssh;
use crate::exit_code::ExitCode;
use crate::words;
use dsm_net::pr204::{Announcement, LaunchBlock, Record, WrapProfile};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Instant;

/// Reaches every host, has every wrapper announce itself, and gives what each is to be told.
///
/// # Errors
/// If any rank cannot be: then none is started.
pub(crate) fn prepare(crew: &mut Crew<'_>, profile: WrapProfile) -> Result<Vec<Task>, Stop> {
    let addresses = own_addresses(crew)?;
    let announcements = gather(crew, profile, &addresses)?;
    let record = |(rank, it): (u16, &Announcement)| Record {
        rank,
        machine: it.machine.clone(),
        port: it.port,
    };
    let records: Vec<_> = (0..).zip(announcements.values()).map(record).collect();
    let task = |rank| Task::Tell(LaunchBlock { rank, records: records.clone() });
    Ok(crew.ranks().map(task).collect())
}

/// The address of this machine at which each rank's wrapper finds dsmexec.
fn own_addresses(crew: &Crew<'_>) -> Result<Vec<Ipv4Addr>, Stop> {
    let mut step = Step::new();
    let mut remote = None;
    for (rank, planned) in crew.ranks().zip(&crew.plan.ranks) {
        if is_here(&planned.route) {
            continue;
        }
        let known = match &planned.whereabouts {
            Whereabouts::Elsewhere(addresses) => addresses.clone(),
            Whereabouts::Here => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        };
        let mut targets = planned.place.address.into_iter().chain(known);
        let found = targets.find_map(local_ipv4);
        match found {
            Some(found) => {
                remote.get_or_insert(found);
                step.done.insert(rank, found);
            }
            None => step.fault(rank, ExitCode::CONFIGURATION, NO_ADDRESS),
        }
    }
    // A rank beside dsmexec is one that ranks elsewhere must reach too.
    let here = remote.unwrap_or(Ipv4Addr::LOCALHOST);
    for (rank, planned) in crew.ranks().zip(&crew.plan.ranks) {
        if is_here(&planned.route) {
            step.done.insert(rank, here);
        }
    }
    step.finish().map(|addresses| addresses.into_values().collect())
}

fn is_here(route: &Route) -> bool {
    matches!(route, Route::Foreign(route) if !route.is_ssh())
}

/// The address of this machine from which another one is reached: a datagram socket that is connected has
/// it, and nothing is sent.
pub(super) fn local_address(target: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match target {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((target, DISCARD))?;
    let address = socket.local_addr()?.ip();
    if address.is_unspecified() { Err(io::ErrorKind::AddrNotAvailable.into()) } else { Ok(address) }
}

/// The same where programs know no other addresses than those of IPv4.
fn local_ipv4(target: IpAddr) -> Option<Ipv4Addr> {
    match local_address(target) {
        Ok(IpAddr::V4(address)) => Some(address),
        _ => None,
    }
}

/// Starts every wrapper and waits until it has announced itself. The links themselves judge the time.
fn gather(
    crew: &mut Crew<'_>,
    profile: WrapProfile,
    addresses: &[Ipv4Addr],
) -> Result<BTreeMap<u16, Announcement>, Stop> {
    let mut step = Step::new();
    let mut desks = Vec::new();
    for (rank, address) in crew.ranks().zip(addresses) {
        match Desk::open(profile, rank, addresses.len(), *address) {
            Ok(desk) => desks.push((rank, desk)),
            Err(error) => {
                let cause = words::of_error(&error);
                let code = ExitCode::of_errno(error.raw_os_error(), ExitCode::CONFIGURATION);
                step.fault(rank, code, format!(": cannot listen for it at {address}: {cause}"));
            }
        }
    }
    if !step.faults.is_empty() {
        return step.finish();
    }
    let plan = crew.plan;
    let is_ssh = |(rank, _): &(u16, Desk)| !is_here(&plan.ranks[usize::from(*rank)].route);
    let (waiting, direct): (Vec<_>, Vec<_>) = desks.into_iter().partition(is_ssh);
    let mut waiting = VecDeque::from(waiting);
    let mut under_way = BTreeSet::new();
    for (rank, desk) in direct {
        connect(crew, rank, desk, &mut step);
    }
    while step.open_ranks(crew) > 0 {
        under_way.retain(|rank| step.is_open(*rank));
        while under_way.len() < super::launch::MAX_UNGREETED
            && let Some((rank, desk)) = waiting.pop_front()
        {
            under_way.insert(rank);
            connect(crew, rank, desk, &mut step);
        }
        let Some(event) = crew.next_event(Instant::now() + crew.patience()) else { continue };
        match event {
            Event::Announced { rank, announcement } => {
                crew.step(|| {
                    let Announcement { machine, port, .. } = &announcement;
                    format!("{}: listens at {machine}:{port}", crew.name(rank))
                });
                step.done.insert(rank, announcement);
            }
            Event::Gone { rank, gone } => {
                let (code, what) = explain(&gone);
                // One that had announced itself is missed all the same.
                step.done.remove(&rank);
                step.fault(rank, code, what);
            }
            event => on_other(crew, &mut step, event)?,
        }
    }
    step.finish()
}

fn connect(crew: &mut Crew<'_>, rank: u16, desk: Desk, step: &mut Step<Announcement>) {
    let leader = crew.plan.ranks[usize::from(rank)].route.leader();
    crew.step(|| format!("{}: starting {leader}", crew.name(rank)));
    if let Err(error) = crew.connect_guest(rank, desk) {
        let code = ExitCode::of_errno(error.raw_os_error(), ExitCode::UNREACHABLE);
        let cause = words::of_error(&error);
        step.fault(rank, code, format!(": cannot start {leader}: {cause}"));
    }
}

/// Why a wrapper did not announce itself: the exit code, and the rest of a sentence about the rank.
fn explain(gone: &Gone) -> (ExitCode, String) {
    let said = if gone.said.is_empty() { String::new() } else { format!(": {}", gone.said) };
    match &gone.how {
        How::Garbled(error) => {
            (ExitCode::PROTOCOL, format!(": its dsmwrap cannot be understood: {error}"))
        }
        How::NoGreeting(patience) => {
            let seconds = patience.as_secs();
            let what = format!(": its dsmwrap did not announce itself within {seconds} s{said}");
            (ExitCode::UNREACHABLE, what)
        }
        _ => ssh::explain(gone),
    }
}

const NO_ADDRESS: &str = ": no address is known from which its host reaches dsmexec; \
                          write address=IP behind the host in the machine file";
/// A port, because there must be one.
const DISCARD: u16 = 9;
