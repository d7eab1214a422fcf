use crate::calm::require_good_end;
use crate::rng::Rng;
use crate::{
    Arrival, Broken, Counterexample, Faults, Mutant, Op, Path, Promise, Setup, Step, Watch, World,
};
use dsm_core::{Hold, PageId, Rank};
use std::rc::Rc;

/// What a schedule came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roamed {
    /// The steps taken.
    pub path: Path,
    /// The most steps that passed between the beginning and the end of one operation.
    pub longest_wait: u64,
}

/// Runs one world in one schedule, both drawn from `seed`, to its end.
///
/// # Errors
/// With the way to a broken promise, if one is broken.
pub fn roam(seed: u64, mutant: Option<Mutant>) -> Result<Roamed, Box<Counterexample>> {
    let mut rng = Rng::new(seed);
    let setup = draw_setup(&mut rng, mutant);
    let biases = Biases::draw(&mut rng, setup.nodes());
    let world = World::new(setup);
    let roamer = Roamer { world, path: Path::default(), waits: Vec::new(), longest_wait: 0 };
    roamer.run(&mut rng, &biases)
}

/// The world that [`roam`] draws from this seed.
#[must_use]
pub fn drawn_setup(seed: u64, mutant: Option<Mutant>) -> Setup {
    draw_setup(&mut Rng::new(seed), mutant)
}

struct Roamer {
    world: World,
    path: Path,
    waits: Vec<Wait>,
    longest_wait: u64,
}

/// An operation that was tried and has not ended.
struct Wait {
    rank: Rank,
    thread: usize,
    /// How many operations the thread has done before.
    done: usize,
    /// The step at which it was first tried.
    since: u64,
}

impl Roamer {
    fn run(mut self, rng: &mut Rng, biases: &Biases) -> Result<Roamed, Box<Counterexample>> {
        loop {
            let steps = self.world.steps();
            if steps.is_empty() {
                return match require_good_end(&self.world) {
                    Ok(()) => Ok(Roamed { path: self.path, longest_wait: self.longest_wait }),
                    Err(broken) => Err(self.counterexample(broken)),
                };
            }
            let choice = biases.choose(rng, &steps);
            self.path.0.push(u16::try_from(choice).expect("few steps are on offer"));
            if let Err(broken) = self.step(steps[choice]) {
                return Err(self.counterexample(broken));
            }
        }
    }

    fn step(&mut self, step: Step) -> Result<(), Broken> {
        let now = self.path.0.len() as u64;
        if let Step::Run(rank, thread) = step {
            let done = self.world.operations_done(rank, thread);
            if !self.waits.iter().any(|wait| (wait.rank, wait.thread) == (rank, thread)) {
                self.waits.push(Wait { rank, thread, done, since: now });
            }
        }
        self.world.take(step)?;
        let (world, longest) = (&self.world, &mut self.longest_wait);
        self.waits.retain(|wait| {
            *longest = (now - wait.since).max(*longest);
            world.operations_done(wait.rank, wait.thread) == wait.done
        });
        match self.waits.iter().find(|wait| now - wait.since > MOST_STEPS) {
            None => Ok(()),
            Some(Wait { rank, thread, .. }) => {
                let how = format!("rank {rank} thread {thread} waits more than {MOST_STEPS} steps");
                Err(Broken::new(Promise::Progress, how))
            }
        }
    }

    fn counterexample(self, broken: Broken) -> Box<Counterexample> {
        let setup = self.world.setup().clone();
        Box::new(Counterexample { broken, setup, path: self.path })
    }
}

/// How likely each kind of step is, so that slow links and slow ranks come up. None is ever 0: the
/// schedule is fair.
struct Biases {
    nodes: usize,
    threads: Vec<u64>,
    drivers: Vec<u64>,
    wires: Vec<u64>,
    hold_over: u64,
}

impl Biases {
    fn draw(rng: &mut Rng, nodes: u16) -> Self {
        let nodes = usize::from(nodes);
        let mut draw = |count: usize| (0..count).map(|_| rng.pick(&WEIGHTS)).collect();
        let (threads, drivers, wires) = (draw(nodes), draw(nodes), draw(nodes * nodes));
        Self { nodes, threads, drivers, wires, hold_over: rng.pick(&WEIGHTS) }
    }

    fn choose(&self, rng: &mut Rng, steps: &[Step]) -> usize {
        let total = steps.iter().map(|&step| self.weight(step)).sum();
        let mut left = rng.below(total);
        for (place, &step) in steps.iter().enumerate() {
            match left.checked_sub(self.weight(step)) {
                Some(rest) => left = rest,
                None => return place,
            }
        }
        unreachable!("the drawn number is below the sum of all weights")
    }

    fn weight(&self, step: Step) -> u64 {
        let at = |rank: Rank| usize::from(rank.0);
        match step {
            Step::Run(rank, _) => self.threads[at(rank)],
            Step::ReadFaults(rank) | Step::TellFault(rank) | Step::CarryOut(rank) => {
                self.drivers[at(rank)]
            }
            Step::Arrive(from, to) | Step::Deliver(from, to) => {
                self.wires[at(from) * self.nodes + at(to)]
            }
            Step::HoldOver(..) => self.hold_over,
        }
    }
}

fn draw_setup(rng: &mut Rng, mutant: Option<Mutant>) -> Setup {
    let nodes = 2 + rng.below(4);
    let pages = 1 + rng.below(4);
    let barriers = if rng.one_in(3) { 1 + rng.below(2) } else { 0 };
    let hold = rng.pick(&[Hold::None, Hold::Timed]);
    let moves = pages > 1 && rng.one_in(4);
    let ops = 1 + rng.below(12);
    let mut scripts = Vec::new();
    for _ in 0..nodes {
        let ops =
            |rng: &mut Rng| -> Vec<Op> { (0..ops).map(|_| draw_op(rng, pages, moves)).collect() };
        let mut first = ops(rng);
        for _ in 0..barriers {
            let place = rng.below(first.len() as u64 + 1);
            first.insert(usize::try_from(place).expect("a script is short"), Op::Barrier);
        }
        let mut threads: Vec<Rc<[Op]>> = vec![first.into()];
        if rng.one_in(2) {
            threads.push(ops(rng).into());
        }
        scripts.push(threads);
    }
    Setup {
        pages,
        scripts,
        hold,
        arrival: rng.pick(&[Arrival::Whole, Arrival::Split]),
        faults: rng.pick(&[Faults::AtOnce, Faults::Batched, Faults::Posted]),
        watch: Watch::Everything,
        mutant,
    }
}

fn draw_op(rng: &mut Rng, pages: u64, moves: bool) -> Op {
    let page = rng.below(pages);
    if moves && rng.one_in(4) {
        let other = (page + 1 + rng.below(pages - 1)) % pages;
        return Op::Move(PageId(page), PageId(other));
    }
    if rng.one_in(2) { Op::Load(PageId(page)) } else { Op::Store(PageId(page)) }
}

const WEIGHTS: [u64; 3] = [1, 4, 16];

/// A fair schedule gives each wire, rank and thread a turn in some hundred steps, and an operation
/// needs some dozen turns.
const MOST_STEPS: u64 = 100_000;
