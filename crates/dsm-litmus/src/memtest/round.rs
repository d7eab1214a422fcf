use super::word::Place;
use crate::clock::Manner;
use dsm::Node;
use dsm_sim::rng::Rng;
use std::fmt;

/// One history: everything about it that follows from the seed and its number.
#[derive(Clone, Debug)]
pub struct Round {
    /// Counts rounds from 0.
    pub number: u64,
    /// What its threads do.
    pub kind: Kind,
    /// How many ranks there are.
    pub ranks: usize,
    /// Threads of each rank.
    pub threads: usize,
    /// Operations of each thread.
    pub operations: usize,
    /// Up to how long a thread pauses before an operation, in nanoseconds.
    pub pause_ns: u64,
    /// One in how many operations has such a pause.
    pub pause_odds: u64,
    /// What it does in a pause.
    pub manner: Manner,
    /// The rank that sets the words to 0 and so has their pages first.
    pub first: u16,
    /// Whether all ranks look at the words before they start.
    pub shared: Shared,
    pub(super) places: Vec<Place>,
    seed: u64,
}

/// What the threads of a round do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Several threads a rank, every access `SeqCst`.
    Ordered,
    /// One thread a rank, plain loads and stores among exchanges.
    Plain,
    /// Several threads a rank, plain stores to words of their rank and plain loads from words of others.
    Crossing,
}

/// Who has copies at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// The first rank alone.
    No,
    /// Everyone.
    Yes,
}

/// How large rounds are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Threads of each rank, at most.
    pub threads: usize,
    /// Operations of all threads of all ranks.
    pub operations: usize,
}

impl Round {
    /// The round of this number.
    pub(super) fn draw(seed: u64, number: u64, size: Size, node: &Node) -> Self {
        let mut rng = Rng::new(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let kind = match number % 3 {
            0 => Kind::Ordered,
            1 => Kind::Plain,
            _ => Kind::Crossing,
        };
        let threads = if kind == Kind::Plain { 1 } else { 1 + rng.place(size.threads) };
        let ranks = usize::from(node.nodes());
        let pause_ns = rng.pick(&[2_000, 20_000, 60_000, 200_000]);
        let first = u16::try_from(rng.below(node.nodes().into())).expect("a rank");
        Self {
            number,
            kind,
            ranks,
            threads,
            operations: size.operations / (ranks * threads),
            pause_ns,
            // About as long a round whatever the pauses are.
            pause_odds: rng.pick(&[1, 2, 4]).max(pause_ns / 20_000),
            manner: rng.pick(&[Manner::Computing, Manner::Yielding, Manner::Yielding]),
            first,
            shared: rng.pick(&[Shared::No, Shared::Yes]),
            places: places(&mut rng, node, kind),
            seed: rng.next(),
        }
    }

    /// What a thread draws its operations from.
    pub(super) fn rng(&self, thread: usize) -> Rng {
        let mut rng = Rng::new(self.seed ^ thread as u64);
        Rng::new(rng.next())
    }
}

/// Words of all sizes on a few pages, so close that they share machine words too.
fn places(rng: &mut Rng, node: &Node, kind: Kind) -> Vec<Place> {
    // Whoever may only store to a word must not run out of values for it.
    let sizes: &[usize] = if kind == Kind::Crossing { &[4, 8, 8] } else { &[2, 4, 8, 8] };
    let page_bytes = node.page_bytes();
    let pages = (node.size() / page_bytes).min(MAX_PAGE);
    let first = 1 + rng.place(pages - MAX_PAGES - 1);
    let count = 1 + rng.place(MAX_PAGES);
    let eights = rng.pick(&[2, 6, 12]);
    let mut places = Vec::new();
    for page in first..first + count {
        let start = rng.place(page_bytes / 8 - eights);
        for eight in start..start + eights {
            let bytes = rng.pick(sizes);
            let words = (0..8).step_by(bytes);
            places.extend(
                words.map(|at| Place { offset: page * page_bytes + eight * 8 + at, bytes }),
            );
        }
    }
    places
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, kind, threads, operations, pause_ns, pause_odds, .. } = self;
        let Self { manner, first, shared, places, .. } = self;
        write!(
            f,
            "round {number}: {kind:?}, {threads} threads a rank, {operations} operations each"
        )?;
        write!(
            f,
            " on {} words, pauses to {pause_ns} ns one in {pause_odds}, {manner:?}",
            places.len()
        )?;
        write!(f, ", words set by rank {first}, shared at the start: {shared:?}")
    }
}

/// Words are on at most so many pages, one after another.
const MAX_PAGES: usize = 4;
/// Pages beyond this one are not used.
const MAX_PAGE: usize = 2048;
