use crate::calls::{CallError, Calls};
use crate::counters::{Counters, Stats};
use crate::descriptors;
use crate::driver::mend::Mender;
use crate::driver::{Driver, Parts, VERDICT_TIMEOUT};
use crate::fatal::Fatal;
use crate::heap::Arena;
use crate::launch::{Found, JobError};
use crate::locks::Locks;
use crate::pr204::{self, Foreign, ForeignError};
use crate::service::Service;
use crate::settings::{MOST_PREFETCH, SettingError, Settings};
use crate::supervisor::Supervisor;
use crate::typed;
use dsm_core::pr204::Profile;
use dsm_core::wire::{Hello, Limits, Secrecy, VERSION};
use dsm_core::{Answer, BarrierKind, Call, Config, Engine, Hold, Placement, Rank, Space};
use dsm_mem::{
    Faults, FaultsError, Hidden, Layout, Region, RegionError, Word, WordsError, is_forked_child,
};
use dsm_net::connection::Connection;
use dsm_net::keys::{KEY_BYTES, PairKeys};
use dsm_net::launch::Status;
use dsm_net::rendezvous::{Met, Notice, Party, Rendezvous, RendezvousError, Waiting};
use dsm_net::wipe;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;

/// This process as a member of its job, from [`join`](Node::join) to [`finalize`](Node::finalize).
///
/// All threads of the process may use it at once.
#[derive(Debug)]
pub struct Node {
    rank: Rank,
    pub(crate) space: Space,
    pub(crate) region: Arc<Region>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) locks: Arc<Locks>,
    pub(crate) arena: Arc<Arena>,
    /// None once the job is left.
    driver: Mutex<Option<JoinHandle<()>>>,
    supervisor: Option<Arc<Supervisor>>,
    /// Of all ranks; none if there are no others.
    addresses: Arc<[IpAddr]>,
    /// Among ranks of another family, with which pages are shared and nothing else.
    foreign: Option<Foreign>,
}

/// Why a process could not join its job.
#[derive(Debug, Error)]
pub enum JoinError {
    /// A process joins once.
    #[error("this process has joined a job before")]
    Again,
    /// A setting of the environment.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// What the launcher left for this rank.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The ranks cannot speak as `DSM_PEER` says.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    /// The region cannot be mapped.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// No fault engine works here.
    #[error(transparent)]
    Faults(#[from] FaultsError),
    /// The ranks did not meet.
    #[error(transparent)]
    Rendezvous(#[from] RendezvousError),
    /// The process may not open as many descriptors as the job needs.
    #[error(
        "this process needs {needed} descriptors with those that it has, and its limit is {limit} (ulimit -n)"
    )]
    Descriptors {
        /// How many it needs.
        needed: u64,
        /// The most it may have.
        limit: u64,
    },
    /// The kernel refused something.
    #[error("cannot {operation}: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Node {
    /// Joins the job this process was started for; waits until every rank has. A process that no launcher
    /// started becomes a job of one rank. Base and size of the region come from `DSM_BASE` and `DSM_SIZE`.
    ///
    /// Ranks that have not joined after 30 s are named on standard error, once.
    ///
    /// # Errors
    /// [`JoinError`] says what is wrong and where. A process can join once.
    pub fn join() -> Result<Self, JoinError> {
        if JOINED.swap(true, Ordering::SeqCst) {
            return Err(JoinError::Again);
        }
        let joined = Self::join_once();
        // The key was there.
        wipe::stack();
        let node = joined?;
        typed::enter(node.twin());
        Ok(node)
    }

    #[inline(never)]
    fn join_once() -> Result<Self, JoinError> {
        let settings = Settings::from_environment()?;
        let Some(found) = Found::find(settings.join_timeout)? else {
            return Self::alone(Arc::new(reserve(&settings)?), None);
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

    /// This rank, `0..nodes`.
    #[must_use]
    pub fn rank(&self) -> u16 {
        self.rank.0
    }

    /// How many ranks the job has.
    #[must_use]
    pub fn nodes(&self) -> u16 {
        self.space.nodes
    }

    /// The address at which the others reach a rank, for connections of a program's own; `None` for a rank that is
    /// not in the job, and in a job of one rank.
    #[must_use]
    pub fn address(&self, rank: u16) -> Option<IpAddr> {
        self.addresses.get(usize::from(rank)).copied()
    }

    /// The first address of the shared area, the same on every rank.
    #[must_use]
    pub fn base(&self) -> usize {
        self.region.base()
    }

    /// Bytes of the shared area, a whole number of pages.
    #[must_use]
    pub fn size(&self) -> usize {
        self.region.area_bytes()
    }

    /// Bytes of a page, the unit of sharing.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        self.region.page_bytes()
    }

    /// The rank that keeps the directory entry of the page at `address`; `None` outside shared memory,
    /// and where the home is the rank that touches a page first while this one does not know which that is: it
    /// has not touched the page, and does not register it.
    #[must_use]
    pub fn home(&self, address: usize) -> Option<u16> {
        let page = self.region.page_of(address)?;
        if !self.space.is_claimed(page) {
            return Some(self.space.home(page).0);
        }
        match self.calls.call(Call::Home { page }) {
            Ok(Answer::Owner(home)) => Some(home.0),
            _ => None,
        }
    }

    /// Whether `address` is in the shared area or in the heap.
    #[must_use]
    pub fn is_shared(&self, address: usize) -> bool {
        self.region.page_of(address).is_some()
    }

    /// Part of the shared area as atomic words, `byte_offset` from its start. Loads and stores of theirs
    /// are plain instructions; pages that are not here are fetched.
    ///
    /// # Errors
    /// If the words are not inside the area, or not aligned.
    pub fn words<W: Word>(&self, byte_offset: usize, len: usize) -> Result<&[W], WordsError> {
        self.region.words(byte_offset, len)
    }

    /// Waits until one thread of every rank is here. What any rank stored before is seen by all after.
    ///
    /// # Errors
    /// If another thread of this rank is at the barrier.
    pub fn barrier(&self) -> Result<(), CallError> {
        self.require_own_family()?;
        match self.calls.call(Call::Barrier(BarrierKind::Program))? {
            Answer::Done => {
                self.counters.barriers.add(1);
                Ok(())
            }
            _ => Err(CallError::BarrierBusy),
        }
    }

    /// From now on at most so many pages are fetched ahead of a thread that walks through memory, as if
    /// `DSM_PREFETCH` had said so: 0 for memory that is used without any order, 64 at most. Other ranks and what
    /// [`prefetch`](Self::prefetch) asks for are not concerned.
    pub fn limit_prefetch(&self, pages: u8) {
        self.calls.limit_prefetch(pages.min(MOST_PREFETCH));
    }

    /// What this rank's runtime has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.stats(self.locks.taken())
    }

