//! Several ranks of several threads each, with one thread that stands for all their engines.

use super::{DEADLINE, Rank, got, lend, recall};
use crate::locks::{LockError, Mode, Patience, Recalled};
use dsm_core::{Access, Answer, BarrierKind, Call, ObjectId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// The engines of all ranks in one: who has what of which token, and who wants it next.
struct Engines {
    ranks: Vec<Rank>,
    tokens: BTreeMap<ObjectId, Token>,
    recalls: Recalls,
}

#[derive(Default)]
struct Token {
    /// What each rank was lent.
    lent: BTreeMap<usize, Access>,
    wanted: VecDeque<(usize, Access)>,
}

/// What a rank is told of another's wish to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recalls {
    /// Nothing: it gives the whole token back and gets the rest again.
    Whole,
    /// That it may keep reading.
    WhatIsNeeded,
}

impl Engines {
    /// Serves the ranks until one of them calls the last barrier.
    fn serve(mut self) {
        loop {
            let mut events: Vec<_> = self.ranks.iter().map(Rank::event).collect();
            let timeout = Timespec::try_from(DEADLINE).unwrap();
            assert!(poll(&mut events, Some(&timeout)).unwrap() > 0, "the threads stand still");
            for rank in 0..self.ranks.len() {
                for (id, call) in self.ranks[rank].take() {
                    match call {
                        Call::Acquire { object, access } => self.acquire(rank, object, access),
                        Call::Surrender { object, .. } => self.surrender(rank, object),
                        Call::Probe { object, access } => {
                            let answer = self.probe(rank, object, access);
                            self.ranks[rank].calls.answer(id, answer);
                        }
                        _ => return,
                    }
                }
            }
        }
    }

    fn acquire(&mut self, rank: usize, object: ObjectId, access: Access) {
        let token = self.tokens.entry(object).or_default();
        let has = token.lent.get(&rank).copied().unwrap_or(Access::None);
        if has < access && token.wanted.iter().all(|(other, _)| *other != rank) {
            token.wanted.push_back((rank, access));
            self.advance(object);
        }
    }

    fn surrender(&mut self, rank: usize, object: ObjectId) {
        let token = self.tokens.get_mut(&object).unwrap();
        let (_, wanted) = token.wanted.front().copied().expect("only what is wanted is recalled");
        let left = if wanted == Access::Read { Access::Read } else { Access::None };
        token.lent.insert(rank, left);
        if left > Access::None {
            lend(&self.ranks[rank].locks, object, left);
        }
        self.advance(object);
    }

    fn probe(&self, rank: usize, object: ObjectId, access: Access) -> Answer {
        let others = (0..self.ranks.len()).filter(|other| *other != rank);
        let mut holders =
            others.filter_map(|other| self.ranks[other].locks.inspect(object, access));
        holders.next().map_or(Answer::Done, |holder| Answer::Held {
            rank: dsm_core::Rank(1),
            thread: holder.thread,
            waits_for: holder.waits_for,
        })
    }

    /// Lends a token to those that want it, the first first, once the others have given it back.
    fn advance(&mut self, object: ObjectId) {
        while let Some((rank, wanted)) = self.tokens[&object].wanted.front().copied() {
            let keep = if wanted == Access::Read { Access::Read } else { Access::None };
            let lent = self.tokens[&object].lent.clone();
            let others = lent.into_iter().filter(|(other, has)| *other != rank && *has > keep);
            for (other, _) in others {
                let told = if self.recalls == Recalls::Whole { Access::None } else { keep };
                if recall(&self.ranks[other].locks, object, told) == Recalled::Surrendered {
                    self.tokens.get_mut(&object).unwrap().lent.insert(other, keep);
                    if told < keep {
                        lend(&self.ranks[other].locks, object, keep);
                    }
                }
            }
            let token = self.tokens.get_mut(&object).unwrap();
            if token.lent.iter().any(|(other, has)| *other != rank && *has > keep) {
                return;
            }
            token.wanted.pop_front();
            // The only reader may write.
            let is_alone =
                token.lent.iter().all(|(other, has)| *other == rank || *has == Access::None);
            let right = if is_alone { Access::Write } else { wanted };
            token.lent.insert(rank, right);
            lend(&self.ranks[rank].locks, object, right);
        }
    }
}

impl Rank {
    fn event(&self) -> PollFd<'_> {
        PollFd::from_borrowed_fd(self.calls.as_fd(), PollFlags::IN)
    }
}

/// What a lock protects, and who is there: -1 is a writer, others readers.
#[derive(Default)]
struct Guarded {
    there: AtomicI64,
    writes: AtomicU64,
}

/// What a thread saw.
#[derive(Clone, Copy, Debug, Default)]
struct Saw {
    writes: u64,
    reads: u64,
    busy: u64,
    late: u64,
}

