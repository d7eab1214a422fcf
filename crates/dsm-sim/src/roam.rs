use crate::calm::require_good_end;
use crate::draw::draw_setup;
use crate::rng::Rng;
use crate::schedule::Schedule;
use crate::{Broken, Counterexample, Mutant, Path, Promise, Setup, Step, World};
use dsm_core::Rank;

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
    roam_in(setup, &mut rng, &mut |_, _| ())
}

/// The same, and tells of each step before it is taken.
///
/// # Errors
/// With the way to a broken promise, if one is broken.
pub fn roam_watching(
    seed: u64,
    watcher: &mut dyn FnMut(&World, Step),
) -> Result<Roamed, Box<Counterexample>> {
    let mut rng = Rng::new(seed);
    let setup = draw_setup(&mut rng, None);
    roam_in(setup, &mut rng, watcher)
}

/// Runs this world in a schedule drawn from `rng`.
pub(crate) fn roam_in(
    setup: Setup,
    rng: &mut Rng,
    watcher: &mut dyn FnMut(&World, Step),
) -> Result<Roamed, Box<Counterexample>> {
    let threads = setup.scripts.iter().map(Vec::len).max().unwrap_or(0);
    let mut schedule = Schedule::draw(rng, setup.nodes(), threads);
    let world = World::new(setup);
    let roamer = Roamer { world, path: Path::default(), waits: Vec::new(), longest_wait: 0 };
    roamer.run(rng, &mut schedule, watcher)
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
    fn run(
        mut self,
        rng: &mut Rng,
        schedule: &mut Schedule,
        watcher: &mut dyn FnMut(&World, Step),
    ) -> Result<Roamed, Box<Counterexample>> {
        loop {
            let steps = self.world.steps();
            if steps.is_empty() {
                return match require_good_end(&self.world) {
                    Ok(()) => Ok(Roamed { path: self.path, longest_wait: self.longest_wait }),
                    Err(broken) => Err(self.counterexample(broken)),
                };
            }
            let choice = schedule.choose(rng, &steps, self.path.0.len() as u64);
            watcher(&self.world, steps[choice]);
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
            world.operations_done(wait.rank, wait.thread) == wait.done && world.is_up(wait.rank)
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

/// Every schedule is fair from some step on: it gives each link, rank and thread a turn in some hundred
/// steps, and an operation needs some dozen turns.
const MOST_STEPS: u64 = 100_000;
