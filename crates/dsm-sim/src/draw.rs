mod pieces;

use crate::rng::Rng;
use crate::{Arrival, Faults, Mutant, Op, Setup, Watch};
use dsm_core::{Hold, Placement};
use pieces::Pieces;

/// A world drawn at random: 2 to 5 ranks, 1 to 4 pages, 1 or 2 threads a rank, and how they end. Every third
/// is about pages alone.
pub(crate) fn draw_setup(rng: &mut Rng, mutant: Option<Mutant>) -> Setup {
    let nodes = 2 + rng.below(4);
    let pages = 1 + rng.below(4);
    let hold = rng.pick(&[Hold::None, Hold::Timed]);
    let most_ops = 1 + rng.below(12);
    let about_pages = rng.one_in(3);
    let pieces = if about_pages { Pieces::of_pages(rng, pages) } else { Pieces::draw(rng, pages) };
    let heap = pieces.heap();
    let mut threads: Vec<Vec<Vec<Op>>> = Vec::new();
    let mut ranks = Vec::new();
    for rank in 0..nodes {
        let count = if rng.one_in(2) { 2 } else { 1 };
        ranks.extend(std::iter::repeat_n(rank, count));
        let most = if about_pages { most_ops } else { most_ops.div_ceil(2) };
        threads.extend((0..count).map(|_| (0..most).map(|_| pieces.draw_piece(rng)).collect()));
    }
    // What some threads wait for others to do.
    let meets = pieces.join(rng, &mut threads);
    let barriers = if !meets && rng.one_in(3) { 1 + rng.below(2) } else { 0 };
    let mut scripts: Vec<Vec<Vec<Op>>> = vec![Vec::new(); ranks.len()];
    for (rank, mut thread) in ranks.into_iter().zip(threads) {
        let rank = usize::from(u16::try_from(rank).expect("there are few ranks"));
        for _ in 0..barriers * u64::from(scripts[rank].is_empty()) {
            thread.insert(rng.place(thread.len() + 1), vec![Op::Barrier]);
        }
        scripts[rank].push(thread.concat());
    }
    scripts.retain(|threads| !threads.is_empty());
    end(rng, &mut scripts);
    let shared = |threads: Vec<Vec<Op>>| threads.into_iter().map(Into::into).collect();
    Setup {
        pages,
        heap,
        // Drawn already, as it were: what follows from a seed stays as it is.
        placement: match (nodes + pages + most_ops) % 4 {
            3 => Placement::FirstTouch,
            _ => Placement::Cyclic,
        },
        scripts: scripts.into_iter().map(shared).collect(),
        hold,
        arrival: rng.pick(&[Arrival::Whole, Arrival::Split]),
        faults: rng.pick(&[Faults::AtOnce, Faults::Batched, Faults::Posted]),
        watch: Watch::Everything,
        fan_in: match (pages + most_ops) % 3 {
            0 => Some(1),
            1 => Some(2),
            _ => None,
        },
        moves_after: match (nodes + most_ops) % 3 {
            0 => Some(0),
            1 => Some(1),
            _ => None,
        },
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
