use super::cluster::Cluster;
use super::model::Model;
use crate::{Mode, Op, Patience};
use dsm_core::{ObjectId, PageId, Placement, Rank, Space};
use std::ops::Range;

/// Something programs do, in a situation that decides what it costs.
///
/// Page `p` has its home at rank `p` modulo the number of ranks, and so has the object at its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A rank reads a page that its home owns.
    ReadHome,
    /// A rank reads a page that a third rank owns.
    ReadThird,
    /// A rank writes a page that its home owns, and nobody else has.
    WriteHome,
    /// A rank writes a page that a third rank owns, and nobody else has.
    WriteThird,
    /// A rank writes a page that all others have.
    WriteShared,
    /// A rank with a copy to read writes the page; its owner has the only other copy.
    UpgradeOne,
    /// A rank with a copy to read writes the page; all others have one too.
    UpgradeAll,
    /// A rank reads and then writes a page that other ranks have read and written in turn before.
    Move,
    /// A rank takes a lock that it had last.
    LockCached,
    /// A rank takes a lock that nobody ever had.
    LockHome,
    /// A rank takes a lock that a third rank had last.
    LockThird,
    /// A rank gives a lock up for which another one waits: from there until that one has it.
    HandOver,
    /// The same with the page that the lock is in and that both store to under it.
    HandOverPage,
    /// All ranks take one lock at the same time, each once.
    LockAll,
    /// A rank adds to a word that its home owns.
    AddHome,
    /// A rank adds to a word that a third rank owns.
    AddThird,
    /// All ranks add to one word at the same time, each once.
    AddAll,
    /// The barrier of all ranks.
    Barrier,
    /// The barrier of a count of threads, one of each rank.
    Gather,
    /// A rank is the first to touch a page that another one registers.
    FirstTouch,
    /// All ranks read all pages of an area nobody ever used, as many as there are ranks, in the same order.
    TouchAll,
    /// A rank gets a run of the heap.
    Take,
    /// A rank gives it back, and all ranks make it zero.
    Give,
}

/// What an operation cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Messages between ranks, of all ranks.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Nanoseconds until the last thread that takes part goes on.
    pub time: u64,
    /// Messages one after the other on the way there.
    pub hops: u32,
    /// Messages that the busiest rank sent and received.
    pub busiest: u64,
}

