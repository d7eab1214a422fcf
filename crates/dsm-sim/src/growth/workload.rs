use super::cluster::Cluster;
use super::model::Model;
use super::operation::{load, store};
use crate::Op;
use crate::rng::Rng;
use dsm_core::Space;

/// What all ranks do at the same time for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// Each touches pages drawn evenly from 16 for each rank, 64 times; every fourth touch stores.
    Uniform,
    /// Each touches one and the same page 16 times; every eighth touch stores.
    HotPage,
    /// Each reads every page of an area nobody ever used, as many as there are ranks, in the same order.
    Everything,
}

/// What that did to the ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Nanoseconds for a touch, on average.
    pub time: f64,
    /// Messages for a touch, on average.
    pub messages: f64,
    /// Messages that a rank sent and received: on average, and the busiest.
    pub handled: (f64, u64),
    /// Directory entries of a home: on average, and where most are.
    pub entries: (f64, u64),
    /// Ranks listed in the entries of a home, beside owners, at the end.
    pub sharers: (f64, u64),
    /// Bytes that a rank keeps about pages at the end.
    pub bytes: (f64, u64),
}

impl Workload {
    /// Every one, in the order of the tables.
    pub const ALL: [Self; 3] = [Self::Uniform, Self::HotPage, Self::Everything];

    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::HotPage => "one hot page",
            Self::Everything => "all read all",
        }
    }

    /// What it does to so many ranks; the same each time.
    ///
    /// # Panics
    /// If the engine breaks a promise: it ends the job, or an access never ends.
    #[must_use]
    pub fn measure(self, nodes: u16, model: Model) -> Load {
        let pages = self.pages(nodes);
        let space = Space::of_pages(nodes, pages);
        let mut cluster = Cluster::new(model, space);
        let mut rng = Rng::new(SEED);
        for rank in 0..nodes {
            let ops: Vec<_> =
                (0..self.touches(nodes)).map(|n| self.draw(n, pages, &mut rng)).collect();
            cluster.assign(rank, ops);
        }
        let busy = cluster.settle();
        assert!(busy.is_empty(), "every access ends: ranks {busy:?} wait");
        let members = cluster.members();
        let ranks = members.len() as f64;
        let of = |figure: &dyn Fn(usize) -> u64| {
            let figures = (0..members.len()).map(figure);
            let most = figures.clone().max().unwrap_or(0);
            (figures.sum::<u64>() as f64 / ranks, most)
        };
        let touches = self.touches(nodes) as f64;
        let footprint = |at: usize| members[at].engine.footprint();
        Load {
            time: of(&|at| members[at].done_at).0 / touches,
            messages: of(&|at| members[at].traffic.sent).0 / touches,
            handled: of(&|at| members[at].traffic.handled()),
            entries: of(&|at| footprint(at).entries),
            sharers: of(&|at| footprint(at).sharers),
            bytes: of(&|at| footprint(at).bytes),
        }
    }

    fn pages(self, nodes: u16) -> u64 {
        match self {
            Self::Uniform => PAGES_A_RANK * u64::from(nodes),
            Self::HotPage => 1,
            Self::Everything => nodes.into(),
        }
    }

    /// How often each rank touches a page.
    fn touches(self, nodes: u16) -> u64 {
        match self {
            Self::Uniform => 64,
            Self::HotPage => 16,
            Self::Everything => nodes.into(),
        }
    }

    fn draw(self, number: u64, pages: u64, rng: &mut Rng) -> Op {
        let stores = match self {
            Self::Uniform => 4,
            Self::HotPage => 8,
            Self::Everything => return load(number),
        };
        let page = rng.below(pages);
        if rng.one_in(stores) { store(page) } else { load(page) }
    }
}

const PAGES_A_RANK: u64 = 16;
const SEED: u64 = 1;
