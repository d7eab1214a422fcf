//! The steps before anything is started. Each waits for every rank or until its time is over, so that
//! all hosts that fail are told at once.

use super::address::{self, Reach};
use super::crew::{Crew, Times};
use super::event::Event;
use super::exchange::Exchange;
use super::foreign;
use super::link::Task;
use super::locality::Whereabouts;
use super::plan::Route;
use super::profiles::LaunchName;
use super::secrecy;
use super::ssh;
use crate::exit_code::ExitCode;
use crate::words;
use dsm_net::launch::{
    Hello, Job, LaunchProfile, Node, Order, Report, Start, StartFailure, StartStep, VERSION,
};
use dsm_net::wipe;
use signal_hook::consts::{SIGTSTP, SIGUSR1};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

/// Why nothing was started.
#[derive(Debug)]
pub(crate) enum Stop {
    /// At least one rank cannot be.
    Faults(Vec<Fault>),
    Signal(i32),
}

/// What is wrong with one rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) rank: u16,
    pub(crate) code: ExitCode,
    /// The rest of a sentence about the rank.
    pub(crate) what: String,
}

/// Reaches every host, lets every rank listen, and gives the orders to start.
///
/// # Errors
/// If any rank cannot be: then none is started.
pub(crate) fn prepare(crew: &mut Crew<'_>) -> Result<Vec<Task>, Stop> {
    if let Some(profile) = crew.plan.profiles.wrap {
        return foreign::prepare(crew, profile);
    }
    let hellos = greet(crew)?;
    let addresses = choose_addresses(crew, &hellos)?;
    check_family(crew, &addresses)?;
    let bound = bind(crew, &addresses)?;
    let profile = launch_profile(crew, &hellos, &addresses)?;
    if let Some(line) = secrecy::describe(crew.plan, bound.values()) {
        crew.step(|| line.clone());
        crew.printer.record(line);
    }
    let starts = starts(crew, &bound, profile)?;
    // The key was there.
    wipe::stack();
    Ok(starts)
}

/// A step that every rank has to take.
pub(super) struct Step<T> {
    pub(super) done: BTreeMap<u16, T>,
    pub(super) faults: BTreeMap<u16, Fault>,
}

impl<T> Step<T> {
    pub(super) fn new() -> Self {
        Self { done: BTreeMap::new(), faults: BTreeMap::new() }
    }

    pub(super) fn fault(&mut self, rank: u16, code: ExitCode, what: impl Into<String>) {
        let what = what.into();
        self.faults.entry(rank).or_insert(Fault { rank, code, what });
    }

    pub(super) fn is_open(&self, rank: u16) -> bool {
        !self.done.contains_key(&rank) && !self.faults.contains_key(&rank)
    }

    pub(super) fn open_ranks(&self, crew: &Crew<'_>) -> usize {
        crew.ranks().filter(|rank| self.is_open(*rank)).count()
    }

    pub(super) fn finish(self) -> Result<BTreeMap<u16, T>, Stop> {
        if self.faults.is_empty() {
            return Ok(self.done);
        }
        Err(Stop::Faults(self.faults.into_values().collect()))
    }
}

/// Starts every dsmwrap and waits for its greeting. The links themselves judge the time.
fn greet(crew: &mut Crew<'_>) -> Result<BTreeMap<u16, Hello>, Stop> {
    let mut step = Step::new();
    let plan = crew.plan;
    let is_ssh = |rank: &u16| matches!(plan.ranks[usize::from(*rank)].route, Route::Ssh { .. });
    let (waiting, direct): (Vec<u16>, Vec<u16>) = crew.ranks().partition(is_ssh);
    let mut waiting = VecDeque::from(waiting);
    let mut under_way = BTreeSet::new();
    for rank in direct {
        connect(crew, rank, &mut step);
    }
    while step.open_ranks(crew) > 0 {
        under_way.retain(|rank| step.is_open(*rank));
        while under_way.len() < MAX_UNGREETED
            && let Some(rank) = waiting.pop_front()
        {
            under_way.insert(rank);
            connect(crew, rank, &mut step);
        }
        let Some(event) = crew.next_event(Instant::now() + crew.patience()) else { continue };
        match event {
            Event::Report { rank, report: Report::Hello(hello) } => {
                on_hello(crew, &mut step, rank, hello);
            }
            Event::Gone { rank, gone } => {
                let (code, what) = ssh::explain(&gone);
                step.fault(rank, code, what);
            }
            event => on_other(crew, &mut step, event)?,
        }
    }
    step.finish()
}

