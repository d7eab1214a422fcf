//! Arenas over memory that is not shared, against a model that knows every block.

mod model;
mod pages;
mod rng;

use super::*;
use model::Model;
use pages::{PAGE, Pages};
use rng::Rng;
use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// Random calls on an arena of its own, with everything checked.
fn check_random_calls(seed: u64, calls: u32) {
    println!("seed {seed}: check_random_calls({seed}, {calls})");
    let (pages, arena) = (Pages::new(16 << 10), Arena::new(PAGE));
    let (mut rng, mut model) = (Rng(seed), Model::new(&arena, &pages));
    let began = Instant::now();
    for call in 0..calls {
        // Every now and then nearly all is freed, so that chunks become empty.
        let most = if call / 20_000 % 2 == 0 { 12_000 } else { 100 };
        match rng.below(100) {
            0 => model.free_what_is_no_block(&mut rng),
            _ if rng.below(2 * most) < model.len() as u64 => model.free(&mut rng),
            _ => model.allocate(&mut rng),
        }
    }
    let elapsed = began.elapsed();
    let (most, taken) = (model.most_bytes(), pages.most_taken() * PAGE);
    println!("  {calls} calls in {elapsed:.2?}; at most {most} bytes asked for, {taken} taken");
    model.free_all();
    arena.give_spares(&pages);
    assert_eq!(pages.taken(), 0, "everything is given back");
}

#[test]
fn a_million_random_calls_agree_with_the_model() {
    check_random_calls(1, 1_000_000);
}

#[test]
fn random_calls_of_other_seeds_agree_with_the_model() {
    (2..8).for_each(|seed| check_random_calls(seed, 20_000));
}

fn address(arena: &Arena, bytes: usize, align: usize, pages: &Pages) -> usize {
    arena.allocate(bytes, align, pages).unwrap().address
}

#[test]
fn blocks_are_aligned_as_asked() {
    let (pages, arena) = (Pages::new(4096), Arena::new(PAGE));
    let mut seen = BTreeSet::new();
    for log in 0..20 {
        for bytes in [0, 1, 100, 5000, 40_000] {
            let block = address(&arena, bytes, 1 << log, &pages);
            assert!(block.is_multiple_of(1 << log) && block.is_multiple_of(16), "{block:#x}");
            assert!(seen.insert(block), "{block:#x} twice");
        }
    }
    assert!(seen.iter().all(|&block| arena.free(block).is_ok()));
    for align in [0, 3, 24, usize::MAX] {
        assert_eq!(arena.allocate(8, align, &pages), Err(HeapError::BadAlignment { align }));
    }
}

#[test]
fn what_cannot_be_addressed_is_more_than_there_is() {
    let (pages, arena) = (Pages::new(16), Arena::new(PAGE));
    for (bytes, align) in [(usize::MAX, 1), (usize::MAX - PAGE, 1 << 20), (1, 1 << 63)] {
        assert_eq!(arena.allocate(bytes, align, &pages), Err(HeapError::Exhausted { bytes }));
    }
}

#[test]
fn misuse_is_told_apart() {
    let (pages, arena) = (Pages::new(4096), Arena::new(PAGE));
    let not_allocated = |address| Err(HeapError::NotAllocated { address });
    let small = address(&arena, 100, 16, &pages);
    let other = address(&arena, 100, 16, &pages);
    assert_eq!(arena.free(small + 16), not_allocated(small + 16));
    assert_eq!(arena.free(other + 112), not_allocated(other + 112));
    assert_eq!(arena.free(small), Ok(Freed::Done));
    assert_eq!(arena.free(small), Err(HeapError::DoubleFree { address: small }));

    let run = address(&arena, 9 * PAGE, 16, &pages);
    assert_eq!(arena.free(run + PAGE), not_allocated(run + PAGE));
    let aligned = address(&arena, PAGE, 8 * PAGE, &pages);
    assert_eq!(arena.free(aligned + 8), not_allocated(aligned + 8));
    assert_eq!(arena.free(run), Ok(Freed::Emptied { run }));
    assert_eq!(arena.free(run), Ok(Freed::NotMine));
    assert!(matches!(arena.free(aligned), Ok(Freed::Emptied { .. })));

    for foreign in [0, 8, pages.base() - 8, pages.base() + (4096 * PAGE), usize::MAX] {
        assert_eq!(arena.free(foreign), Ok(Freed::NotMine));
    }
}

