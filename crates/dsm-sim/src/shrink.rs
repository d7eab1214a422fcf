use crate::calm::require_good_end;
use crate::rng::Rng;
use crate::roam::roam_in;
use crate::{Arrival, Counterexample, Faults, Limits, Op, Path, Setup, Step, World, shortest};
use dsm_core::Hold;
use std::sync::Arc;

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

/// Worlds in which something is left out: much first.
fn simpler(setup: &Setup) -> impl Iterator<Item = Setup> {
    let mut all = Vec::new();
    let nodes = setup.scripts.len();
    if nodes > 2 {
        all.extend((0..nodes).map(|rank| changed(setup, |scripts| drop(scripts.remove(rank)))));
    }
    for (rank, threads) in setup.scripts.iter().enumerate() {
        for (thread, ops) in threads.iter().enumerate() {
            // A barrier that one rank leaves out is a mistake of another sort.
            let meets = ops.iter().any(|op| op.barrier().is_some());
            if threads.len() > 1 && !meets {
                all.push(changed(setup, |scripts| drop(scripts[rank].remove(thread))));
            }
            for place in (0..ops.len()).filter(|place| ops[*place].barrier().is_none()) {
                all.extend(simpler_ops(ops[place]).into_iter().map(|simpler| {
                    changed(setup, |scripts| {
                        let mut ops = ops.to_vec();
                        ops.splice(place..=place, simpler);
                        scripts[rank][thread] = ops.into();
                    })
                }));
            }
        }
    }
    for left_out in [Op::Barrier, Op::Finalize] {
        let has = |op: &Op| *op == left_out;
        if setup.scripts.iter().flatten().any(|ops| ops.iter().any(has)) {
            all.push(changed(setup, |scripts| {
                for ops in scripts.iter_mut().flatten() {
                    let last = ops.iter().rposition(has);
                    let kept = ops.iter().enumerate().filter(|(place, _)| Some(*place) != last);
                    *ops = kept.map(|(_, op)| *op).collect();
                }
            }));
        }
    }
    all.extend((setup.hold != Hold::None).then(|| Setup { hold: Hold::None, ..setup.clone() }));
    let (whole, at_once) = (Arrival::Whole, Faults::AtOnce);
    all.extend((setup.arrival != whole).then(|| Setup { arrival: whole, ..setup.clone() }));
    all.extend((setup.faults != at_once).then(|| Setup { faults: at_once, ..setup.clone() }));
    let used = |op: &Op| op.needs().map(|(page, _)| page.0 + 1).max().unwrap_or(1);
    let pages = setup.scripts.iter().flatten().flat_map(|ops| ops.iter()).map(used).max();
    let pages = pages.unwrap_or(1);
    all.extend((pages < setup.pages).then(|| Setup { pages, ..setup.clone() }));
    all.into_iter()
}

/// What may stand in for an operation: nothing, or a part of it.
fn simpler_ops(op: Op) -> Vec<Option<Op>> {
    match op {
        Op::Move(from, to) => vec![None, Some(Op::Load(from)), Some(Op::Store(to))],
        _ => vec![None],
    }
}

fn changed(setup: &Setup, change: impl FnOnce(&mut Vec<Vec<Arc<[Op]>>>)) -> Setup {
    let mut setup = setup.clone();
    change(&mut setup.scripts);
    setup
}

/// Random schedules tried in each smaller world.
const SCHEDULES: u64 = 60;
/// Steps taken after the known ones.
const MOST_STEPS: usize = 2_000;
const SEARCHED_STATES: u32 = 150_000;