fn connect(crew: &mut Crew<'_>, rank: u16, step: &mut Step<Hello>) {
    let leader = crew.plan.ranks[usize::from(rank)].route.leader();
    crew.step(|| format!("{}: starting {leader}", crew.name(rank)));
    if let Err(error) = crew.connect(rank) {
        let code = ExitCode::of_errno(error.raw_os_error(), ExitCode::UNREACHABLE);
        let cause = words::of_error(&error);
        step.fault(rank, code, format!(": cannot start {leader}: {cause}"));
    }
}

fn on_hello(crew: &Crew<'_>, step: &mut Step<Hello>, rank: u16, hello: Hello) {
    crew.step(|| {
        let Hello { hostname, package, pid, reached_at, .. } = &hello;
        let at = reached_at.map(|at| format!(", reached at {at}")).unwrap_or_default();
        format!("{}: dsmwrap {package} pid {pid} on {hostname}{at}", crew.name(rank))
    });
    if hello.version == VERSION {
        step.done.insert(rank, hello);
    } else {
        let what = format!(
            ": dsmwrap {} there speaks launch protocol {}, dsmexec {} speaks {VERSION}",
            hello.package,
            hello.version,
            env!("CARGO_PKG_VERSION")
        );
        step.fault(rank, ExitCode::CONFIGURATION, what);
    }
}

/// What no step expects, and what every step must mind.
pub(super) fn on_other<T>(crew: &Crew<'_>, step: &mut Step<T>, event: Event) -> Result<(), Stop> {
    match event {
        Event::Signal(SIGTSTP) => crew.printer.note(NO_STOP),
        Event::Signal(SIGUSR1) => {
            let open = crew.ranks().filter(|rank| step.is_open(*rank));
            let open: Vec<_> = open.map(|rank| crew.name(rank)).collect();
            crew.printer.note(format!("no rank is started yet: waiting for {}", open.join(", ")));
        }
        Event::Signal(signal) => return Err(Stop::Signal(signal)),
        Event::Gone { rank, gone } => {
            let leader = crew.plan.ranks[usize::from(rank)].route.leader();
            let (code, what) = ssh::lost(&gone, leader);
            step.fault(rank, code, what);
        }
        Event::Report { rank, report: Report::StartFailed(failure) } => {
            let (code, what) = explain(&failure);
            step.fault(rank, code, what);
        }
        Event::Report { rank, report } => {
            let what = format!(": its dsmwrap broke the protocol by {}", name_of(&report));
            step.fault(rank, ExitCode::PROTOCOL, what);
        }
        Event::Announced { .. } => unreachable!("only foreign wrappers announce themselves, once"),
        Event::Printed => unreachable!("the printer was not told to end"),
    }
    Ok(())
}

fn choose_addresses(crew: &Crew<'_>, hellos: &BTreeMap<u16, Hello>) -> Result<Vec<IpAddr>, Stop> {
    let reach = crew.plan.ranks.iter().zip(hellos.values()).map(|(planned, hello)| {
        // A direct dsmwrap only tells how dsmexec's own user came to this machine.
        let hello = matches!(planned.route, Route::Ssh { .. }).then_some(hello);
        let reached_at = hello.and_then(|hello| hello.reached_at);
        let (here, resolved) = match &planned.whereabouts {
            // A name of this machine may be another one's in ssh's configuration.
            Whereabouts::Here => (reached_at.is_none(), Vec::new()),
            Whereabouts::Elsewhere(addresses) => (false, addresses.clone()),
        };
        Reach {
            given: planned.place.address,
            here,
            reached_at,
            reached_from: hello.and_then(|hello| hello.reached_from),
            resolved,
        }
    });
    address::choose(&reach.collect::<Vec<_>>()).map_err(|missing| {
        let fault = |index| Fault {
            rank: u16::try_from(index).expect("indices of ranks are ranks"),
            code: ExitCode::CONFIGURATION,
            what: ": no address is known at which other ranks reach it; \
                   write address=IP behind the host in the machine file"
                .into(),
        };
        Stop::Faults(missing.into_iter().map(fault).collect())
    })
}