#[test]
fn a_class_keeps_one_empty_chunk() {
    let (pages, arena) = (Pages::new(4096), Arena::new(PAGE));
    let blocks: Vec<_> = (0..3000).map(|_| address(&arena, 1024, 16, &pages)).collect();
    let mut given = 0;
    for block in blocks {
        if let Freed::Emptied { run } = arena.free(block).unwrap() {
            pages.give(run);
            given += 1;
        }
    }
    assert!(given > 2, "{given} chunks given back");
    assert_eq!(pages.runs(), 1);
    let block = arena.allocate(1024, 16, &pages).unwrap();
    assert_eq!((block.content, pages.runs()), (Content::Used, 1));
}

#[test]
fn exhaustion_is_an_error_and_not_the_end() {
    let (pages, arena) = (Pages::new(256), Arena::new(PAGE));
    // A chunk of another class is kept for later, which is given up for this one.
    let other = address(&arena, 32 << 10, 16, &pages);
    assert_eq!(arena.free(other), Ok(Freed::Done));
    let mut blocks = Vec::new();
    let error = loop {
        match arena.allocate(1000, 16, &pages) {
            Ok(block) => blocks.push(block.address),
            Err(error) => break error,
        }
    };
    assert_eq!(error, HeapError::Exhausted { bytes: 1000 });
    assert_eq!(error.to_string(), "cannot allocate 1000 bytes: the shared heap is exhausted");
    assert_eq!((pages.taken(), blocks.len()), (256, 256 * PAGE / 1024));
    assert_eq!(
        arena.allocate(100 << 10, 16, &pages),
        Err(HeapError::Exhausted { bytes: 100 << 10 })
    );
    // What is freed can be had again, in its class at once and in others when its pages are empty.
    assert_eq!(arena.free(blocks.swap_remove(7)), Ok(Freed::Done));
    blocks.push(address(&arena, 1000, 16, &pages));
    for block in blocks.drain(..) {
        if let Freed::Emptied { run } = arena.free(block).unwrap() {
            pages.give(run);
        }
    }
    let whole = address(&arena, 256 * PAGE, 16, &pages);
    assert_eq!(arena.free(whole), Ok(Freed::Emptied { run: whole }));
}

/// Runs that are asked for while the arena is used by another thread.
struct Slow<'a>(&'a Arena, &'a Pages);

impl Runs for Slow<'_> {
    fn take(&self, pages: u64) -> Result<usize, HeapError> {
        let block = address(self.0, 100, 16, self.1);
        assert_eq!(self.0.free(block), Ok(Freed::Done));
        self.1.take(pages)
    }

    fn give(&self, run: usize) {
        let block = address(self.0, 100, 16, self.1);
        assert_eq!(self.0.free(block), Ok(Freed::Done));
        self.1.give(run);
    }
}

#[test]
fn no_lock_is_held_while_a_run_is_asked_for() {
    let (tell, told) = channel();
    thread::spawn(move || {
        let (pages, arena) = (Pages::new(64), Arena::new(PAGE));
        let slow = Slow(&arena, &pages);
        assert!(arena.allocate(100, 16, &slow).is_ok());
        assert!(arena.allocate(100, 16, &slow).is_ok());
        // Its chunk is kept for later, and given back for what is larger.
        let other = address(&arena, 1024, 16, &pages);
        assert_eq!(arena.free(other), Ok(Freed::Done));
        let before = pages.taken();
        assert!(arena.allocate(64 * PAGE, 16, &slow).is_err());
        assert!(pages.taken() < before);
        tell.send(()).unwrap();
    });
    told.recv_timeout(Duration::from_secs(20)).expect("the thread waits for itself");
}

