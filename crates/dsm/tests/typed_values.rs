//! Boxes, vectors and structures of a program's own in the shared heap, on real ranks.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod job;

use dsm::{Box, HeapError, Mutex, Ref, RwLock, Shareable, Vec, ZeroIsNone};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

/// A box goes round through a mutex; each rank adds what it is and frees what others made.
fn passed_in_a_box(nodes: u16) {
    const ROUNDS: u64 = 100;
    job::run(nodes, &[], |node| {
        let slot = node.named::<Mutex<Option<Box<(u64, u64)>>>>("slot").unwrap();
        let rank = u64::from(node.rank());
        for _ in 0..ROUNDS {
            let mut slot = slot.lock();
            let (count, sum) = slot.take().map_or((0, 0), Box::into_inner);
            *slot = Some(Box::new((count + 1, sum + rank)));
        }
        node.barrier().unwrap();
        let nodes = u64::from(nodes);
        let expected = (ROUNDS * nodes, ROUNDS * nodes * (nodes - 1) / 2);
        assert_eq!(**slot.lock().as_ref().unwrap(), expected);
        node.barrier().unwrap();
        if rank == 0 {
            *slot.lock() = None;
        }
        node.barrier().unwrap();
        assert_eq!(*slot.lock(), None);
    });
}

#[test]
fn two_ranks_pass_a_box() {
    passed_in_a_box(2);
}

#[test]
fn three_ranks_pass_a_box() {
    passed_in_a_box(3);
}

#[test]
fn four_ranks_pass_a_box() {
    passed_in_a_box(4);
}

fn pushed_by_all(nodes: u16) {
    const EACH: u64 = 500;
    job::run(nodes, &[], |node| {
        let all = node.named::<Mutex<Vec<(u16, u64)>>>("all").unwrap();
        thread::scope(|scope| {
            for thread in 0..2 {
                scope.spawn(move || {
                    for at in (thread..EACH).step_by(2) {
                        all.lock().push((node.rank(), at));
                    }
                });
            }
        });
        node.barrier().unwrap();
        let mut seen = all.lock().to_vec();
        seen.sort_unstable();
        let expected = (0..nodes).flat_map(|rank| (0..EACH).map(move |at| (rank, at)));
        assert!(seen.into_iter().eq(expected));
        node.barrier().unwrap();
        // The last rank frees what the others allocated.
        if node.rank() == nodes - 1 {
            *all.lock() = Vec::new();
        }
        node.barrier().unwrap();
        assert_eq!(all.lock().capacity(), 0);
    });
}

#[test]
fn two_ranks_push() {
    pushed_by_all(2);
}

#[test]
fn four_ranks_push() {
    pushed_by_all(4);
}

/// A vector is like that of `std`, checked call by call with random ones.
#[test]
fn a_vector_is_like_that_of_std() {
    job::run(1, &[], |_| {
        let seed = 0x5eed_1234_u64;
        println!("seed {seed:#x}");
        let mut random = seed;
        let mut next = move |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(random >> 33).unwrap() % below.max(1)
        };
        let (mut ours, mut theirs) = (Vec::new(), std::vec::Vec::new());
        for step in 0..5000_u64 {
            match next(12) {
                0..4 => (ours.push(step), theirs.push(step)).0,
                4 => assert_eq!(ours.pop(), theirs.pop()),
                5 => {
                    let at = next(theirs.len() + 1);
                    ours.insert(at, step);
                    theirs.insert(at, step);
                }
                6 if !theirs.is_empty() => {
                    let at = next(theirs.len());
                    assert_eq!(ours.remove(at), theirs.remove(at));
                }
                7 if !theirs.is_empty() => {
                    let at = next(theirs.len());
                    assert_eq!(ours.swap_remove(at), theirs.swap_remove(at));
                }
                8 if next(8) == 0 => {
                    let len = next(theirs.len() + 20);
                    ours.resize(len, step);
                    theirs.resize(len, step);
                }
                9 => {
                    ours.extend_from_slice(&[step, step + 1]);
                    theirs.extend_from_slice(&[step, step + 1]);
                }
                10 if next(50) == 0 => {
                    ours = ours.clone().into_iter().rev_sorted();
                    theirs.sort_unstable_by(|a, b| b.cmp(a));
                }
                _ => {
                    ours.iter_mut().zip(&mut theirs).for_each(|(a, b)| (*a, *b) = (*a + 1, *b + 1))
                }
            }
            assert_eq!(ours[..], theirs[..], "after step {step}");
        }
        ours.clear();
        assert!(ours.is_empty() && ours.capacity() > 0);
        assert!(ours.try_reserve(usize::MAX).is_err());
        assert!(Vec::from_iter([(); 9]).len() == 9 && Vec::<u8>::with_capacity(3).capacity() >= 3);
    });
}

