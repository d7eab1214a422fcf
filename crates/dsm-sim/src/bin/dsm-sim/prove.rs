//! Everything the simulator shows, on all cores: a line for each part as it is done, and the figures last.

use crate::Verdict;
use dsm_core::Mutant;
use dsm_sim::{
    Counterexample, Coverage, Limits, NamedWorld, WORLDS, Watch, drawn_setup, explore,
    hunt_schedules, hunt_states, roam, shrink, tell,
};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How much to do.
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) seed: u64,
    pub(crate) schedules: u64,
    /// Go on with schedules for so long.
    pub(crate) time: Duration,
}

enum Job {
    World(&'static NamedWorld),
    Schedules { seed: u64, count: u64 },
    Planted(Mutant),
    Coverage { seed: u64 },
    Repeats { seed: u64 },
}

#[derive(Default)]
struct Tally {
    worlds: usize,
    states: u64,
    explored_steps: u64,
    schedules: u64,
    steps: u64,
    longest_wait: u64,
    found_by_states: usize,
    found_by_schedules: usize,
    can: usize,
    did: usize,
    gaps: usize,
    repeated: u64,
    broken: usize,
}

/// Does it all, but for exploring the worlds that are to be left out.
pub(crate) fn prove(budget: Budget, without: &[&str]) -> Verdict {
    let Budget { seed, schedules, .. } = budget;
    println!("seed {seed}, {schedules} schedules: dsm-sim prove --seed {seed}");
    if !without.is_empty() {
        println!("not explored: {}", without.join(", "));
    }
    let (jobs, tally) = (Mutex::new(jobs(budget, without)), Mutex::new(Tally::default()));
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(job) = next(&jobs, &tally, budget, start) {
                    work(job, &tally);
                }
            });
        }
    });
    report(&locked(&tally), start.elapsed())
}

/// The longest first, so that all cores are done at about the same time.
fn jobs(budget: Budget, without: &[&str]) -> VecDeque<Job> {
    let worlds = WORLDS.iter().rev().filter(|world| !without.contains(&world.name));
    let mut jobs: VecDeque<_> = worlds.map(Job::World).collect();
    jobs.extend(Mutant::ALL.iter().map(|mutant| Job::Planted(*mutant)));
    jobs.push_back(Job::Coverage { seed: budget.seed });
    jobs.push_back(Job::Repeats { seed: budget.seed });
    for first in (0..budget.schedules).step_by(BATCH) {
        let count = (BATCH as u64).min(budget.schedules - first);
        jobs.push_back(Job::Schedules { seed: budget.seed + first, count });
    }
    jobs
}

/// When all is done and time is left, more schedules.
fn next(
    jobs: &Mutex<VecDeque<Job>>,
    tally: &Mutex<Tally>,
    budget: Budget,
    start: Instant,
) -> Option<Job> {
    let mut jobs = locked(jobs);
    if let Some(job) = jobs.pop_front() {
        return Some(job);
    }
    if start.elapsed() >= budget.time || locked(tally).broken > 0 {
        return None;
    }
    let workers = thread::available_parallelism().map_or(2, usize::from) as u64;
    let done = locked(tally).schedules.max(budget.schedules);
    let seed = budget.seed + done + workers * BATCH as u64;
    // Whoever is still at a batch has counted none of it, so batches may overlap, and are counted as run.
    jobs.extend(
        (0..workers).map(|worker| Job::Schedules {
            seed: seed + worker * BATCH as u64,
            count: BATCH as u64,
        }),
    );
    jobs.pop_front()
}

fn work(job: Job, tally: &Mutex<Tally>) {
    match job {
        Job::World(world) => explore_world(world, tally),
        Job::Schedules { seed, count } => run_schedules(seed, count, tally),
        Job::Planted(mutant) => hunt(mutant, tally),
        Job::Coverage { seed } => cover(seed, tally),
        Job::Repeats { seed } => repeat(seed, tally),
    }
}

fn explore_world(world: &NamedWorld, tally: &Mutex<Tally>) {
    let start = Instant::now();
    match explore(&world.setup(None), Limits::default()) {
        Ok(exploration) => {
            println!("{:16} {exploration} in {:.1?}", world.name, start.elapsed());
            let mut tally = locked(tally);
            tally.worlds += 1;
            tally.states += u64::from(exploration.states);
            tally.explored_steps += exploration.steps;
        }
        Err(counterexample) => broken(world.name, &counterexample, tally),
    }
}