#[test]
fn a_rank_that_left_allocates_nothing() {
    struct Gone;
    impl Runs for Gone {
        fn take(&self, _pages: u64) -> Result<usize, HeapError> {
            Err(HeapError::Left)
        }

        fn give(&self, _run: usize) {}
    }
    let arena = Arena::new(PAGE);
    assert_eq!(arena.allocate(1, 1, &Gone), Err(HeapError::Left));
    assert_eq!(arena.allocate(PAGE * 9, 1, &Gone), Err(HeapError::Left));
}

#[test]
fn threads_allocate_and_free_each_others_blocks() {
    const THREADS: u64 = 4;
    let (pages, arena) = (Pages::new(16 << 10), Arena::new(PAGE));
    let exchange = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (pages, arena, exchange) = (&pages, &arena, &exchange);
            scope.spawn(move || {
                let (mut rng, mut model) = (Rng(seed), Model::new(arena, pages));
                for _ in 0..30_000 {
                    match rng.below(4) {
                        0 if model.len() > 0 => exchange.lock().unwrap().push(model.part(&mut rng)),
                        0 | 1 => {
                            let theirs = exchange.lock().unwrap().pop();
                            theirs.into_iter().for_each(|block| model.receive(block));
                        }
                        _ if rng.below(400) < model.len() as u64 => model.free(&mut rng),
                        _ => model.allocate(&mut rng),
                    }
                }
                model.free_all();
            });
        }
    });
    let mut rest = Model::new(&arena, &pages);
    exchange.into_inner().unwrap().into_iter().for_each(|block| rest.receive(block));
    rest.free_all();
    arena.give_spares(&pages);
    assert_eq!(pages.taken(), 0, "everything is given back");
}

/// Bytes of the pages that blocks of these sizes touch.
fn touched(sizes: impl Iterator<Item = usize>) -> (usize, usize) {
    let (pages, arena) = (Pages::new(64 << 10), Arena::new(PAGE));
    let (mut asked, mut touched) = (0, BTreeSet::new());
    for bytes in sizes {
        let at = address(&arena, bytes, 16, &pages);
        asked += bytes;
        touched.extend(at / PAGE..(at + bytes).div_ceil(PAGE));
    }
    (asked, touched.len() * PAGE)
}

#[test]
fn what_is_lost_is_little() {
    let mut rng = Rng(9);
    let mut random = |most: u64| -> Vec<usize> {
        (0..50_000).map(|_| 1 + usize::try_from(rng.below(most)).unwrap()).collect()
    };
    let kinds = [
        ("100,000 of 8 bytes", vec![8; 100_000], 205),
        ("100,000 of 24 bytes", vec![24; 100_000], 135),
        ("100,000 of 40 bytes", vec![40; 100_000], 125),
        ("100,000 of 64 bytes", vec![64; 100_000], 101),
        ("20,000 of 200 bytes", vec![200; 20_000], 113),
        ("20,000 of 1000 bytes", vec![1000; 20_000], 103),
        ("2,000 of 5000 bytes", vec![5000; 2000], 104),
        ("200 of 33,000 bytes", vec![33_000; 200], 112),
        ("50,000 of 1 to 256 bytes", random(256), 115),
        ("50,000 of 1 to 4096 bytes", random(4096), 115),
    ];
    for (what, sizes, most) in kinds {
        let (asked, used) = touched(sizes.into_iter());
        let percent = used * 100 / asked;
        println!("{what:<26} {asked:>9} bytes in {used:>9}: {percent} %");
        assert!(percent <= most, "{what}: {percent} %");
    }
}
