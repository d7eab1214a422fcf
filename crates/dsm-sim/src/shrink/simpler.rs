use crate::{Arrival, Faults, Op, Setup};
use dsm_core::{Hold, ObjectId, Placement};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where an operation is: rank, thread, place.
type Place = (usize, usize, usize);

/// Worlds in which something is left out: much first. Nothing is left out that others wait for: to wait for
/// ever would be a mistake of another sort.
pub(super) fn simpler(setup: &Setup) -> impl Iterator<Item = Setup> {
    let mut all = without_threads(setup);
    all.extend(without_operations(setup));
    all.extend(without_pairs(setup));
    all.extend(without_meetings(setup));
    all.extend((setup.hold != Hold::None).then(|| Setup { hold: Hold::None, ..setup.clone() }));
    let (whole, at_once) = (Arrival::Whole, Faults::AtOnce);
    all.extend((setup.arrival != whole).then(|| Setup { arrival: whole, ..setup.clone() }));
    all.extend((setup.faults != at_once).then(|| Setup { faults: at_once, ..setup.clone() }));
    let pages = setup.ops().map(|op| op.highest() + 1).max().unwrap_or(1);
    let cyclic = Placement::Cyclic;
    all.extend((setup.placement != cyclic).then(|| Setup { placement: cyclic, ..setup.clone() }));
    all.extend((pages < setup.pages).then(|| Setup { pages, ..setup.clone() }));
    all.extend(setup.fan_in.map(|_| Setup { fan_in: None, ..setup.clone() }));
    all.extend(setup.moves_after.map(|_| Setup { moves_after: None, ..setup.clone() }));
    let heap = setup.heap.checked_sub(1);
    all.extend(heap.map(|heap| Setup { heap, ..setup.clone() }));
    all.into_iter()
}

fn without_threads(setup: &Setup) -> Vec<Setup> {
    let mut all = Vec::new();
    let binds = |op: &Op| op.barrier().is_none() && others_wait_for(setup, *op);
    for (rank, threads) in setup.scripts.iter().enumerate() {
        let has = |op: fn(Op) -> bool| threads.iter().flat_map(|ops| ops.iter()).any(|it| op(*it));
        let bound = threads.iter().flat_map(|ops| ops.iter()).any(binds);
        if setup.scripts.len() > 2 && !bound {
            all.push(changed(setup, |scripts| drop(scripts.remove(rank))));
        }
        let meets = has(|op| op.barrier().is_some());
        for thread in 0..threads.len() {
            let bound = threads[thread].iter().any(binds)
                || meets && threads[thread].iter().any(|op| op.barrier().is_some());
            if threads.len() > 1 && !bound {
                all.push(changed(setup, |scripts| drop(scripts[rank].remove(thread))));
            }
        }
    }
    all
}

fn without_operations(setup: &Setup) -> Vec<Setup> {
    let mut all = Vec::new();
    for (place, op) in places(setup) {
        let (rank, thread, at) = place;
        let before = &setup.scripts[rank][thread][..at];
        let binds = match op {
            Op::Lock(..) => guards(setup, place),
            Op::Unlock(lock) => {
                before.iter().any(|op| matches!(op, Op::Lock(it, ..) if *it == lock))
            }
            op => others_wait_for(setup, op),
        };
        if !binds {
            all.push(without(setup, &[place]));
        }
        if let Op::Move(from, to) = op {
            for part in [Op::Load(from), Op::Store(to)] {
                all.push(changed(setup, |scripts| replace(scripts, place, Some(part))));
            }
        }
    }
    all
}

/// A lock with what gives it back, and what a thread waits for with what another one does for it.
fn without_pairs(setup: &Setup) -> Vec<Setup> {
    let mut all = Vec::new();
    for (place, op) in places(setup) {
        let (rank, thread, at) = place;
        if guards(setup, place) {
            continue;
        }
        let others = places(setup);
        let partner = match op {
            Op::Lock(lock, ..) => others.into_iter().find(|&((other, its, after), op)| {
                (other, its) == (rank, thread) && after > at && op == Op::Unlock(lock)
            }),
            Op::SemaphoreWait(semaphore) => {
                others.into_iter().find(|(_, op)| *op == Op::SemaphorePost(semaphore))
            }
            Op::CondWait { cond, .. } => others.into_iter().find(|(_, op)| *op == Op::Signal(cond)),
            _ => None,
        };
        all.extend(partner.map(|(partner, _)| without(setup, &[place, partner])));
    }
    all
}

/// The last meeting at each barrier.
fn without_meetings(setup: &Setup) -> Vec<Setup> {
    let meets = |op: &Op| op.barrier().is_some() || matches!(op, Op::Gather(..));
    let meetings: BTreeSet<Op> = setup.ops().filter(meets).collect();
    let without = |left_out: Op| {
        changed(setup, |scripts| {
            for ops in scripts.iter_mut().flatten() {
                let last = ops.iter().rposition(|op| *op == left_out);
                let kept = ops.iter().enumerate().filter(|(place, _)| Some(*place) != last);
                *ops = kept.map(|(_, op)| *op).collect();
            }
        })
    };
    meetings.into_iter().map(without).collect()
}

/// Whether a lock guards what other threads wait for: without it they could miss that.
fn guards(setup: &Setup, (rank, thread, at): Place) -> bool {
    let ops = &setup.scripts[rank][thread];
    let Op::Lock(lock, ..) = ops[at] else { return false };
    let section = ops[at..].iter().take_while(|op| **op != Op::Unlock(lock));
    section.into_iter().any(|op| others_wait_for(setup, *op))
}

/// Whether some thread may wait for another one to do this.
fn others_wait_for(setup: &Setup, op: Op) -> bool {
    let takes = |object: ObjectId| {
        setup.ops().any(|op| match op {
            Op::SemaphoreWait(semaphore) => semaphore == object,
            Op::CondWait { cond, .. } => cond == object,
            _ => false,
        })
    };
    match op {
        Op::Barrier | Op::Finalize | Op::Gather(..) => true,
        Op::Signal(object)
        | Op::Broadcast(object)
        | Op::SemaphorePost(object)
        | Op::SemaphoreSet(object, _) => takes(object),
        _ => false,
    }
}

fn places(setup: &Setup) -> Vec<(Place, Op)> {
    let mut all = Vec::new();
    for (rank, threads) in setup.scripts.iter().enumerate() {
        for (thread, ops) in threads.iter().enumerate() {
            all.extend(ops.iter().enumerate().map(|(at, op)| ((rank, thread, at), *op)));
        }
    }
    all
}

fn without(setup: &Setup, places: &[Place]) -> Setup {
    let mut places = places.to_vec();
    places.sort_unstable();
    changed(setup, |scripts| {
        for place in places.into_iter().rev() {
            replace(scripts, place, None);
        }
    })
}

fn replace(scripts: &mut [Vec<Arc<[Op]>>], (rank, thread, at): Place, by: Option<Op>) {
    let mut ops = scripts[rank][thread].to_vec();
    ops.splice(at..=at, by);
    scripts[rank][thread] = ops.into();
}

fn changed(setup: &Setup, change: impl FnOnce(&mut Vec<Vec<Arc<[Op]>>>)) -> Setup {
    let mut setup = setup.clone();
    change(&mut setup.scripts);
    setup
}
