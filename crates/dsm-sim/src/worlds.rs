use crate::{Arrival, Faults, Mutant, Setup};
use dsm_core::{Hold, Placement};

/// A world that is explored to its last state.
#[derive(Clone, Copy, Debug)]
pub struct NamedWorld {
    /// What it is called.
    pub name: &'static str,
    /// Whether every test run explores it.
    pub when: When,
    pages: u64,
    heap: u64,
    placement: Placement,
    scripts: &'static str,
    hold: Hold,
    arrival: Arrival,
    faults: Faults,
    fan_in: Option<u16>,
    moves_after: Option<u8>,
}

/// When a world is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In every test run.
    Always,
    /// When somebody asks, as `make prove` does: it takes up to a minute.
    OnRequest,
}

/// The worlds that every change of the protocol must pass: small ones first.
pub const WORLDS: &[NamedWorld] = &[
    world("2x1", 1, "r0 w0 r0 | w0 r0 w0"),
    world("2x1-hold", 1, "r0 w0 r0 | w0 r0 w0").held(),
    world("2x1-mismatch", 1, "w0 b | r0 f"),
    world("2x1-lost", 1, "w0 r0 | r0 w0 / x"),
    world("2x1-late", 1, "r0 w0 | r0 w0 / r0").held().posted(),
    world("2x1-posted", 1, "w0 | w0 / r0").posted(),
    world("2x2-move", 2, "m0>1 | m1>0"),
    world("2x1-threads", 1, "r0 w0 / w0 | w0 / r0"),
    world("2x2-move-hold", 2, "m0>1 | m1>0").held(),
    world("3x1-finalize-all", 1, "w0 b f | r0 b w0 f | w0 b f"),
    world("3x1", 1, "w0 r0 | r0 w0 | r0 w0"),
    world("3x1-hold", 1, "w0 r0 | r0 w0 | r0 w0").held(),
    world("3x1-barrier", 1, "w0 b r0 b | b w0 b r0 | r0 b b w0"),
    world("3-tree", 1, "b b b | b b b | b b b").tree(1),
    world("3-tree-leave", 1, "b f | b f | b f").tree(1),
    world("3-tree-mismatch", 1, "b f | b f | b b").tree(1),
    world("3-tree-absent", 1, "f | r0 | w0 b").tree(1),
    world("5-tree", 1, "b b | b b | b b | b b | b b").tree(2),
    world("1x1", 1, "r0 w0 b r0 f / w0").batched(),
    world("2-lock", 1, "l0 w0 u0 l0 w0 u0 | l0 w0 u0 l0 u0").held(),
    world("2-lock-threads", 1, "l0 w0 u0 / l0 r0 u0 | l0 w0 u0").held(),
    world("2-lock-nested", 2, "l0 l1 w0 u1 u0 | l1 w0 u1 l0 u0").held(),
    world("2-lock-tries", 1, "L0 u0 / l0 u0 | S0 u0 t0 u0"),
    world("3-lock", 1, "l0 u0 l0 u0 | l0 u0 | l0 u0"),
    world("3-lock-data", 1, "l0 w0 u0 | l0 r0 w0 u0 | l0 w0 u0").held(),
    world("3-lock-patience", 1, "L0 u0 | L0 u0 | l0 u0"),
    world("3-lock-tries", 1, "l0 u0 | t0 u0 | "),
    world("2-rwlock", 1, "l0 u0 s0 u0 / s0 u0 | s0 u0 l0 u0"),
    world("3-rwlock", 1, "s0 u0 / l0 u0 | s0 u0 l0 u0 | l0 u0"),
    world("3-rwlock-data", 1, "s0 r0 u0 | s0 r0 u0 | l0 w0 u0").held(),
    world("2-cond-threads", 2, "l0 c1>0 u0 / l0 c1>0 u0 | l0 n1 u0 l0 n1 u0"),
    world("3-cond", 2, "l0 c1>0 u0 | l0 n1 n1 u0 | l0 c1>0 u0"),
    world("3-cond-leave", 2, "l0 c1>0 u0 | l0 n1 n1 u0 | l0 d1>0 u0"),
    world("3-cond-all", 2, "l0 c1>0 u0 e1 | l0 c1>0 u0 | e1 l0 a1 u0"),
    world("3-semaphore", 1, "p0 | p0 | q0 v0 v0"),
    world(
        "3-semaphore-set",
        2,
        "p0 i1>4294967295 v1 i1>4294967295 p1 i1>4294967295 i1>0 | i0>0 v0 q1 | q1",
    ),
    world("3-gather", 1, "g0>3 g0>3 | g0>3 g0>3 | g0>3 g0>3"),
    world("3-gather-some", 1, "g0>2 | g0>2 | g0>1"),
    world("2-gather-data", 1, "w0 g0>3 r0 / g0>3 | g0>3 w0").held(),
    world("3-operations", 1, "o0 r0 | w0 o0 | o0 z0"),
    world("3-operations-hold", 1, "o0 r0 | w0 | z0 o0").held(),
    world("2-runs", 1, "h1 j k h1 j k | h1 j k").heap(3),
    world("2-runs-scarce", 1, "h1 j k h1 j k | h1 j k").heap(2).held(),
    world("2-runs-whole", 1, "h1 h1 k k h2 k | h1 k").heap(3),
    world("2-runs-lock", 1, "h1 l0 j u0 k l0 u0 | l0 u0 h1 l0 j u0 k l0 u0").heap(2),
    world("2-runs-ahead", 1, "H1 J1 H2 | h1 j k H1").heap(3),
    world("3-runs-ahead", 1, "h1 j k | H1 | J1 H1").heap(2),
    world("2-prefetch", 1, "R0 w0 | W0 r0"),
    world("3-runs", 1, "h1 j k | h1 j k | y h1 k").heap(2),
    world("2x4-block", 4, "w0 r3 | m3>0").placed(Placement::Block).held(),
    world("2x3-random", 3, "w0 r1 | m2>0").placed(Placement::Random).held(),
    world("3-lock-block", 4, "l1 w1 u1 | l1 w1 u1 | l1 r1 u1 o3").placed(Placement::Block),
    world("3-touch", 3, "w2 | w2 | r2").placed(Placement::FirstTouch),
    world("3-touch-threads", 3, "o2 / r2 w2 | W2 o2 | ").placed(Placement::FirstTouch),
    world("2-touch-lock", 2, "l1 w0 u1 l1 w0 u1 | l1 w0 u1 r1")
        .placed(Placement::FirstTouch)
        .held(),
    world("2x1-moves", 1, "r0 w0 r0 | w0 r0 w0").moving(0),
    world("2x1-moves-hold", 1, "r0 w0 r0 w0 | r0 w0 r0 w0").held(),
    world("3x1-moves", 1, "w0 r0 | r0 w0 | r0 w0").moving(0),
    world("2x2-threads", 2, "w0 r1 / w1 | w1 r0 / r0"),
    world("3x1-split", 1, "w0 | r0 w0 | r0 w0").held().split().batched(),
    world("3x1-lost", 1, "w0 r0 | r0 w0 / x | w0"),
    world("4x1", 1, "w0 | r0 | w0 | r0"),
    world("3x1-long", 1, "r0 w0 r0 | w0 r0 w0 | r0 w0 r0").held(),
    world("3x1-moves-hold", 1, "w0 r0 | r0 w0 | r0 w0").moving(1).held(),
    world("3x2-hold", 2, "w0 r1 | w1 | r0 w1").held().on_request(),
    world("3-touch-held", 3, "w2 r2 | r2 | w2").placed(Placement::FirstTouch).held().on_request(),
    world("3-touch-real", 3, "w2 | r2 w2 | r2 w2")
        .placed(Placement::FirstTouch)
        .held()
        .split()
        .batched()
        .on_request(),
    world("2x1-batched", 1, "r0 w0 / w0 | w0 / r0").batched().on_request(),
    world("3x2", 2, "w0 r1 | w1 r0 | r0 w1").on_request(),
    world("3x1-threads", 1, "r0 / w0 | w0 / r0 | r0 w0").on_request(),
    world("3x1-finalize", 1, "w0 f | r0 w0 f | r0 b / w0").held().on_request(),
    world("3x2-move-hold", 2, "m0>1 | m1>0 | w0").held().on_request(),
    world("3x1-lost-home", 1, "w0 / x | r0 w0 b | w0 b").held().split().batched().on_request(),
    world("2x1-real", 1, "r0 w0 / w0 | w0 / r0").held().split().posted().on_request(),
    world("4x1-queue", 1, "r0 | w0 | r0 w0 | r0 w0").on_request(),
    world("4x1-long", 1, "w0 r0 | r0 w0 | w0 | r0").on_request(),
    world("4x2", 2, "w0 r1 | w1 r0 | r0 | r1").on_request(),
    world("4x1-real", 1, "w0 | r0 w0 | r0 | w0").held().split().batched().on_request(),
    world("3x2-real", 2, "w0 r1 | w1 r0 | r0 w1").held().split().batched().on_request(),
    world("4x1-moves", 1, "w0 | r0 w0 | r0 w0 | r0").moving(1).on_request(),
    world("2x1-moves-real", 1, "r0 w0 / r0 | r0 w0 r0 / o0").moving(1).held().posted().on_request(),
    world("3x1-moves-real", 1, "w0 r0 | r0 w0 | r0 w0")
        .moving(1)
        .held()
        .split()
        .batched()
        .on_request(),
    world("2x1-threads-real", 1, "r0 w0 / w0 r0 | w0 r0 / r0").held().split().posted().on_request(),
];