fn work(rank: &Rank, guarded: &[Guarded], mut random: Random, turns: u64) -> Saw {
    let mut saw = Saw::default();
    for _ in 0..turns {
        let at = random.below(guarded.len());
        let object = ObjectId(1000 + at as u64);
        let mode = if random.below(2) == 0 { Mode::Read } else { Mode::Write };
        let short = random.below(8) == 1;
        // The longest is as good as forever, but for a test that fails.
        let time = if short { Duration::from_micros(random.next() % 200) } else { DEADLINE };
        let never = random.below(8) == 0;
        let patience = if never { Patience::Never } else { Patience::Until(Instant::now() + time) };
        match rank.locks.lock(object, mode, patience) {
            Ok(()) => {
                stay(&guarded[at], mode, &mut random, &mut saw);
                rank.locks.unlock(object).unwrap();
            }
            Err(LockError::Busy) => saw.busy += 1,
            Err(LockError::TimedOut) if short => saw.late += 1,
            Err(error) => panic!("{mode:?} lock of {object}: {error}"),
        }
    }
    saw
}

fn stay(guarded: &Guarded, mode: Mode, random: &mut Random, saw: &mut Saw) {
    match mode {
        Mode::Write => {
            guarded.there.compare_exchange(0, -1, SeqCst, SeqCst).expect("a writer is alone");
            // Two steps: only the lock keeps others from writing between them.
            let writes = guarded.writes.load(Relaxed);
            if random.below(4) == 0 {
                thread::yield_now();
            }
            guarded.writes.store(writes + 1, Relaxed);
            guarded.there.store(0, SeqCst);
            saw.writes += 1;
        }
        Mode::Read => {
            assert!(guarded.there.fetch_add(1, SeqCst) >= 0, "no writer is there with a reader");
            if random.below(4) == 0 {
                thread::yield_now();
            }
            guarded.there.fetch_sub(1, SeqCst);
            saw.reads += 1;
        }
    }
}

/// Xorshift, "Xorshift RNGs", Marsaglia, 2003.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// Threads of several ranks lock at random; nobody is in the way of anybody, and all get on.
fn locks_exclude(ranks: usize, locks: usize, recalls: Recalls) {
    const THREADS: usize = 3;
    const TURNS: u64 = 4000;
    let seed = std::env::var("DSM_SEED").map_or(0x5eed_u64, |seed| seed.parse().unwrap());
    println!("DSM_SEED={seed} repeats the choices of this run");
    let ranks: Vec<Rank> = (0..ranks).map(|_| Rank::new()).collect();
    let engines = Engines { ranks: ranks.clone(), tokens: BTreeMap::new(), recalls };
    let engines = thread::spawn(move || engines.serve());
    let guarded: Arc<Vec<_>> = Arc::new((0..locks).map(|_| Guarded::default()).collect());
    let threads = (0..ranks.len() * THREADS).map(|number| {
        let (rank, guarded) = (ranks[number % ranks.len()].clone(), Arc::clone(&guarded));
        let random = Random((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number as u64 + 1));
        let work = {
            let rank = rank.clone();
            move |_: &_| work(&rank, &guarded, random, TURNS)
        };
        rank.on_thread(work)
    });
    let threads: Vec<_> = threads.collect();
    let saw: Vec<Saw> = threads.iter().map(got).collect();
    ranks[0].calls.post(Call::Barrier(BarrierKind::Finalize));
    engines.join().unwrap();
    let written: u64 = guarded.iter().map(|guarded| guarded.writes.load(Relaxed)).sum();
    let total = |what: fn(&Saw) -> u64| saw.iter().map(what).sum::<u64>();
    let (writes, reads) = (total(|saw| saw.writes), total(|saw| saw.reads));
    let (busy, late) = (total(|saw| saw.busy), total(|saw| saw.late));
    assert_eq!(written, writes, "no write is lost");
    assert_eq!(writes + reads + busy + late, TURNS * threads.len() as u64);
    let taken: Vec<_> = ranks.iter().map(|rank| rank.locks.taken()).collect();
    assert!(ranks.iter().all(|rank| rank.locks.waits().is_empty()));
    println!("{writes} writes, {reads} reads, {busy} busy, {late} late; {taken:?}");
    assert_eq!(taken.iter().map(|taken| taken.local + taken.remote).sum::<u64>(), writes + reads);
}

#[test]
fn locks_exclude_threads_of_two_ranks() {
    locks_exclude(2, 1, Recalls::WhatIsNeeded);
}

#[test]
fn locks_exclude_threads_of_three_ranks() {
    locks_exclude(3, 4, Recalls::WhatIsNeeded);
}

#[test]
fn locks_exclude_threads_of_ranks_that_are_told_little() {
    locks_exclude(3, 2, Recalls::Whole);
}