fn run_schedules(seed: u64, count: u64, tally: &Mutex<Tally>) {
    let (mut steps, mut longest_wait) = (0, 0);
    for seed in seed..seed + count {
        match roam(seed, None) {
            Ok(roamed) => {
                steps += roamed.path.0.len() as u64;
                longest_wait = roamed.longest_wait.max(longest_wait);
            }
            Err(counterexample) => {
                broken(&format!("seed {seed}"), &shrink(&counterexample), tally);
            }
        }
    }
    let mut tally = locked(tally);
    tally.schedules += count;
    tally.steps += steps;
    tally.longest_wait = longest_wait.max(tally.longest_wait);
}

fn hunt(mutant: Mutant, tally: &Mutex<Tally>) {
    let by_states = hunt_states(mutant, Watch::Everything);
    let by_schedules = hunt_schedules(mutant, 1..=MOST_SCHEDULES);
    println!("{}", crate::found_line(mutant, by_states.as_ref(), by_schedules.as_ref()));
    let mut tally = locked(tally);
    tally.found_by_states += usize::from(by_states.is_some());
    tally.found_by_schedules += usize::from(by_schedules.is_some());
}

fn cover(seed: u64, tally: &Mutex<Tally>) {
    let mut coverage = Coverage::default();
    let small = WORLDS.iter().filter(|world| world.is_small());
    let mut runs = small.map(|world| coverage.explore(&world.setup(None))).collect::<Vec<_>>();
    runs.extend((seed..seed + COVERAGE_SCHEDULES).map(|seed| coverage.roam(seed)));
    runs.push(coverage.crowd_known());
    for counterexample in runs.into_iter().filter_map(Result::err) {
        broken("coverage", &counterexample, tally);
    }
    let gaps = coverage.gaps();
    gaps.iter().for_each(|gap| println!("{gap:?}"));
    let (can, did) = coverage.figures();
    let mut tally = locked(tally);
    (tally.can, tally.did, tally.gaps) = (can, did, gaps.len());
}

fn repeat(seed: u64, tally: &Mutex<Tally>) {
    for seed in seed..seed + REPEATED {
        let events = || roam(seed, None).map(|run| tell(&drawn_setup(seed, None), &run.path)).ok();
        if events().is_some_and(|first| events() == Some(first)) {
            locked(tally).repeated += 1;
        }
    }
}

fn broken(place: &str, counterexample: &Counterexample, tally: &Mutex<Tally>) {
    println!("{place}: {counterexample}");
    locked(tally).broken += 1;
}

fn report(tally: &Tally, took: Duration) -> Verdict {
    let Tally { worlds, states, explored_steps, schedules, steps, longest_wait, .. } = tally;
    let Tally { found_by_states, found_by_schedules, can, did, gaps, repeated, broken, .. } = tally;
    let planted = Mutant::ALL.len();
    println!(
        "explored: {states} states, {explored_steps} steps, {worlds} worlds to the last state"
    );
    println!("schedules: {schedules} runs, {steps} steps, longest wait {longest_wait} steps");
    let missed = planted - found_by_states.min(found_by_schedules);
    println!("planted: {planted} bugs, {missed} missed by exploring or by schedules");
    let percent = did * 100 / can.max(&1);
    println!("situations: {percent} % of {can} that can occur do, {gaps} gaps");
    println!("repeated: {repeated} of {REPEATED} seeds with the same events");
    println!("broken: {broken} promises, {:.0} s", took.as_secs_f64());
    let all_repeated = *repeated == REPEATED;
    match *broken == 0 && missed == 0 && *gaps == 0 && percent == 100 && all_repeated {
        true => Verdict::Kept,
        false => Verdict::Broken,
    }
}

/// A worker that panicked ends the command when the others are done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const BATCH: usize = 10_000;
const MOST_SCHEDULES: u64 = 20_000;
const COVERAGE_SCHEDULES: u64 = 5_000;
const REPEATED: u64 = 20;