impl NamedWorld {
    /// The world of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        WORLDS.iter().find(|world| world.name == name)
    }

    /// Whether it is explored in about a second.
    #[must_use]
    pub fn is_small(&self) -> bool {
        let place = |name| WORLDS.iter().position(|world| world.name == name);
        place(self.name) < place(FIRST_LARGE)
    }

    /// Its setup, with or without a bug in it.
    ///
    /// # Panics
    /// If its scripts cannot be read, which those of [`WORLDS`] can.
    #[must_use]
    pub fn setup(&self, mutant: Option<Mutant>) -> Setup {
        let Self { pages, heap, placement, scripts, hold, arrival, faults, .. } = *self;
        let Self { fan_in, moves_after, .. } = *self;
        let plain =
            Setup::new(pages, scripts).expect("the scripts of known worlds are well formed");
        Setup { heap, placement, hold, arrival, faults, fan_in, moves_after, mutant, ..plain }
    }

    const fn held(mut self) -> Self {
        self.hold = Hold::Timed;
        self
    }

    const fn heap(mut self, pages: u64) -> Self {
        self.heap = pages;
        self
    }

    const fn placed(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    const fn split(mut self) -> Self {
        self.arrival = Arrival::Split;
        self
    }

    const fn batched(mut self) -> Self {
        self.faults = Faults::Batched;
        self
    }

    const fn posted(mut self) -> Self {
        self.faults = Faults::Posted;
        self
    }

    const fn tree(mut self, fan_in: u16) -> Self {
        self.fan_in = Some(fan_in);
        self
    }

    const fn moving(mut self, after: u8) -> Self {
        self.moves_after = Some(after);
        self
    }

    const fn on_request(mut self) -> Self {
        self.when = When::OnRequest;
        self
    }
}

/// It and those after it have more than 100,000 states.
const FIRST_LARGE: &str = "3x1-split";

const fn world(name: &'static str, pages: u64, scripts: &'static str) -> NamedWorld {
    let (hold, arrival, faults) = (Hold::None, Arrival::Whole, Faults::AtOnce);
    let (when, placement) = (When::Always, Placement::Cyclic);
    let (heap, fan_in, moves_after) = (0, None, None);
    NamedWorld {
        name,
        when,
        pages,
        heap,
        placement,
        scripts,
        hold,
        arrival,
        faults,
        fan_in,
        moves_after,
    }
}