trait RevSorted {
    fn rev_sorted(self) -> Vec<u64>;
}

impl<I: Iterator<Item = u64>> RevSorted for I {
    fn rev_sorted(self) -> Vec<u64> {
        let mut sorted: Vec<u64> = self.collect();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        sorted
    }
}

/// Counts its drops.
#[derive(Shareable)]
struct Counted {
    drops: Option<Ref<AtomicU64>>,
    inner: Option<Box<Counted>>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(drops) = self.drops {
            drops.fetch_add(1, SeqCst);
        }
    }
}

#[test]
fn what_a_rank_made_another_one_drops_once() {
    job::run(2, &[], |node| {
        let drops = Box::leak(Box::new(AtomicU64::new(0)));
        let new = |inner| Counted { drops: Some(drops), inner };
        let slot = node.named::<Mutex<Vec<Option<Box<Counted>>>>>("slot").unwrap();
        if node.rank() == 0 {
            let chain = (0..10).fold(None, |inner, _| Some(Box::new(new(inner))));
            slot.lock().push(chain);
            slot.lock().push(None);
            node.barrier().unwrap();
            node.barrier().unwrap();
            assert_eq!(drops.load(SeqCst), 10);
        } else {
            node.barrier().unwrap();
            assert_eq!(slot.lock().len(), 2);
            let chain = slot.lock().remove(0).unwrap();
            assert!(chain.inner.as_ref().unwrap().inner.is_some());
            drop(chain);
            node.barrier().unwrap();
            let all: Vec<Option<Box<Counted>>> =
                (0..9).map(|_| Some(Box::new(new(None)))).collect();
            let mut taken = all.into_iter();
            assert!(taken.next().is_some());
            assert_eq!((drops.load(SeqCst), taken.len()), (1, 8));
            drop(taken);
            assert_eq!(drops.load(SeqCst), 9);
        }
        node.barrier().unwrap();
    });
}

/// A bank whose accounts are found through an index, with structures of a program's own.
#[derive(Shareable)]
struct Bank {
    accounts: RwLock<Vec<Option<Account>>>,
    kinds: [AtomicU64; 3],
}

#[derive(Clone, Copy, ZeroIsNone)]
#[repr(transparent)]
struct Account(Ref<Mutex<State>>);

#[derive(Shareable)]
struct State {
    balance: i64,
    kind: Kind,
    log: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Shareable)]
#[repr(u8)]
enum Kind {
    Unused,
    Current = 1,
    Savings,
}

#[derive(Clone, Debug, PartialEq, Shareable)]
#[repr(u32)]
enum Entry {
    Opened,
    Paid { to: u32, amount: i64 },
    Received(u32, i64),
}

