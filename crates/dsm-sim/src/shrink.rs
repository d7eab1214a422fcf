mod simpler;

use crate::calm::require_good_end;
use crate::rng::Rng;
use crate::roam::roam_in;
use crate::{Counterexample, Limits, Path, Setup, Step, World, shortest};
use simpler::simpler;

/// A smaller world and a shorter path that break the same promise.
///
/// Whatever can be left out of the world is left out as long as the promise is still broken, by the steps
/// that are left or by some schedule; then the shortest path is searched, if the world is small enough.
#[must_use]
pub fn shrink(found: &Counterexample) -> Counterexample {
    let mut best = found.clone();
    loop {
        let smaller = simpler(&best.setup).find_map(|setup| again(setup, &best));
        let Some(smaller) = smaller else { break };
        best = smaller;
    }
    if let Some(found) = shortest(&best.setup, Limits { states: SEARCHED_STATES })
        && found.broken.promise == best.broken.promise
    {
        return *found;
    }
    while let Some(shorter) = shorter(&best) {
        best = shorter;
    }
    best
}

/// Breaks the same promise in another world.
fn again(setup: Setup, found: &Counterexample) -> Option<Counterexample> {
    let same = |other: &Counterexample| other.broken.promise == found.broken.promise;
    let steps = steps_of(found);
    follow(&setup, &steps).filter(same).or_else(|| {
        let runs = (0..SCHEDULES).filter_map(|seed| {
            roam_in(setup.clone(), &mut Rng::new(seed), &mut |_, _| ()).err().map(|found| *found)
        });
        runs.into_iter().find(same)
    })
}

/// Takes these steps in their order, those that are not on offer left out, and then whatever comes first.
fn follow(setup: &Setup, steps: &[Step]) -> Option<Counterexample> {
    let mut world = World::new(setup.clone());
    let mut path = Path::default();
    let mut wanted = steps.iter();
    for _ in 0..steps.len() + MOST_STEPS {
        let offered = world.steps();
        let place = |step: &Step| offered.iter().position(|offer| offer == step);
        let Some(&step) = offered.get(wanted.find_map(place).unwrap_or(0)) else { break };
        let choice = place(&step)?;
        path.0.push(u16::try_from(choice).ok()?);
        if let Err(broken) = world.take(step) {
            return Some(Counterexample { broken, setup: setup.clone(), path });
        }
    }
    let broken = world.steps().is_empty().then(|| require_good_end(&world).err()).flatten()?;
    Some(Counterexample { broken, setup: setup.clone(), path })
}

fn steps_of(found: &Counterexample) -> Vec<Step> {
    let mut world = World::new(found.setup.clone());
    let choices = found.path.0.iter();
    let steps = choices.map_while(|&choice| {
        let step = world.steps().get(usize::from(choice)).copied()?;
        // The last one breaks the promise.
        let _ = world.take(step);
        Some(step)
    });
    steps.collect()
}

/// The same world, fewer steps: without some of those it took.
fn shorter(found: &Counterexample) -> Option<Counterexample> {
    let steps = steps_of(found);
    let mut length = steps.len() / 2;
    while length > 0 {
        for start in (0..steps.len()).step_by(length) {
            let end = (start + length).min(steps.len());
            let kept = [&steps[..start], &steps[end..]].concat();
            let shorter = follow(&found.setup, &kept).filter(|other| {
                other.broken.promise == found.broken.promise
                    && other.path.0.len() < found.path.0.len()
            });
            if shorter.is_some() {
                return shorter;
            }
        }
        length /= 2;
    }
    None
}

/// Random schedules tried in each smaller world.
const SCHEDULES: u64 = 60;
/// Steps taken after the known ones.
const MOST_STEPS: usize = 2_000;
const SEARCHED_STATES: u32 = 150_000;