/// Programs of the PR204 family know nothing of IPv6.
fn check_family(crew: &Crew<'_>, addresses: &[IpAddr]) -> Result<(), Stop> {
    if crew.plan.profiles.launch != LaunchName::Pr204 {
        return Ok(());
    }
    let faults = crew.ranks().zip(addresses).filter(|(_, address)| address.is_ipv6());
    let fault = |(rank, address): (u16, &IpAddr)| Fault {
        rank,
        code: ExitCode::CONFIGURATION,
        what: format!(
            ": other ranks reach it at {address}, and --launch=pr204 needs an IPv4 address; \
             write address=IP behind the host in the machine file"
        ),
    };
    let faults: Vec<_> = faults.map(fault).collect();
    if faults.is_empty() { Ok(()) } else { Err(Stop::Faults(faults)) }
}

/// Every rank listens, and every program is there.
fn bind(crew: &mut Crew<'_>, addresses: &[IpAddr]) -> Result<BTreeMap<u16, SocketAddr>, Stop> {
    let check = Order::Check(Box::new(crew.plan.program.clone()));
    for (rank, address) in crew.ranks().zip(addresses) {
        crew.send(rank, Order::Bind(*address));
        crew.send(rank, check.clone());
    }
    let mut step = Step::new();
    let mut bound = BTreeMap::new();
    let until = Instant::now() + crew.patience();
    while step.open_ranks(crew) > 0 {
        match crew.next_event(until) {
            Some(Event::Report { rank, report: Report::Bound(address) }) => {
                crew.step(|| format!("{}: listens at {address}", crew.name(rank)));
                bound.insert(rank, address);
            }
            // Orders are obeyed in order: who has looked for the program is bound.
            Some(Event::Report { rank, report: Report::Found }) => match bound.get(&rank) {
                Some(address) => {
                    step.done.insert(rank, *address);
                }
                None => step.fault(rank, ExitCode::PROTOCOL, ": its dsmwrap skipped an order"),
            },
            Some(event) => on_other(crew, &mut step, event)?,
            None => {
                let open: Vec<_> = crew.ranks().filter(|rank| step.is_open(*rank)).collect();
                let what = format!(": no answer within {} s", crew.patience().as_secs());
                for rank in open {
                    step.fault(rank, ExitCode::UNREACHABLE, what.clone());
                }
            }
        }
    }
    step.finish()
}

/// How programs are told their job; for `launch/ete7`, after dsmexec has begun to listen for them.
fn launch_profile(
    crew: &mut Crew<'_>,
    hellos: &BTreeMap<u16, Hello>,
    addresses: &[IpAddr],
) -> Result<LaunchProfile, Stop> {
    match crew.plan.profiles.launch {
        LaunchName::Native => return Ok(LaunchProfile::Native),
        LaunchName::Pr204 => return Ok(LaunchProfile::Pr204),
        LaunchName::Ete7 => (),
    }
    let address = own_address(crew, hellos, addresses);
    let nodes = u16::try_from(addresses.len()).expect("the number of ranks was checked");
    match Exchange::start(address, nodes, crew.printer.clone()) {
        Ok(exchange) => {
            let at = exchange.address();
            crew.step(|| format!("listening for the programs at {at}"));
            crew.exchange = Some(exchange);
            Ok(LaunchProfile::Ete7(at))
        }
        Err(error) => {
            let code = ExitCode::of_errno(error.raw_os_error(), ExitCode::CONFIGURATION);
            let cause = words::of_error(&error);
            let what = format!(": cannot listen at {address} for its program: {cause}");
            Err(Stop::Faults(vec![Fault { rank: 0, code, what }]))
        }
    }
}

/// Where ranks reach dsmexec: as their ssh was reached from here.
fn own_address(crew: &Crew<'_>, hellos: &BTreeMap<u16, Hello>, addresses: &[IpAddr]) -> IpAddr {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if addresses.iter().all(IpAddr::is_loopback) {
        return loopback;
    }
    let remote = crew
        .ranks()
        .zip(addresses)
        .filter(|(rank, _)| matches!(crew.plan.ranks[usize::from(*rank)].route, Route::Ssh { .. }));
    let mut seen = remote.filter_map(|(rank, address)| {
        let from = hellos.get(&rank)?.reached_from;
        let from = from.filter(|from| !from.is_loopback() && !from.is_unspecified());
        from.or_else(|| foreign::local_address(*address).ok())
    });
    // Without ssh every rank is here, at whatever address of this machine.
    seen.next().or(addresses.iter().copied().find(|it| !it.is_loopback())).unwrap_or(loopback)
}