    /// Leaves the job once every rank wants to; this rank's pages are served until then. The shared area
    /// is gone afterwards.
    ///
    /// # Errors
    /// If another thread of this rank is at the barrier of all ranks; the job is left all the same when
    /// it ends.
    pub fn finalize(self) -> Result<(), CallError> {
        self.leave()
    }

    /// Leaves the job as [`finalize`](Self::finalize) does, while other threads may be in calls that wait:
    /// those end, and later ones fail. The shared area must not be touched any more, though it is there
    /// until the node is dropped. Does nothing the second time, and nothing in a forked child: its parent is
    /// in the job.
    ///
    /// # Errors
    /// As for [`finalize`](Self::finalize).
    pub fn leave(&self) -> Result<(), CallError> {
        if is_forked_child() {
            return Ok(());
        }
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(driver) = driver.take() else { return Ok(()) };
        match &self.foreign {
            Some(foreign) => foreign.finalize(),
            None if self.calls.call(Call::Barrier(BarrierKind::Finalize))? != Answer::Done => {
                return Err(CallError::BarrierBusy);
            }
            None => (),
        }
        typed::leave();
        // The driver ends the process if it fails; a thread that ended did what it had to.
        let _ = driver.join();
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(&Status::Stats(self.stats().into()));
            supervisor.tell(&Status::Finalized);
        }
        Ok(())
    }

    /// Ranks of another family share pages and nothing else.
    ///
    /// # Errors
    /// If this rank is among such.
    pub(crate) fn require_own_family(&self) -> Result<(), CallError> {
        match &self.foreign {
            None => Ok(()),
            Some(foreign) => Err(CallError::ForeignRanks { profile: foreign.profile }),
        }
    }

    /// The same member of the job, which does not leave it when it is dropped.
    fn twin(&self) -> Self {
        Self {
            rank: self.rank,
            space: self.space,
            region: Arc::clone(&self.region),
            counters: Arc::clone(&self.counters),
            calls: Arc::clone(&self.calls),
            locks: Arc::clone(&self.locks),
            arena: Arc::clone(&self.arena),
            driver: Mutex::new(None),
            supervisor: None,
            addresses: Arc::clone(&self.addresses),
            foreign: self.foreign.clone(),
        }
    }

    /// A job of one rank: its pages never leave, so nothing faults, and every token is its own.
    fn alone(region: Arc<Region>, supervisor: Option<Arc<Supervisor>>) -> Result<Self, JoinError> {
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
        if let Some(profile) = pr204::profile_of(settings.peer, found.nodes.len())? {
            return Self::join_foreign(settings, profile, found);
        }
        let region = Arc::new(reserve(settings)?);
        if found.nodes.len() == 1 {
            found.tell(&Status::Joining);
            let node = Self::alone(region, found.supervisor.clone())?;
            found.tell(&Status::Joined { fault_engine: "none: one rank".to_owned() });
            return Ok(node);
        }
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
    prefetch: u8,
}

impl Drop for Node {
    /// Leaves as [`finalize`](Node::finalize) does, unless the thread is panicking.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Another thread at the barrier is the program's affair; the launcher will tell.
            let _ = self.leave();
        }
    }
}

impl JoinError {
    /// The exit code a rank ends with that cannot go on without its job; see `docs/running.md`.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::System { source, .. } if lacks(source) => 71,
            Self::Again | Self::System { .. } => 70,
            Self::Region(_) | Self::Faults(_) | Self::Descriptors { .. } => 71,
            Self::Setting(_)
            | Self::Foreign(_)
            | Self::Rendezvous(RendezvousError::Refused { .. }) => 78,
            Self::Rendezvous(RendezvousError::Unauthentic { .. }) => 76,
            Self::Rendezvous(_) => 75,
            Self::Job(error) => error.exit_code(),
        }
    }
}

fn reserve(settings: &Settings) -> Result<Region, RegionError> {
    let &Settings { base, bytes, heap_bytes, .. } = settings;
    Region::reserve(Layout { base, bytes, heap_bytes })
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
    let met = rendezvous.meet(&waiting, |notice| tell(found.rank, &hosts(found), notice))?;
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
        Fatal::System { operation, source } => JoinError::System { operation, source },
        fatal => system("start the driver thread")(io::Error::other(fatal.to_string())),
    }
}

/// Whether the kernel has not enough of something.
fn lacks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::NOSPC];
    Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}

fn system(operation: &'static str) -> impl FnOnce(io::Error) -> JoinError {
    move |source| JoinError::System { operation, source }
}

static JOINED: AtomicBool = AtomicBool::new(false);

/// How long the ranks that are here wait before they say who is missing.
const REMIND_AFTER: Duration = Duration::from_secs(30);
