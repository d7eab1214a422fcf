use super::kind::{Kind, Promise};
use crate::conditions::{Conditions, Corruption, Resets};
use crate::rng::Rng;
use crate::user::User;
use std::fmt;
use std::time::Duration;

/// One run: a workload, what goes wrong in it, when, and to whom. All of it follows from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    pub(crate) workload: &'static str,
    pub(crate) steps: u32,
    pub(crate) engine: &'static str,
    pub(crate) user: User,
    /// The host of each rank.
    pub(crate) machines: Vec<usize>,
    /// When it goes wrong.
    pub(crate) moment: Moment,
    /// Of however many could be it, the one that it happens to.
    pub(crate) victim: u64,
    /// The lines' conditions before anything goes wrong.
    pub(crate) before: Conditions,
    /// Those that go wrong then, if it is lines that do.
    pub(crate) after: Conditions,
    /// How long, if it passes.
    pub(crate) how_long: Duration,
}

/// When something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before dsmexec is started.
    Before,
    /// So long after it was started.
    Started(Duration),
    /// So long after all ranks have begun to work.
    Working(Duration),
}

/// What a campaign chooses from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) kinds: &'a [Kind],
    pub(crate) engines: &'a [&'static str],
}

impl Trial {
    pub(crate) fn of(seed: u64, choice: Choice<'_>) -> Self {
        let mut rng = Rng::new(seed);
        let kind = rng.pick(choice.kinds);
        let ranks = 2 + rng.place(3);
        let machines = machines(kind, ranks, &mut rng);
        let delay = rng.pick(&[Duration::ZERO, MS / 2, MS, MS, 2 * MS]);
        let before = Conditions { delay, ..Conditions::default() };
        let after = weather(kind, &before, &mut rng);
        // About a second's work, or a few seconds' where every step waits long.
        let steps = match kind {
            Kind::Delay => 5 + rng.below(10),
            Kind::Loss => 30 + rng.below(50),
            Kind::Corruption | Kind::Rate => 50 + rng.below(100),
            _ => 150 + rng.below(250),
        };
        let moment = match kind.promise() {
            Promise::Completes if rng.one_in(2) => Moment::Before,
            _ if rng.one_in(3) => Moment::Started(Duration::from_micros(rng.below(1_000_000))),
            _ => Moment::Working(Duration::from_micros(rng.below(500_000))),
        };
        Self {
            seed,
            kind,
            workload: rng.pick(&["bank", "counter", "queue"]),
            steps: u32::try_from(steps).expect("steps are few"),
            engine: rng.pick(choice.engines),
            user: rng.pick(&[User::Ordinary, User::Ordinary, User::Root]),
            machines,
            moment,
            victim: rng.number(),
            before,
            after,
            how_long: Duration::from_millis(100 + rng.below(1_900)),
        }
    }

    /// One of so many.
    pub(crate) fn one_of(&self, len: usize) -> usize {
        Rng::new(self.victim).place(len)
    }
}

/// The hosts of the ranks: at least two, and at least one that is not dsmexec's.
fn machines(kind: Kind, ranks: usize, rng: &mut Rng) -> Vec<usize> {
    let mut machines: Vec<usize> = (0..ranks).map(|_| rng.place(HOSTS)).collect();
    let (one, other) = (rng.place(ranks), 1 + rng.place(HOSTS - 1));
    let next = (one + 1) % ranks;
    machines[one] = other;
    if matches!(kind, Kind::PairParted | Kind::PairPartedOneWay) {
        machines[next] = HOSTS - other;
    } else if machines.iter().all(|host| *host == other) {
        machines[next] = (other + 1 + rng.place(HOSTS - 1)) % HOSTS;
    }
    machines
}

/// What lines do once this kind of thing has happened.
fn weather(kind: Kind, before: &Conditions, rng: &mut Rng) -> Conditions {
    let mut percent = |most: u64| u32::try_from(10_000 * (1 + rng.below(most))).expect("a share");
    let before = before.clone();
    match kind {
        Kind::Loss => Conditions { loss_ppm: percent(10), ..before },
        Kind::Delay => Conditions { delay: 50 * MS, ..before },
        Kind::Duplication => Conditions { duplicate_ppm: percent(20), ..before },
        Kind::Reordering => Conditions { reorder_ppm: percent(20), reorder_by: 3 * MS, ..before },
        Kind::Corruption => Conditions { corrupt_ppm: percent(3), ..before },
        Kind::Tampering => {
            Conditions { corrupt_ppm: percent(3), corruption: Corruption::Delivered, ..before }
        }
        Kind::Rate => Conditions { bits_per_second: Some(10_000_000), ..before },
        Kind::RanksReset => Conditions { resets: Resets::Ranks, ..before },
        Kind::SshReset => Conditions { resets: Resets::Ssh, ..before },
        _ => Conditions::cut(),
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> =
            self.machines.iter().map(|host| format!("node{}", host + 1)).collect();
        write!(
            f,
            "{} {} {} {} with {} on {} by {}, delay {:.1} ms",
            self.kind,
            self.moment,
            self.workload,
            self.steps,
            self.engine,
            hosts.join(" "),
            self.user.name(),
            self.before.delay.as_secs_f64() * 1e3,
        )
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before => write!(f, "before"),
            Self::Started(after) => write!(f, "{:.3} s after the start of", after.as_secs_f64()),
            Self::Working(after) => write!(f, "{:.3} s into the work of", after.as_secs_f64()),
        }
    }
}

/// Hosts of a campaign's lab. dsmexec is on the first.
pub(crate) const HOSTS: usize = 3;
const MS: Duration = Duration::from_millis(1);
