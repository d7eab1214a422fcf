//! Every interleaving of small worlds in which ranks speak as the PR204 family does.
//!
//! The engine is the one that ships, [`dsm_core::pr204::Engine`]; the worlds are simpler than those of our
//! own protocol, so they have an explorer of their own. A rank's threads each add one to the pages of their
//! script in turn; then the rank leaves. An addition is one step, as an atomic instruction is, so every
//! program is free of races and the values are exact in every interleaving.
//!
//! What a rank of seed8 hears is a list of messages here; how they are told apart is not looked at.

mod world;

use crate::rng::Rng;
use crate::seen::Seen;
use dsm_core::PageId;
use dsm_core::pr204::{Mutant, Profile};
use std::fmt;
use world::World;

pub use world::Step;

/// A world to explore.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How the ranks speak.
    pub profile: Profile,
    /// How many pages there are.
    pub pages: u64,
    /// The pages that each rank's threads add one to, in order.
    pub scripts: Vec<Vec<Vec<PageId>>>,
    /// How many requests are repeated, by any rank.
    pub retries: u8,
    /// A bug in every engine.
    pub mutant: Option<Mutant>,
}

/// What was looked at without finding anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exploration {
    /// States that differ in what can happen next.
    pub states: u32,
    /// Steps taken, all together.
    pub steps: u64,
    /// States in which every rank has left.
    pub ends: u32,
}

/// A broken promise, and the shortest way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What was seen, in words.
    pub how: String,
    /// The steps from the start.
    pub steps: Vec<Step>,
}

impl Setup {
    /// A world of the pages with these numbers, by rank and thread.
    #[must_use]
    pub fn new(profile: Profile, pages: u64, scripts: &[&[&[u64]]]) -> Self {
        let script = |script: &&[u64]| script.iter().map(|&page| PageId(page)).collect();
        let threads = |threads: &&[&[u64]]| threads.iter().map(script).collect();
        let scripts = scripts.iter().map(threads).collect();
        Self { profile, pages, scripts, retries: 0, mutant: None }
    }
}

/// Takes every step in every state that can be reached, nearest states first.
///
/// # Errors
/// With the shortest way to a broken promise.
///
/// # Panics
/// If there are more states than `limit`: nothing is known then.
pub fn explore(setup: &Setup, limit: u32) -> Result<Exploration, Found> {
    Explorer::default().explore(setup, limit)
}

/// Takes steps drawn from a seed, in worlds too large for [`explore`], until every rank has left.
///
/// # Errors
/// With the way to a broken promise; not to have left after `limit` steps is one.
pub fn wander(setup: &Setup, seed: u64, limit: usize) -> Result<(), Found> {
    let (mut world, mut rng, mut taken) = (World::new(setup), Rng::new(seed), Vec::new());
    loop {
        let steps = world.steps();
        let broken = match steps.len() {
            0 => return world.check_end().map_err(|how| Found { how, steps: taken }),
            _ if taken.len() == limit => Err(format!("not all ranks left within {limit} steps")),
            _ => {
                let step = draw(&steps, seed, &mut rng);
                taken.push(step);
                world.take(step)
            }
        };
        if let Err(how) = broken {
            return Err(Found { how, steps: taken });
        }
    }
}

/// Some connections are slow, which ones the seed says.
fn draw(steps: &[Step], seed: u64, rng: &mut Rng) -> Step {
    let is_slow = |step: Step| match step {
        Step::Deliver(from, to) => (seed >> ((3 * from.0 + to.0) % 16)) & 1 == 1,
        _ => false,
    };
    let mut step = rng.pick(steps);
    while is_slow(step) && !rng.one_in(16) {
        step = rng.pick(steps);
    }
    step
}

#[derive(Default)]
struct Explorer {
    /// How each state was first reached.
    origins: Vec<(u32, Option<Step>)>,
    /// From which state to which, all steps.
    edges: Vec<(u32, u32)>,
    ends: Vec<u32>,
}

impl Explorer {
    fn explore(mut self, setup: &Setup, limit: u32) -> Result<Exploration, Found> {
        let start = World::new(setup);
        let mut seen = Seen::new();
        seen.insert(start.digest());
        self.origins.push((0, None));
        let mut level = vec![(0, start)];
        while !level.is_empty() {
            let mut next = Vec::new();
            for (number, world) in level {
                let steps = world.steps();
                if steps.is_empty() {
                    world.check_end().map_err(|how| self.found(how, number, None))?;
                    self.ends.push(number);
                }
                for step in steps {
                    let mut world = world.clone();
                    world.take(step).map_err(|how| self.found(how, number, Some(step)))?;
                    let (target, is_new) = seen.insert(world.digest());
                    self.edges.push((number, target));
                    if is_new {
                        assert!(target < limit, "more than {limit} states: raise the limit");
                        self.origins.push((number, Some(step)));
                        next.push((target, world));
                    }
                }
            }
            level = next;
        }
        self.require_way_out(seen.len())?;
        let ends = u32::try_from(self.ends.len()).expect("ends are states");
        Ok(Exploration { states: seen.len(), steps: self.edges.len() as u64, ends })
    }

    /// From every state one can be reached in which every rank has left.
    fn require_way_out(&self, states: u32) -> Result<(), Found> {
        let mut leads_out = vec![false; states as usize];
        for &end in &self.ends {
            leads_out[end as usize] = true;
        }
        // Most steps lead to a later state, so a few passes from the back suffice.
        let mut changed = true;
        while changed {
            changed = false;
            for &(from, to) in self.edges.iter().rev() {
                if !leads_out[from as usize] && leads_out[to as usize] {
                    leads_out[from as usize] = true;
                    changed = true;
                }
            }
        }
        match leads_out.iter().position(|out| !out) {
            None => Ok(()),
            Some(state) => {
                let state = u32::try_from(state).expect("states are numbered by u32");
                let how = "from here on not all ranks can leave, whatever happens".to_owned();
                Err(self.found(how, state, None))
            }
        }
    }

    fn found(&self, how: String, state: u32, last: Option<Step>) -> Found {
        let mut steps: Vec<_> = last.into_iter().collect();
        let mut state = state;
        while let (before, Some(step)) = self.origins[state as usize] {
            steps.push(step);
            state = before;
        }
        steps.reverse();
        Found { how, steps }
    }
}

impl fmt::Display for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, ends } = self;
        write!(f, "{states:8} states, {steps:9} steps, {ends:4} ends")
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} after {} steps:", self.how, self.steps.len())?;
        self.steps.iter().try_for_each(|step| writeln!(f, "  {step:?}"))
    }
}
