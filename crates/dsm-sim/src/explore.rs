use crate::calm::require_good_end;
use crate::seen::Seen;
use crate::{Broken, Counterexample, Path, Promise, Setup, Step, World};
use std::fmt;

/// What an exploration looked at without finding anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exploration {
    /// States that differ in what can happen next.
    pub states: u32,
    /// Steps taken, all together.
    pub steps: u64,
    /// Steps from the start to the state farthest from it.
    pub depth: u32,
    /// States in which nothing can happen any more: all threads are done, nothing is under way.
    pub ends: u32,
}

/// Where an exploration gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// States to look at.
    pub states: u32,
}

/// Takes every step in every state that can be reached, nearest states first.
///
/// # Errors
/// With the shortest way to a broken promise, if there is one.
///
/// # Panics
/// If there are more states than the limit: nothing is known then.
pub fn explore(setup: &Setup, limits: Limits) -> Result<Exploration, Box<Counterexample>> {
    explore_watching(setup, limits, &mut |_, _| ())
}

/// The same, and tells of each step before it is taken.
///
/// # Errors
/// As [`explore`].
///
/// # Panics
/// As [`explore`].
pub fn explore_watching(
    setup: &Setup,
    limits: Limits,
    watcher: &mut dyn FnMut(&World, Step),
) -> Result<Exploration, Box<Counterexample>> {
    match Explorer::new(setup, limits).explore(watcher) {
        Ok(exploration) => Ok(exploration),
        Err(Stop::Found(counterexample)) => Err(counterexample),
        Err(Stop::Limit) => panic!("more than {} states: raise the limit of states", limits.states),
    }
}

/// The shortest way to a broken promise, if there is one within the limits.
#[must_use]
pub fn shortest(setup: &Setup, limits: Limits) -> Option<Box<Counterexample>> {
    match Explorer::new(setup, limits).explore(&mut |_, _| ()) {
        Err(Stop::Found(counterexample)) => Some(counterexample),
        Ok(_) | Err(Stop::Limit) => None,
    }
}

/// Why an exploration did not reach its end.
enum Stop {
    Found(Box<Counterexample>),
    Limit,
}

struct Explorer<'a> {
    setup: &'a Setup,
    limits: Limits,
    seen: Seen,
    /// How each state was first reached: from which, by which of its steps.
    origins: Vec<(u32, u16)>,
    /// Where every step of every state leads, states in order of their numbers.
    targets: Vec<u32>,
    /// Where a state's targets end.
    target_ends: Vec<usize>,
    done: Vec<bool>,
    ends: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { states: 100_000_000 }
    }
}

impl fmt::Display for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, depth, ends } = self;
        write!(f, "{states:8} states, {steps:9} steps, depth {depth:3}, {ends:6} ends")
    }
}

impl<'a> Explorer<'a> {
    fn new(setup: &'a Setup, limits: Limits) -> Self {
        Self {
            setup,
            limits,
            seen: Seen::new(),
            origins: Vec::new(),
            targets: Vec::new(),
            target_ends: Vec::new(),
            done: Vec::new(),
            ends: 0,
        }
    }

    fn explore(mut self, watcher: &mut dyn FnMut(&World, Step)) -> Result<Exploration, Stop> {
        let start = World::new(self.setup.clone());
        self.seen.insert(start.digest());
        self.origins.push((0, 0));
        let mut depth = 0;
        let mut level = vec![(0, start)];
        loop {
            let mut next = Vec::new();
            for (number, world) in level {
                self.expand(number, &world, &mut next, watcher)?;
            }
            if next.is_empty() {
                break;
            }
            depth += 1;
            level = next;
        }
        self.require_way_out()?;
        let (states, steps) = (self.seen.len(), self.targets.len() as u64);
        Ok(Exploration { states, steps, depth, ends: self.ends })
    }

    fn expand(
        &mut self,
        number: u32,
        world: &World,
        next: &mut Vec<(u32, World)>,
        watcher: &mut dyn FnMut(&World, Step),
    ) -> Result<(), Stop> {
        let steps = world.steps();
        self.done.push(world.is_done());
        if steps.is_empty() {
            self.ends += 1;
            require_good_end(world).map_err(|broken| self.counterexample(broken, number, None))?;
        }
        for (choice, &step) in (0..).zip(&steps) {
            watcher(world, step);
            let mut world = world.clone();
            let taken = world.take(step);
            taken.map_err(|broken| self.counterexample(broken, number, Some(choice)))?;
            let (target, is_new) = self.seen.insert(world.digest());
            self.targets.push(target);
            if is_new {
                if target >= self.limits.states {
                    return Err(Stop::Limit);
                }
                self.origins.push((number, choice));
                next.push((target, world));
            }
        }
        self.target_ends.push(self.targets.len());
        Ok(())
    }

    /// From every state a state can be reached in which all threads are done.
    fn require_way_out(&self) -> Result<(), Stop> {
        let mut leads_out = self.done.clone();
        // Most steps lead to a later state, so a few passes from the back suffice.
        let mut changed = true;
        while changed {
            changed = false;
            for state in (0..leads_out.len()).rev().filter(|&state| !self.done[state]) {
                if !leads_out[state] && self.targets_of(state).any(|t| leads_out[t]) {
                    leads_out[state] = true;
                    changed = true;
                }
            }
        }
        match leads_out.iter().position(|out| !out) {
            None => Ok(()),
            Some(state) => {
                let how = "from here on not all threads can finish, whatever happens";
                let broken = Broken::new(Promise::NoLivelock, how);
                let state = u32::try_from(state).expect("states are numbered by u32");
                Err(self.counterexample(broken, state, None))
            }
        }
    }

    fn targets_of(&self, state: usize) -> impl Iterator<Item = usize> {
        let start = state.checked_sub(1).map_or(0, |before| self.target_ends[before]);
        self.targets[start..self.target_ends[state]].iter().map(|&target| target as usize)
    }

    fn counterexample(&self, broken: Broken, state: u32, last: Option<u16>) -> Stop {
        let mut choices: Vec<u16> = last.into_iter().collect();
        let mut state = state;
        while state != 0 {
            let (before, choice) = self.origins[state as usize];
            choices.push(choice);
            state = before;
        }
        choices.reverse();
        let (setup, path) = (self.setup.clone(), Path(choices));
        Stop::Found(Box::new(Counterexample { broken, setup, path }))
    }
}
