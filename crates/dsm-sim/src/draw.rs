use crate::rng::Rng;
use crate::{Arrival, Faults, Mutant, Op, Setup, Watch};
use dsm_core::{Hold, PageId};
use std::sync::Arc;

/// A world drawn at random: 2 to 5 ranks, 1 to 4 pages, 1 or 2 threads a rank, and how they end.
pub(crate) fn draw_setup(rng: &mut Rng, mutant: Option<Mutant>) -> Setup {
    let nodes = 2 + rng.below(4);
    let pages = 1 + rng.below(4);
    let barriers = if rng.one_in(3) { 1 + rng.below(2) } else { 0 };
    let hold = rng.pick(&[Hold::None, Hold::Timed]);
    let moves = pages > 1 && rng.one_in(4);
    let most_ops = 1 + rng.below(12);
    let ops =
        |rng: &mut Rng| -> Vec<Op> { (0..most_ops).map(|_| draw_op(rng, pages, moves)).collect() };
    let mut scripts: Vec<Vec<Vec<Op>>> = Vec::new();
    for _ in 0..nodes {
        let mut first = ops(rng);
        for _ in 0..barriers {
            first.insert(rng.place(first.len() + 1), Op::Barrier);
        }
        let mut threads = vec![first];
        if rng.one_in(2) {
            threads.push(ops(rng));
        }
        scripts.push(threads);
    }
    end(rng, &mut scripts);
    let shared = |threads: Vec<Vec<Op>>| threads.into_iter().map(Arc::from).collect();
    Setup {
        pages,
        heap: 0,
        scripts: scripts.into_iter().map(shared).collect(),
        hold,
        arrival: rng.pick(&[Arrival::Whole, Arrival::Split]),
        faults: rng.pick(&[Faults::AtOnce, Faults::Batched, Faults::Posted]),
        watch: Watch::Everything,
        mutant,
    }
}

/// How the job ends: by itself, all ranks together, one at a barrier while others leave, by a crash.
fn end(rng: &mut Rng, scripts: &mut [Vec<Vec<Op>>]) {
    match rng.below(16) {
        0 => {
            let rank = rng.place(scripts.len());
            let mut thread = scripts[rank].pop().unwrap_or_default();
            thread.retain(|op| op.barrier().is_none());
            let place = rng.place(thread.len() + 1);
            thread.insert(place, Op::Crash);
            scripts[rank].push(thread);
        }
        odds @ 1..=4 => {
            scripts.iter_mut().for_each(|threads| threads[0].push(Op::Finalize));
            if odds == 1 {
                let rank = rng.place(scripts.len());
                let before = scripts[rank][0].len() - 1;
                scripts[rank][0].insert(before, Op::Barrier);
            }
        }
        _ => (),
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