#[test]
fn structures_of_a_program_are_shared() {
    const ACCOUNTS: u32 = 12;
    job::run(4, &[], |node| {
        let bank = node.named::<Bank>("bank").unwrap();
        for number in (0..ACCOUNTS).filter(|number| number % 4 == u32::from(node.rank())) {
            let kind = if number % 2 == 0 { Kind::Current } else { Kind::Savings };
            let state = State { balance: 100, kind, log: [Entry::Opened].into_iter().collect() };
            let account = Account(Box::leak(Box::new(Mutex::new(state))));
            let mut accounts = bank.accounts.write();
            let missing = (number as usize + 1).saturating_sub(accounts.len());
            accounts.extend((0..missing).map(|_| None));
            accounts[number as usize] = Some(account);
            bank.kinds[kind as usize].fetch_add(1, SeqCst);
        }
        node.barrier().unwrap();
        let accounts = bank.accounts.read();
        for round in 0..60 {
            let from = (round * 7 + u32::from(node.rank()) * 3) % ACCOUNTS;
            let to = (from + 1 + round % (ACCOUNTS - 1)) % ACCOUNTS;
            let state = |number: u32| &accounts[number as usize].as_ref().unwrap().0;
            // In the order of their numbers, or two ranks wait for each other.
            let (mut low, mut high) = (state(from.min(to)).lock(), state(from.max(to)).lock());
            let (payer, payee) =
                if from < to { (&mut *low, &mut *high) } else { (&mut *high, &mut *low) };
            payer.balance -= 5;
            payer.log.push(Entry::Paid { to, amount: 5 });
            payee.balance += 5;
            payee.log.push(Entry::Received(from, 5));
        }
        node.barrier().unwrap();
        let states = accounts.iter().map(|account| account.as_ref().unwrap().0.lock());
        let states: std::vec::Vec<_> = states.collect();
        assert_eq!(states.iter().map(|state| state.balance).sum::<i64>(), 1200);
        assert_eq!(states.iter().map(|state| state.log.len()).sum::<usize>(), 12 + 2 * 4 * 60);
        for state in &states {
            let change = |entry: &Entry| match entry {
                Entry::Opened => 100,
                Entry::Paid { amount, .. } => -amount,
                Entry::Received(_, amount) => *amount,
            };
            assert_eq!(state.balance, state.log.iter().map(change).sum::<i64>());
            assert_ne!(state.kind, Kind::Unused);
        }
        assert_eq!(bank.kinds.each_ref().map(|kind| kind.load(SeqCst)), [0, 6, 6]);
        drop(states);
        node.barrier().unwrap();
    });
}

#[test]
fn large_values_are_zero_and_cost_what_is_touched() {
    job::run(2, &[("DSM_HEAP", "16G")], |node| {
        let huge = node.named::<Mutex<Option<Box<[u64; 1 << 30]>>>>("huge").unwrap();
        if node.rank() == 0 {
            let mut new = Box::<[u64; 1 << 30]>::try_zeroed().unwrap();
            new.iter_mut().step_by(1 << 25).for_each(|word| *word = 1);
            *huge.lock() = Some(new);
        }
        node.barrier().unwrap();
        let words = huge.lock();
        let words = words.as_ref().unwrap();
        assert_eq!(words.iter().step_by(1 << 24).sum::<u64>(), 32);
        let error = Box::<[u64; 1 << 31]>::try_zeroed().unwrap_err();
        assert!(matches!(error, HeapError::Exhausted { bytes: 0x4_0000_0000 }), "{error:?}");
    });
}

/// Dropping what is in the heap after the job was left does nothing, as the heap is gone.
#[test]
fn what_outlives_the_node_can_be_dropped() {
    let mut kept = None;
    job::run(2, &[], |_| {
        let values: Vec<u64> = (0..1000).collect();
        kept = Some((Box::new(Mutex::new(5_u64)), values, Box::new(Some(Box::new(1_u64)))));
    });
    if let Some((boxed, values, nested)) = kept {
        drop((boxed, values, nested));
    }
}

#[test]
fn a_guard_that_outlives_the_node_can_be_dropped() {
    // A box that is never dropped, so that its guard borrows nothing that ends.
    let mut kept = None;
    job::run(2, &[], |_| {
        let mutex: &'static Box<Mutex<u64>> =
            std::boxed::Box::leak(std::boxed::Box::new(Box::new(Mutex::new(5_u64))));
        kept = Some(mutex.lock());
    });
    drop(kept);
}