fn starts(
    crew: &Crew<'_>,
    bound: &BTreeMap<u16, SocketAddr>,
    profile: LaunchProfile,
) -> Result<Vec<Task>, Stop> {
    let plan = crew.plan;
    let key = plan.draw_key().map_err(|error| {
        let what = format!(" has no key: {error}");
        Stop::Faults(vec![Fault { rank: 0, code: error.exit_code(), what }])
    })?;
    let Times { dead_after, kill_after, explain_after, .. } = crew.times();
    let ms = |time: std::time::Duration| u32::try_from(time.as_millis()).expect("days fit");
    let nodes: Vec<_> = plan
        .hosts()
        .zip(bound.values())
        .map(|(host, address)| Node { host, address: *address })
        .collect();
    let start = |rank| Start {
        job: Job { id: plan.job, key: key.clone(), rank, nodes: nodes.clone() },
        program: plan.program.program.clone(),
        args: plan.args.clone(),
        environment: plan.program.environment.clone(),
        directory: plan.program.directory.clone(),
        input: plan.input == Some(rank),
        profile,
        // What is cut off has ended ten seconds later, with the two from SIGTERM to SIGKILL.
        lease_ms: ms(dead_after * 7 / 4),
        grace_ms: ms(kill_after),
        explain_after_ms: ms(explain_after),
    };
    Ok(crew.ranks().map(|rank| Task::Obey(Order::Start(Box::new(start(rank))))).collect())
}

/// Why a program was not started: the exit code, and the rest of a sentence about the rank.
pub(crate) fn explain(failure: &StartFailure) -> (ExitCode, String) {
    let StartFailure { step, subject, cause, errno } = failure;
    let (verb, otherwise) = match step {
        StartStep::Listen => ("listen at", ExitCode::CONFIGURATION),
        StartStep::Directory => ("enter directory", ExitCode::CONFIGURATION),
        StartStep::Find => ("find program", ExitCode::CONFIGURATION),
        StartStep::Execute => ("execute", ExitCode::CONFIGURATION),
        StartStep::Resources => ("start", ExitCode::RESOURCES),
    };
    let verb = match ExitCode::of_errno(*errno, otherwise) {
        ExitCode::PERMISSION if *step == StartStep::Find => "execute",
        _ => verb,
    };
    (ExitCode::of_errno(*errno, otherwise), format!(": cannot {verb} {subject}: {cause}"))
}

fn name_of(report: &Report) -> &'static str {
    match report {
        Report::Hello(_) => "greeting twice",
        Report::Bound(_) => "listening unasked",
        Report::Found => "looking for a program unasked",
        Report::Started { .. } => "starting a program unasked",
        Report::Exited(_) => "ending a program that was not started",
        _ => "speaking out of order",
    }
}

pub(crate) const NO_STOP: &str =
    "the job goes on: dsmexec cannot be stopped without its hosts taking it for dead";

/// sshd drops connections beyond ten that have not logged in (MaxStartups).
pub(super) const MAX_UNGREETED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_to_start_have_codes() {
        let check = |step, errno: Option<i32>, code: ExitCode, what: &str| {
            let (subject, cause) = ("p".to_owned(), "why".to_owned());
            let failure = StartFailure { step, subject, cause, errno };
            assert_eq!(explain(&failure), (code, what.to_owned()));
        };
        check(StartStep::Find, None, ExitCode::CONFIGURATION, ": cannot find program p: why");
        check(StartStep::Find, Some(2), ExitCode::CONFIGURATION, ": cannot find program p: why");
        check(StartStep::Find, Some(13), ExitCode::PERMISSION, ": cannot execute p: why");
        check(
            StartStep::Directory,
            Some(2),
            ExitCode::CONFIGURATION,
            ": cannot enter directory p: why",
        );
        check(
            StartStep::Directory,
            Some(13),
            ExitCode::PERMISSION,
            ": cannot enter directory p: why",
        );
        check(StartStep::Execute, Some(8), ExitCode::CONFIGURATION, ": cannot execute p: why");
        check(StartStep::Resources, Some(24), ExitCode::RESOURCES, ": cannot start p: why");
        check(StartStep::Listen, Some(99), ExitCode::CONFIGURATION, ": cannot listen at p: why");
    }
}