impl Operation {
    /// Every one, in the order of the tables.
    pub const ALL: [Self; 23] = [
        Self::ReadHome,
        Self::ReadThird,
        Self::WriteHome,
        Self::WriteThird,
        Self::WriteShared,
        Self::UpgradeOne,
        Self::UpgradeAll,
        Self::Move,
        Self::LockCached,
        Self::LockHome,
        Self::LockThird,
        Self::HandOver,
        Self::HandOverPage,
        Self::LockAll,
        Self::AddHome,
        Self::AddThird,
        Self::AddAll,
        Self::Barrier,
        Self::Gather,
        Self::FirstTouch,
        Self::TouchAll,
        Self::Take,
        Self::Give,
    ];

    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadHome => "read miss, home owns",
            Self::ReadThird => "read miss, third rank owns",
            Self::WriteHome => "write miss, home owns",
            Self::WriteThird => "write miss, third rank owns",
            Self::WriteShared => "write miss, all others share",
            Self::UpgradeOne => "upgrade, one other copy",
            Self::UpgradeAll => "upgrade, all others share",
            Self::Move => "read and write, each in turn",
            Self::LockCached => "lock, had last",
            Self::LockHome => "lock, nobody had",
            Self::LockThird => "lock, third rank had last",
            Self::HandOver => "lock hand-over",
            Self::HandOverPage => "lock hand-over with its page",
            Self::LockAll => "lock, all at once",
            Self::AddHome => "fetch_add, home owns",
            Self::AddThird => "fetch_add, third rank owns",
            Self::AddAll => "fetch_add, all at once",
            Self::Barrier => "barrier",
            Self::Gather => "barrier of a count",
            Self::FirstTouch => "first touch, claimed",
            Self::TouchAll => "first touch of all by all",
            Self::Take => "heap run taken",
            Self::Give => "heap run given back",
        }
    }

    /// What it costs among so many ranks; `None` if there are too few for it.
    ///
    /// # Panics
    /// If the engine breaks a promise: it ends the job, or the operation never ends.
    #[must_use]
    pub fn measure(self, nodes: u16, model: Model) -> Option<Figure> {
        self.measure_with(nodes, model, None)
    }

    /// The same where the tree of the barrier of all ranks has another width.
    ///
    /// # Panics
    /// If the engine breaks a promise: it ends the job, or the operation never ends.
    #[must_use]
    pub fn measure_with(self, nodes: u16, model: Model, fan_in: Option<u16>) -> Option<Figure> {
        if nodes < self.fewest() {
            return None;
        }
        let mut cluster = Cluster::with_fan_in(model, self.space(nodes), fan_in);
        self.prepare(&mut cluster, nodes);
        cluster.forget_traffic();
        let begun = cluster.now();
        let taking_part = self.begin(&mut cluster, nodes);
        let busy = cluster.settle();
        assert!(busy.is_empty(), "every operation ends: ranks {busy:?} wait at {self:?}");
        let members = cluster.members();
        let part = &members[usize::from(taking_part.start)..usize::from(taking_part.end)];
        let figure = Figure {
            messages: members.iter().map(|member| member.traffic.sent).sum(),
            bytes: members.iter().map(|member| member.traffic.sent_bytes).sum(),
            time: part.iter().map(|member| member.done_at).max().unwrap_or(begun) - begun,
            hops: part.iter().map(|member| member.hops).max().unwrap_or(0),
            busiest: members.iter().map(|member| member.traffic.handled()).max().unwrap_or(0),
        };
        Some(figure)
    }

    fn fewest(self) -> u16 {
        match self {
            Self::ReadThird
            | Self::WriteThird
            | Self::UpgradeOne
            | Self::Move
            | Self::LockThird
            | Self::HandOver
            | Self::HandOverPage
            | Self::AddThird => 3,
            Self::WriteShared => 4,
            _ => 2,
        }
    }

    fn space(self, nodes: u16) -> Space {
        let space = Space::of_pages(nodes, nodes.into());
        match self {
            Self::FirstTouch => Space { placement: Placement::FirstTouch, ..space },
            Self::Take | Self::Give => Space { pages: space.area_pages + HEAP, ..space },
            _ => space,
        }
    }

    /// What happens before, and is not counted.
    fn prepare(self, cluster: &mut Cluster, nodes: u16) {
        match self {
            Self::ReadHome | Self::WriteHome | Self::AddHome => cluster.perform(0, [store(0)]),
            Self::ReadThird | Self::WriteThird | Self::AddThird => cluster.perform(1, [store(0)]),
            Self::UpgradeOne => {
                cluster.perform(1, [store(0)]);
                cluster.perform(2, [load(0)]);
            }
            Self::WriteShared | Self::UpgradeAll => {
                cluster.perform(1, [store(0)]);
                let last = nodes - u16::from(self == Self::WriteShared);
                (0..last).for_each(|rank| cluster.perform(rank, [load(0)]));
            }
            Self::Move => {
                let turn = || [load(0), store(0)];
                (0..ROUNDS).flat_map(|_| [2, 1]).for_each(|rank| cluster.perform(rank, turn()));
            }
            Self::LockCached | Self::LockThird => cluster.perform(1, [lock(0), unlock(0)]),
            Self::HandOver => cluster.perform(1, [lock(0)]),
            Self::HandOverPage => {
                let section = || [lock(0), store(0), unlock(0)];
                (0..ROUNDS).flat_map(|_| [1, 2]).for_each(|rank| cluster.perform(rank, section()));
                cluster.perform(1, [lock(0), store(0)]);
            }
            Self::Give => cluster.perform(1, [Op::Take(1)]),
            _ => {}
        }
        if matches!(self, Self::HandOver | Self::HandOverPage) {
            cluster.assign(2, [lock(0)]);
            // A page is kept for who has the lock, not for ever.
            assert_eq!(cluster.settle_but_holds(), [Rank(2)], "the lock is taken");
        }
    }

    /// Lets the ranks begin that take part.
    fn begin(self, cluster: &mut Cluster, nodes: u16) -> Range<u16> {
        let all = 0..nodes;
        let mut all_do = |ops: &[Op]| {
            all.clone().for_each(|rank| cluster.assign(rank, ops.iter().copied()));
            all.clone()
        };
        let (rank, op) = match self {
            Self::LockAll => return all_do(&[lock(0), unlock(0)]),
            Self::AddAll => return all_do(&[add(0)]),
            Self::Barrier => return all_do(&[Op::Barrier]),
            Self::Gather => return all_do(&[Op::Gather(word(0), nodes.into())]),
            Self::TouchAll => {
                let pages: Vec<_> = (0..u64::from(nodes)).map(load).collect();
                return all_do(&pages);
            }
            Self::HandOver | Self::HandOverPage => {
                cluster.assign(1, [unlock(0)]);
                return 2..3;
            }
            Self::Move => {
                cluster.assign(2, [load(0), store(0)]);
                return 2..3;
            }
            Self::ReadHome => (1, load(0)),
            Self::ReadThird => (2, load(0)),
            Self::WriteHome | Self::FirstTouch => (1, store(0)),
            Self::WriteThird | Self::UpgradeOne => (2, store(0)),
            Self::WriteShared | Self::UpgradeAll => (nodes - 1, store(0)),
            Self::LockCached | Self::LockHome => (1, lock(0)),
            Self::LockThird => (2, lock(0)),
            Self::AddHome => (1, add(0)),
            Self::AddThird => (2, add(0)),
            Self::Take => (1, Op::Take(1)),
            Self::Give => (1, Op::Give),
        };
        cluster.assign(rank, [op]);
        rank..rank + 1
    }
}

pub(super) fn load(page: u64) -> Op {
    Op::Load(PageId(page))
}

pub(super) fn store(page: u64) -> Op {
    Op::Store(PageId(page))
}

fn lock(page: u64) -> Op {
    Op::Lock(word(page), Mode::Write, Patience::Endless)
}

fn unlock(page: u64) -> Op {
    Op::Unlock(word(page))
}

fn add(page: u64) -> Op {
    Op::Add(word(page))
}

/// The first word of a page.
fn word(page: u64) -> ObjectId {
    Space::of_pages(1, 1).first_object(PageId(page))
}

/// Pages of the heap where it is of interest.
const HEAP: u64 = 8;
/// After as many rounds a lock brings the page that is stored to under it, and a page is expected to move.
const ROUNDS: u32 = 2;
